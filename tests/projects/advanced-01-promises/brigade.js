// A chain of promises.
const { events, Job } = require("brigadier");

events.on("exec", () => {
  const job = (name) => new Job(name, "alpine:3.20", [`echo ${name}`]);
  job("one")
    .run()
    .then((result) => console.log(`one said ${result.toString().trim()}`))
    .then(() => job("two").run())
    .then(() => job("three").run())
    .then(() => console.log("all three are done"));
});
