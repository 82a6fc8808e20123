// What happens when somebody pushes to the repository, and when the image that comes of it arrives
// in the registry. It is written as for Brigade 1.x, and runs on Brigade 1.x too.

const { events, Job } = require("brigadier");

// A push: build the image with a Docker daemon of its own, and push it to the registry.
events.on("push", (e, project) => {
  const registry = project.secrets.DOCKER_REGISTRY || "docker.io";
  const image = `${registry}/voyage:${e.revision.commit.substring(0, 7)}`;

  const docker = new Job("dind", "docker:stable-dind");
  docker.privileged = true;
  docker.env = {
    DOCKER_DRIVER: "overlay2",
    DOCKER_USER: project.secrets.DOCKER_USER,
    DOCKER_PASS: project.secrets.DOCKER_PASS,
  };
  docker.tasks.push(
    "dockerd-entrypoint.sh > /tmp/dockerd.log 2>&1 &",
    "until docker info > /dev/null 2>&1; do echo 'waiting for dockerd'; sleep 1; done",
    "cd /src",
    `docker build -t ${image} app`,
    `echo "$DOCKER_PASS" | docker login -u "$DOCKER_USER" --password-stdin ${registry}`,
    `docker push ${image}`,
  );
  docker.run();
});

// A pull request: test it. Who is told how that ends is in project.yaml, under notifiers.
events.on("pull_request", () => {
  const test = new Job("test", "alpine:3.20");
  test.tasks.push("cd /src", "sh app/test.sh");
  test.run();
});

// An image in the registry: tell Slack.
events.on("image_push", (e, project) => {
  const push = JSON.parse(e.payload);
  console.log("the registry says", { action: push.action, tag: push.target.tag });

  const slack = new Job("slack-notify", "technosophos/slack-notify:latest", ["/slack-notify"]);
  slack.storage.enabled = false;
  slack.env = {
    SLACK_WEBHOOK: project.secrets.SLACK_WEBHOOK,
    SLACK_USERNAME: project.secrets.SLACK_USERNAME || "Brigantine",
    SLACK_TITLE: "New Build",
    SLACK_MESSAGE: `New Build ${push.target.repository}:${push.target.tag} available!`,
    SLACK_COLOR: "#0b7a75",
  };
  slack.run();
});
