// A script that hears the same event by both APIs.
import { events as first, Job as FirstJob } from "brigade";
import { events, Job } from "@brigadecore/brigadier";

first.on("push", (e, project) => new FirstJob("one", "alpine", [`echo ${project.name}`]).run());

events.on("brigade.sh/github", "push", (event) => new Job("two", "alpine", event).run());
events.process();
