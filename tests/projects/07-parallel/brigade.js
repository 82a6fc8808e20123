// Jobs that nobody waits for run side by side.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const left = new Job("left", "alpine:3.20", ["echo left"]);
  const right = new Job("right", "alpine:3.20", ["echo right"]);
  left.run();
  right.run();
});
