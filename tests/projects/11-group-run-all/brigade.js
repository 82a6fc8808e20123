// As before, but the third job is not begun if one of the two fails.
const { events, Job, Group } = require("brigadier");

events.on("exec", async () => {
  const parts = ["api", "web"].map((part) => new Job(part, "alpine:3.20", [`echo building ${part}`]));
  const results = await Group.runAll(parts);
  console.log(`${results.length} parts are built`);
  await new Job("assemble", "alpine:3.20", ["echo assembling"]).run();
});
