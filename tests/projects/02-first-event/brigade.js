// One handler for one event.
const { events } = require("brigadier");

events.on("exec", () => {
  console.log("somebody asked to run this");
});
