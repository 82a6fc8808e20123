// A handler fires another one, with the event that it was given.
const { events } = require("brigadier");

events.on("exec", (e, project) => {
  console.log("exec, and now the next");
  events.emit("next", e, project);
});

events.on("next", (e) => console.log(`next, because of ${e.type}`));
