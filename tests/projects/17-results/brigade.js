// What a job prints is its result.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const dice = new Job("dice", "alpine:3.20", ["echo 4"]);
  dice.run().then((result) => {
    const told = new Job("told", "alpine:3.20", [`echo "the dice say ${result.toString().trim()}"`]);
    told.run();
  });
});
