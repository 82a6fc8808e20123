// A kind of jobs of one's own.
const { events, Job } = require("brigadier");

class Greeting extends Job {
  constructor(name, whom) {
    super(name, "alpine:3.20");
    this.tasks = [`echo hello ${whom}`];
  }
}

events.on("exec", () => {
  new Greeting("greeting", "world").run();
});
