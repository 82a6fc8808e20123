// What a job is told.
const { events, Job } = require("brigadier");

events.on("exec", (e, project) => {
  const job = new Job("greeter", "alpine:3.20", ['echo "$GREETING, $WHO"']);
  job.env = { GREETING: "Good day", WHO: project.secrets.WHO || "stranger" };
  job.run();
});
