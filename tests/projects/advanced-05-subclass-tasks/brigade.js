// A kind of jobs that can be added to.
const { events, Job } = require("brigadier");

class Prepared extends Job {
  constructor(name, tasks = []) {
    super(name, "alpine:3.20", ["echo preparing"]);
    this.tasks.push(...tasks);
  }
}

events.on("exec", () => {
  const job = new Prepared("prepared", ["echo building"]);
  job.tasks.push("echo done");
  job.run();
});
