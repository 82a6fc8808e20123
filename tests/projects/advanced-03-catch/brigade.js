// A job may fail, if somebody cares about it.
const { events, Job } = require("brigadier");

events.on("exec", async () => {
  try {
    await new Job("broken", "alpine:3.20", ["exit 1"]).run();
    console.log("this line is not reached");
  } catch (error) {
    console.log(`went on without ${error.job}`);
  }
  await new Job("repair", "alpine:3.20", ["echo repairing"]).run();
});
