// What a handler is told.
const { events } = require("brigadier");

events.on("exec", (e, project) => {
  console.log(`event ${e.type} of ${e.provider}`);
  console.log(`project ${project.name} cloned from ${project.repo.cloneURL}`);
});
