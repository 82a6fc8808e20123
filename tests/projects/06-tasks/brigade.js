// The tasks of a job are the lines of its shell script.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const job = new Job("lines", "alpine:3.20");
  job.tasks = ["echo one", "echo two"];
  job.run();
});
