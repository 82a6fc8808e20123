// A script of Brigade 2's API, with everything that it has.
import {
  ConcurrentGroup, Container, Event, Job, JobError, JobHost, Runnable, SerialGroup, events, logger,
} from "@brigadecore/brigadier";

class MakeJob extends Job {
  constructor(target: string, event: Event) {
    super(`make-${target}`, "golang:1", event);
    this.primaryContainer.sourceMountPath = "/src";
    this.primaryContainer.workingDirectory = "/src";
    this.primaryContainer.command = ["make"];
    this.primaryContainer.arguments = [target];
    this.primaryContainer.environment = {
      VERSION: event.worker.git.ref,
      TOKEN: event.project.secrets.TOKEN,
      MISSING: undefined,
    };
    this.timeoutSeconds = 600;
  }
}

events.on("brigade.sh/github", "push", async (event) => {
  const test = new MakeJob("test", event);
  test.sidecarContainers = { docker: new Container("docker:dind") };
  test.sidecarContainers.docker.privileged = true;
  test.sidecarContainers.docker.workspaceMountPath = "/share";
  test.sidecarContainers["docker"].imagePullPolicy = "Always";
  test.host.os = "linux";
  test.host.nodeSelector["disk"] = "ssd";
  const scan = Job.container("scan", "scanner", event);
  scan.fallible = true;
  scan.host = new JobHost();

  await Job.sequence(test, Job.concurrent(scan, new MakeJob("build", event))).run();
  const text: string = await test.logs();
  logger.info("%s said", test.podName, text).debug("and that was it");
  return `tested ${event.qualifiers.repo} at ${event.worker.git.commit}`;
});

events
  .on("brigade.sh/cli", "exec", (event) => {
    const group = new ConcurrentGroup(new MakeJob("all", event));
    group.add({ run: async () => logger.warn(event.payload) && undefined });
    const all: Runnable = new SerialGroup(group);
    all.run().catch((error: JobError) => logger.error(`${error.job}: ${error.exitCode} ${error.reason}`));
    return `${group.length()} of ${event.id}`;
  })
  .on("brigade.sh/dockerhub", "*", (event) => void event.labels);

events.process();
