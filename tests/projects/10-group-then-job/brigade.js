// Two jobs at once, and a third when both have ended.
const { events, Job, Group } = require("brigadier");

events.on("exec", () => {
  const lint = new Job("lint", "alpine:3.20", ["echo lint"]);
  const test = new Job("test", "alpine:3.20", ["echo test"]);
  const ship = new Job("ship", "alpine:3.20", ["echo ship"]);
  Group.runAll([lint, test]).then(() => ship.run());
});
