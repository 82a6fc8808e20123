//! The table of built-in resources: a line each.

use super::{Resource, Subresource};

const STATUS: &[&str] = &["get", "patch", "update"];

/// The groups in the order in which they are listed; those of custom resources follow.
pub(super) const ORDER: &[&str] = &[
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Whether a resource is one of the table: no definition may take its place.
pub(crate) fn is_built_in(group: &str, plural: &str) -> bool {
    LINES.iter().any(|line| {
        line.plural == plural && line.api.split_once('/').map_or("", |(group, _)| group) == group
    })
}

/// One line of the table.
struct Line {
    api: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    categories: &'static str,
    namespaced: bool,
    subresources: &'static [Subresource],
}

const fn line(
    api: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
) -> Line {
    Line { api, kind, plural, short, categories: "", namespaced: true, subresources: &[] }
}

impl Line {
    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn all(mut self) -> Self {
        self.categories = "all";
        self
    }

    const fn categories(mut self, categories: &'static str) -> Self {
        self.categories = categories;
        self
    }

    const fn with(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }
}

const fn own(name: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource { name, group: "", version: "", kind: "", verbs }
}

const fn other(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, group, version, kind, verbs }
}

const ONLY_STATUS: &[Subresource] = &[own("status", STATUS)];
const SCALE_AND_STATUS: &[Subresource] =
    &[other("scale", "autoscaling", "v1", "Scale", STATUS), own("status", STATUS)];

const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const STREAM: &[&str] = &["create", "get"];

const LINES: &[Line] = &[
    line("v1", "Binding", "bindings", ""),
    line("v1", "ComponentStatus", "componentstatuses", "cs").cluster(),
    line("v1", "ConfigMap", "configmaps", "cm"),
    line("v1", "Endpoints", "endpoints", "ep"),
    line("v1", "Event", "events", "ev"),
    line("v1", "LimitRange", "limitranges", "limits"),
    line("v1", "Namespace", "namespaces", "ns")
        .cluster()
        .with(&[own("finalize", &["update"]), own("status", STATUS)]),
    line("v1", "Node", "nodes", "no")
        .cluster()
        .with(&[other("proxy", "", "v1", "NodeProxyOptions", PROXY), own("status", STATUS)]),
    line("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc").with(ONLY_STATUS),
    line("v1", "PersistentVolume", "persistentvolumes", "pv").cluster().with(ONLY_STATUS),
    line("v1", "Pod", "pods", "po").all().with(&[
        other("attach", "", "v1", "PodAttachOptions", STREAM),
        other("binding", "", "v1", "Binding", &["create"]),
        own("ephemeralcontainers", STATUS),
        other("eviction", "policy", "v1", "Eviction", &["create"]),
        other("exec", "", "v1", "PodExecOptions", STREAM),
        own("log", &["get"]),
        other("portforward", "", "v1", "PodPortForwardOptions", STREAM),
        other("proxy", "", "v1", "PodProxyOptions", PROXY),
        own("resize", STATUS),
        own("status", STATUS),
    ]),
    line("v1", "PodTemplate", "podtemplates", ""),
    line("v1", "ReplicationController", "replicationcontrollers", "rc")
        .all()
        .with(SCALE_AND_STATUS),
    line("v1", "ResourceQuota", "resourcequotas", "quota").with(ONLY_STATUS),
    line("v1", "Secret", "secrets", ""),
    line("v1", "ServiceAccount", "serviceaccounts", "sa").with(&[other(
        "token",
        "authentication.k8s.io",
        "v1",
        "TokenRequest",
        &["create"],
    )]),
    line("v1", "Service", "services", "svc")
        .all()
        .with(&[other("proxy", "", "v1", "ServiceProxyOptions", PROXY), own("status", STATUS)]),
    line("apiregistration.k8s.io/v1", "APIService", "apiservices", "")
        .cluster()
        .categories("api-extensions")
        .with(ONLY_STATUS),
    line(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "",
    )
    .cluster()
    .categories("api-extensions")
    .with(ONLY_STATUS),
    line(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "",
    )
    .cluster()
    .categories("api-extensions"),
    line(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "",
    )
    .cluster()
    .categories("api-extensions"),
    line(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "",
    )
    .cluster()
    .categories("api-extensions"),
    line(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd,crds",
    )
    .cluster()
    .categories("api-extensions")
    .with(ONLY_STATUS),
    line("apps/v1", "ControllerRevision", "controllerrevisions", ""),
    line("apps/v1", "DaemonSet", "daemonsets", "ds").all().with(ONLY_STATUS),
    line("apps/v1", "Deployment", "deployments", "deploy").all().with(SCALE_AND_STATUS),
    line("apps/v1", "ReplicaSet", "replicasets", "rs").all().with(SCALE_AND_STATUS),
    line("apps/v1", "StatefulSet", "statefulsets", "sts").all().with(SCALE_AND_STATUS),
    line("events.k8s.io/v1", "Event", "events", "ev"),
    line("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", "").cluster(),
    line("authentication.k8s.io/v1", "TokenReview", "tokenreviews", "").cluster(),
    line("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", ""),
    line("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "")
        .cluster(),
    line("authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "")
        .cluster(),
    line("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", "").cluster(),
    line(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "csr",
    )
    .cluster()
    .with(&[own("approval", STATUS), own("status", STATUS)]),
    line("networking.k8s.io/v1", "IPAddress", "ipaddresses", "ip").cluster(),
    line("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", "").cluster().with(ONLY_STATUS),
    line("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", "").cluster(),
    line("resource.k8s.io/v1", "DeviceClass", "deviceclasses", "").cluster(),
    line("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", "").with(ONLY_STATUS),
    line("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates", ""),
    line("resource.k8s.io/v1", "ResourceSlice", "resourceslices", "").cluster(),
    line("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "flowschemas", "")
        .cluster()
        .with(ONLY_STATUS),
    line(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        "",
    )
    .cluster()
    .with(ONLY_STATUS),
    line("storage.k8s.io/v1", "CSIDriver", "csidrivers", "").cluster(),
    line("storage.k8s.io/v1", "CSINode", "csinodes", "").cluster(),
    line("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities", ""),
    line("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", "")
        .cluster()
        .with(ONLY_STATUS),
    line("storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", "vac").cluster(),
    line("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa")
        .all()
        .with(ONLY_STATUS),
    line("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa")
        .all()
        .with(ONLY_STATUS),
    line("batch/v1", "CronJob", "cronjobs", "cj").all().with(ONLY_STATUS),
    line("batch/v1", "Job", "jobs", "").all().with(ONLY_STATUS),
    line("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", ""),
    line("networking.k8s.io/v1", "IngressClass", "ingressclasses", "").cluster(),
    line("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb").with(ONLY_STATUS),
    line("networking.k8s.io/v1", "Ingress", "ingresses", "ing").with(ONLY_STATUS),
    line("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
    line("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "").cluster(),
    line("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "").cluster(),
    line("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", ""),
    line("rbac.authorization.k8s.io/v1", "Role", "roles", ""),
    line("storage.k8s.io/v1", "StorageClass", "storageclasses", "sc").cluster(),
    line("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc").cluster(),
    line("coordination.k8s.io/v1", "Lease", "leases", ""),
];

/// The resources of the table.
pub(super) fn table() -> Vec<Resource> {
    LINES
        .iter()
        .map(|line| {
            let (group, version) = line.api.split_once('/').unwrap_or(("", line.api));
            let package = group.split('.').next().unwrap_or_default();
            let package = if package.is_empty() { "core" } else { package };
            Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: line.kind.to_owned(),
                plural: line.plural.to_owned(),
                singular: line.kind.to_lowercase(),
                short: words(line.short),
                categories: words(line.categories),
                namespaced: line.namespaced,
                stored: !line.kind.ends_with("Review") && line.kind != "Binding",
                subresources: line.subresources.to_vec(),
                storage: if group.is_empty() || line.plural == "events" {
                    line.plural.to_owned()
                } else {
                    format!("{}.{group}", line.plural)
                },
                schema: format!("{package}.{version}.{}", line.kind),
                custom: None,
            }
        })
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
