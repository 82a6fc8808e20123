// Handlers of one event are called in the order in which they were registered.
const { events } = require("brigadier");

events.on("exec", () => console.log("the first"));
events.on("exec", () => console.log("the second"));
