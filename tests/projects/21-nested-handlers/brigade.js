// A handler may register others.
const { events } = require("brigadier");

events.on("exec", (e, project) => {
  events.on("later", () => console.log("registered inside, called later"));
  events.emit("later", e, project);
});
