// Brigade 2's API: a container beside the one that does the work, and a summary at the end.
const { events, Job, Container } = require("@brigadecore/brigadier");

const shell = (container, script) => {
  container.command = ["/bin/sh", "-c"];
  container.arguments = [script];
  container.workspaceMountPath = "/share";
};

events.on("brigade.sh/cli", "exec", async (event) => {
  const guest = new Job("guest", "alpine:3.20", event);
  shell(guest.primaryContainer, "until [ -s /share/greeting ]; do sleep 0.1; done; cat /share/greeting");

  const host = new Container("alpine:3.20");
  host.environment = { GREETING: "welcome" };
  // It ends when it is told that the guest has gone.
  shell(host, 'trap "exit 0" TERM; echo "$GREETING" > /share/greeting; sleep 3600 & wait');
  guest.sidecarContainers = { host };

  await guest.run();
  return "one guest was welcome";
});

events.process();
