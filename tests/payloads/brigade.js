// Runs a job for whatever it hears of, so that every event can be seen.
const { events, Job } = require("brigadier");

const hear = (e) => new Job(`heard-${e.type.replace(/[^a-z]/g, "-").slice(0, 30)}`, "alpine:3.20", ["true"]).run();

for (const name of ["push", "pull_request", "pull_request:opened", "release:published", "image_push", "image_delete"]) {
  events.on(name, hear);
}
