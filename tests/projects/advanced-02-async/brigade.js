// The same with await.
const { events, Job } = require("brigadier");

events.on("exec", async () => {
  for (const name of ["one", "two"]) {
    const result = await new Job(name, "alpine:3.20", [`echo ${name}`]).run();
    console.log(`${name} said ${result.toString().trim()}`);
  }
});
