// Jobs find the repository in /src.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const job = new Job("reader", "alpine:3.20");
  job.tasks = ["cd /src/docs", "cat index.txt"];
  job.run();
});
