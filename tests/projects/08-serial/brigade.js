// One job after the other.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const first = new Job("first", "alpine:3.20", ["echo first"]);
  const second = new Job("second", "alpine:3.20", ["echo second"]);
  first.run().then(() => second.run());
});
