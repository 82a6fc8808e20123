"""What a program with the Python client does with a cluster; what it prints is checked.

Its argument is a kubeconfig."""

import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config(config_file=sys.argv[1])
core = client.CoreV1Api()
batch = client.BatchV1Api()
SPACE = "default"


def refused(what, call):
    try:
        call()
        print(what, "is not refused")
    except ApiException as error:
        print(what, "is refused:", error.status, error.reason)


print("version", client.VersionApi().get_code().major)

# Create, get, list.
labels = {"part": "client"}
metadata = client.V1ObjectMeta(name="settings", labels=labels)
made = core.create_namespaced_config_map(
    SPACE, client.V1ConfigMap(metadata=metadata, data={"color": "red"})
)
start = made.metadata.resource_version
print("created", made.metadata.name, made.data, made.metadata.creation_timestamp is not None)
refused("the same name", lambda: core.create_namespaced_config_map(SPACE, made.__class__(metadata=metadata)))
refused("a missing one", lambda: core.read_namespaced_config_map("none", SPACE))
for name in ["a", "b", "c"]:
    core.create_namespaced_secret(
        SPACE,
        client.V1Secret(
            metadata=client.V1ObjectMeta(name=name, labels=labels), string_data={"key": name}
        ),
    )
page = core.list_namespaced_secret(SPACE, label_selector="part=client", limit=2)
names = [one.metadata.name for one in page.items]
rest = core.list_namespaced_secret(
    SPACE, label_selector="part=client", limit=2, _continue=page.metadata._continue
)
print("pages", names, [one.metadata.name for one in rest.items], rest.items[0].data)

# Patch in each way.
strategic = core.patch_namespaced_config_map("settings", SPACE, {"data": {"size": "small"}})
print("strategic", strategic.data)
merged = core.patch_namespaced_config_map(
    "settings", SPACE, {"data": {"size": None}}, _content_type="application/merge-patch+json"
)
print("merge", merged.data)
patched = core.patch_namespaced_config_map(
    "settings", SPACE, [{"op": "replace", "path": "/data/color", "value": "blue"}]
)
print("json", patched.data)
untyped = dynamic.DynamicClient(client.ApiClient())
maps = untyped.resources.get(api_version="v1", kind="ConfigMap")
wanted = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"color": "green"},
}
try:
    maps.server_side_apply(body=wanted, namespace=SPACE, field_manager="python")
    print("apply is not refused")
except dynamic.exceptions.ConflictError as error:
    print("apply is refused:", error.status, error.reason)
applied = maps.server_side_apply(
    body=wanted, namespace=SPACE, field_manager="python", force_conflicts=True
)
print("apply", applied.data.to_dict())
made.data = {"color": "black"}
refused("an old version", lambda: core.replace_namespaced_config_map("settings", SPACE, made))
core.delete_namespaced_config_map("settings", SPACE)

# Watch what has happened since.
events = watch.Watch()
for event in events.stream(
    core.list_namespaced_config_map, SPACE, resource_version=start, timeout_seconds=30
):
    print(event["type"], event["object"].metadata.name, event["object"].data)
    if event["type"] == "DELETED":
        events.stop()

# A pod, its log, its end.
container = client.V1Container(name="main", image="counter:1")
core.create_namespaced_pod(
    SPACE,
    client.V1Pod(
        metadata=client.V1ObjectMeta(name="main"),
        spec=client.V1PodSpec(containers=[container], restart_policy="Never"),
    ),
)


def phase(name, wanted):
    seen = watch.Watch()
    for event in seen.stream(
        core.list_namespaced_pod, SPACE, field_selector=f"metadata.name={name}", timeout_seconds=30
    ):
        if event["object"].status.phase in wanted:
            seen.stop()
            return event["object"].status.phase


phase("main", ["Running", "Succeeded"])
for line in watch.Watch().stream(core.read_namespaced_pod_log, "main", SPACE):
    print("log", line)
print("phase", phase("main", ["Succeeded"]))
print("tail", repr(core.read_namespaced_pod_log("main", SPACE, tail_lines=1)))
refused("another container", lambda: core.read_namespaced_pod_log("main", SPACE, container="x"))
core.delete_namespaced_pod("main", SPACE)
refused("a deleted pod", lambda: core.read_namespaced_pod("main", SPACE))

# Kinds of other groups, and what is asked of the server.
template = client.V1PodTemplateSpec(
    spec=client.V1PodSpec(containers=[container], restart_policy="Never")
)
job = batch.create_namespaced_job(
    SPACE,
    client.V1Job(
        metadata=client.V1ObjectMeta(name="once"),
        spec=client.V1JobSpec(template=template, backoff_limit=2, suspend=True),
    ),
)
print("job", job.spec.completions, job.spec.backoff_limit)
batch.delete_namespaced_job("once", SPACE, propagation_policy="Background")
review = client.AuthorizationV1Api().create_self_subject_access_review(
    client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="list", resource="pods")
        )
    )
)
print("allowed", review.status.allowed)
core.delete_collection_namespaced_secret(SPACE, label_selector="part=client")
print("left", len(core.list_namespaced_secret(SPACE, label_selector="part=client").items))
