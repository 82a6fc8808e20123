// A handler makes an event of its own, and says what caused it.
const { events } = require("brigadier");

events.on("exec", (e, project) => {
  const next = { type: "next", provider: "exec-handler", buildID: e.buildID, workerID: e.workerID, cause: { event: e } };
  events.fire(next, project);
});

events.on("next", (e) => console.log(`${e.type} by ${e.provider}, because of ${e.cause.event.type}`));
