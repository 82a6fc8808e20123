// What is left to do when everything else is done.
const { events } = require("brigadier");

events.on("exec", () => console.log("working"));
events.on("after", () => console.log("tidying up"));
