// What a program with the JavaScript client does with a cluster; what it prints is checked.
// Its arguments are a kubeconfig, and the folder where the client is installed.

import { createRequire } from "node:module";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";

const [file, folder] = process.argv.slice(2);
const installed = createRequire(`${folder}/`).resolve("@kubernetes/client-node");
const k8s = await import(pathToFileURL(installed).href);

const config = new k8s.KubeConfig();
config.loadFromFile(file);
const core = config.makeApiClient(k8s.CoreV1Api);
const batch = config.makeApiClient(k8s.BatchV1Api);
const namespace = "default";

async function refused(what, promise) {
  try {
    await promise;
    console.log(what, "is not refused");
  } catch (error) {
    const body = typeof error.body === "string" ? JSON.parse(error.body) : error.body;
    console.log(what, "is refused:", error.code, body.reason);
  }
}

const as = (strategy) => k8s.setHeaderOptions("Content-Type", strategy);

console.log("version", (await config.makeApiClient(k8s.VersionApi).getCode()).major);

// Create, get, list.
const labels = { part: "client" };
const made = await core.createNamespacedConfigMap({
  namespace,
  body: { metadata: { name: "settings", labels }, data: { color: "red" } },
});
const start = made.metadata.resourceVersion;
console.log("created", made.metadata.name, made.data, made.metadata.creationTimestamp instanceof Date);
await refused(
  "the same name",
  core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "settings" } } }),
);
await refused("a missing one", core.readNamespacedConfigMap({ name: "none", namespace }));
for (const name of ["a", "b", "c"]) {
  const body = { metadata: { name, labels }, stringData: { key: name } };
  await core.createNamespacedSecret({ namespace, body });
}
const labelSelector = "part=client";
const page = await core.listNamespacedSecret({ namespace, labelSelector, limit: 2 });
const rest = await core.listNamespacedSecret({
  namespace,
  labelSelector,
  limit: 2,
  _continue: page.metadata._continue,
});
const names = (list) => list.items.map((one) => one.metadata.name);
console.log("pages", names(page), names(rest), rest.items[0].data);

// Patch in each way.
const patch = (body, strategy) =>
  core.patchNamespacedConfigMap({ name: "settings", namespace, body }, as(strategy));
const strategic = await patch({ data: { size: "small" } }, k8s.PatchStrategy.StrategicMergePatch);
console.log("strategic", strategic.data);
console.log("merge", (await patch({ data: { size: null } }, k8s.PatchStrategy.MergePatch)).data);
const replace = [{ op: "replace", path: "/data/color", value: "blue" }];
console.log("json", (await patch(replace, k8s.PatchStrategy.JsonPatch)).data);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const wanted = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "settings", namespace },
  data: { color: "green" },
};
const apply = (force) =>
  objects.patch(wanted, undefined, undefined, "node", force, k8s.PatchStrategy.ServerSideApply);
await refused("apply", apply(false));
console.log("apply", (await apply(true)).data);
await refused(
  "an old version",
  core.replaceNamespacedConfigMap({ name: "settings", namespace, body: made }),
);
await core.deleteNamespacedConfigMap({ name: "settings", namespace });

// Watch what has happened since.
const watch = new k8s.Watch(config);
const path = `/api/v1/namespaces/${namespace}/configmaps`;
await new Promise((resolve, reject) => {
  let ended = false;
  const opened = watch.watch(
    path,
    { resourceVersion: start },
    (type, object) => {
      console.log(type, object.metadata.name, object.data);
      if (type === "DELETED") {
        ended = true;
        opened.then((controller) => controller.abort());
        resolve();
      }
    },
    (error) => (ended ? resolve() : reject(error ?? new Error("the watch ended"))),
  );
});

// A pod, its log, its end.
const containers = [{ name: "main", image: "counter:1" }];
const spec = { containers, restartPolicy: "Never" };
await core.createNamespacedPod({ namespace, body: { metadata: { name: "main" }, spec } });

// An informer lists and watches as controllers do.
async function phase(name, wanted) {
  const list = () => core.listNamespacedPod({ namespace });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
  const found = new Promise((resolve, reject) => {
    const look = (pod) => {
      if (pod.metadata.name === name && wanted.includes(pod.status?.phase)) resolve(pod.status.phase);
    };
    informer.on("add", look);
    informer.on("update", look);
    informer.on("error", reject);
  });
  await informer.start();
  const phase = await found;
  await informer.stop();
  return phase;
}

await phase("main", ["Running", "Succeeded"]);
const sink = new PassThrough();
let text = "";
sink.on("data", (chunk) => (text += chunk));
const ended = new Promise((resolve) => sink.on("end", resolve));
await new k8s.Log(config).log(namespace, "main", "main", sink, { follow: true });
await ended;
for (const line of text.trimEnd().split("\n")) console.log("log", line);
console.log("phase", await phase("main", ["Succeeded"]));
const tail = await core.readNamespacedPodLog({ name: "main", namespace, tailLines: 1 });
console.log("tail", JSON.stringify(tail));
await refused(
  "another container",
  core.readNamespacedPodLog({ name: "main", namespace, container: "x" }),
);
await core.deleteNamespacedPod({ name: "main", namespace });
await refused("a deleted pod", core.readNamespacedPod({ name: "main", namespace }));

// Kinds of other groups, and what is asked of the server.
const job = await batch.createNamespacedJob({
  namespace,
  body: { metadata: { name: "once" }, spec: { template: { spec }, backoffLimit: 2, suspend: true } },
});
console.log("job", job.spec.completions, job.spec.backoffLimit);
await batch.deleteNamespacedJob({ name: "once", namespace, propagationPolicy: "Background" });
const review = await config.makeApiClient(k8s.AuthorizationV1Api).createSelfSubjectAccessReview({
  body: { spec: { resourceAttributes: { verb: "list", resource: "pods" } } },
});
console.log("allowed", review.status.allowed);
await core.deleteCollectionNamespacedSecret({ namespace, labelSelector });
console.log("left", (await core.listNamespacedSecret({ namespace, labelSelector })).items.length);
process.exit(0);
