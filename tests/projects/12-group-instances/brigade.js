// Groups as objects: filled first, run later.
const { events, Job, Group } = require("brigadier");

events.on("exec", async () => {
  const early = new Group([new Job("a", "alpine:3.20", ["echo a"])]);
  early.add(new Job("b", "alpine:3.20", ["echo b"]));
  const late = new Group();
  late.add(new Job("c", "alpine:3.20", ["echo c"]), new Job("d", "alpine:3.20", ["echo d"]));
  console.log(`${early.length()} early, ${late.length()} late`);
  await early.runAll();
  await late.runAll();
});
