// A script of Brigade 1's API, with everything that it has.
import { events, fire, Job, Group, ErrorReport, BrigadeEvent, Project, JobError } from "brigadier";

events.on("push", async (e: BrigadeEvent, project: Project) => {
  const payload: { ref: string } = JSON.parse(e.payload);
  const build = new Job("build", "docker:dind", ["dockerd-entrypoint.sh &", `docker build . -t ${payload.ref}`]);
  build.privileged = project.allowPrivilegedJobs;
  build.env = {
    USER: project.secrets.DOCKER_USER,
    RETRIES: 3,
    VERBOSE: true,
    EMPTY: null,
    MISSING: undefined,
    TOKEN: { secretKeyRef: { name: "other", key: "token" } },
    POD: { fieldRef: { fieldPath: "metadata.name" } },
  };
  build.timeout = 30 * 60 * 1000;
  build.retries = 2;
  build.cache.enabled = true;
  build.cache.size = "1Gi";
  build.storage.enabled = true;
  build.storage.path = "/share";
  build.docker.enabled = false;
  build.host.nodeSelector.set("disk", "ssd");
  build.host.os = "linux";
  build.resourceRequests.cpu = "500m";
  build.resourceLimits.memory = "1Gi";
  build.imagePullSecrets.push("registry");
  build.volumes.push({ name: "tmp", emptyDir: {} }, { name: "modules", hostPath: { path: "/lib/modules" } });
  build.volumeMounts.push({ name: "tmp", mountPath: "/tmp", readOnly: true });
  build.annotations = { team: "blue" };
  build.streamLogs = true;
  build.shell = "/bin/bash";
  build.args = ["a"];
  build.serviceAccount = "builder";

  try {
    const result = await build.run();
    const took = Number(result.endTime) - Number(result.startTime);
    const text: string = `${took} ${result.exitCode} ${result.podName}` + result.toString() + result.data + (await build.logs()) + build.podName;
    build.env = new Map([["TEXT", text]]);
  } catch (error) {
    const { job, podName, exitCode, reason }: JobError = error as JobError;
    throw new Error(`${job} ${podName} ${exitCode} ${reason}`);
  }

  const group = new Group([new Job("a", "alpine"), new Job("b", "alpine", null, true)]);
  group.add(new Job("c"));
  const many = await (group.length() > 2 ? group.runAll() : Group.runEach(group.jobs));
  many.map((each) => each.toString().trim());

  if (events.has("deploy")) events.emit("deploy", e, project);
  fire({ type: "deploy", cause: { event: e, trigger: "mine" } }, project);
  events.fire({ ...e, type: "deploy" }, project);
  new ErrorReport(e, "reason");
});

events
  .on("after", (e, project) => `${e.cause.event.type} ${e.cause.trigger} ${project.repo?.cloneURL}`)
  .on("error", async (e) => String(e.cause.reason));

class Test extends Job {
  constructor(name: string) {
    super(name, "alpine:3", ["true"]);
    this.timeout = 60_000;
  }
}

events.on("exec", (e, project) => new Test(`test-${e.buildID.slice(0, 6)}`).run());
events.once("image_push", (e: BrigadeEvent) => e.image?.reference ?? e.revision.commit);
