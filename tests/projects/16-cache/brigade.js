// A cache is there again in the next build.
const { events, Job } = require("brigadier");

events.on("exec", (e) => {
  const job = new Job("visitor", "alpine:3.20");
  job.cache.enabled = true;
  job.tasks = [`echo ${e.buildID} >> /mnt/brigade/cache/visitors`, "cat /mnt/brigade/cache/visitors"];
  job.run();
});
