// A job without tasks runs its image as the image wants to be run.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  new Job("as-it-is", "alpine:3.20").run();
});
