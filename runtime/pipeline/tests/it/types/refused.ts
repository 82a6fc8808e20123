// What does not compile.
import * as v1 from "brigadier";
import * as v2 from "@brigadecore/brigadier";

declare const event: v2.Event;
declare const project: v1.Project;

const job = new v1.Job("one", "alpine");
// @ts-expect-error: a job has a name
new v1.Job();
// @ts-expect-error: tasks are a list
new v1.Job("one", "alpine", "true");
// @ts-expect-error: a job with an event is Brigade 2's
new v1.Job("one", "alpine", event);
// @ts-expect-error: milliseconds are a number
job.timeout = "10m";
// @ts-expect-error: Brigade 2's
job.timeoutSeconds = 5;
// @ts-expect-error: Brigade 2's
job.primaryContainer.command = ["true"];
// @ts-expect-error: a Map in Brigade 1
job.host.nodeSelector = { disk: "ssd" };
// @ts-expect-error: no value of a variable
job.env = { LIST: ["a"] };
// @ts-expect-error: nobody else writes it
job.podName = "mine";
// @ts-expect-error: a property, not a method
job.podName();
// @ts-expect-error: there is none
job.background();
// @ts-expect-error: an object, not a switch
job.cache = true;
// @ts-expect-error: a volume has a name
job.volumes.push({ emptyDir: {} });
// @ts-expect-error: a group is of jobs
new v1.Group(["one"]);
// @ts-expect-error: a promise
const result: v1.Result = job.run();
// @ts-expect-error: a handler is a function
v1.events.on("push", "build");
// @ts-expect-error: Brigade 2's
v1.events.on("brigade.sh/github", "push", () => {});
// @ts-expect-error: Brigade 2's
v1.events.process();
// @ts-expect-error: an event has a type
v1.fire({}, project);
// @ts-expect-error: it may be absent
project.repo.name;
// @ts-expect-error: only where it is fired by an end
v1.events.on("push", (e) => e.cause.trigger);

const other = new v2.Job("one", "alpine", event);
// @ts-expect-error: a job has an event
new v2.Job("one", "alpine");
// @ts-expect-error: tasks are Brigade 1's
new v2.Job("one", "alpine", ["true"]);
// @ts-expect-error: Brigade 1's
other.tasks = ["true"];
// @ts-expect-error: Brigade 1's
other.timeout = 900000;
// @ts-expect-error: seconds are a number
other.timeoutSeconds = "900";
// @ts-expect-error: a list
other.primaryContainer.command = "make test";
// @ts-expect-error: texts alone
other.primaryContainer.environment = { PORT: 80 };
// @ts-expect-error: one of two words
other.primaryContainer.imagePullPolicy = "Never";
// @ts-expect-error: a container, not its image
other.sidecarContainers = { db: "postgres" };
// @ts-expect-error: an object in Brigade 2
other.host.nodeSelector.set("disk", "ssd");
// @ts-expect-error: what comes of it is nothing
other.run().then((result) => result.toString());
// @ts-expect-error: a source, a type and a handler
v2.events.on("push", () => {});
// @ts-expect-error: Brigade 2's handlers are told no project
v2.events.on("brigade.sh/github", "push", (event: v2.Event, project: v1.Project) => {});
// @ts-expect-error: a job of Brigade 1 gives its log
v2.Job.sequence(other, "two");
// @ts-expect-error: there is no such level
v2.logger.fatal("no");
