// Two events, of which a build fires one.
const { events } = require("brigadier");

events.on("exec", () => console.log("exec was fired"));
events.on("push", () => console.log("push was fired"));
