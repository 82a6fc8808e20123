//! The table of resources: what the API has, under which names, and what can be done with it.
//!
//! A kind with behaviour of its own (defaults, validation, columns) is matched by group and kind
//! where that behaviour lives; everything else is only a line here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::custom::Custom;
use crate::schema::{TYPES, Types};

/// One resource of one version of a group.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Whether it is stored and has all verbs; else it is only asked (reviews).
    pub(crate) stored: bool,
    pub(crate) subresources: Vec<Subresource>,
    /// Where its objects are kept; two versions of one kind share it.
    pub(crate) storage: String,
    /// The name of its type in the schema.
    pub(crate) schema: String,
    /// What its definition says, of a custom resource.
    pub(crate) custom: Option<Arc<Custom>>,
}

/// A part of an object with a path of its own.
#[derive(Debug, Clone)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

impl Resource {
    /// `plural` for the core group, else `plural.group`: how messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `v1` or `group/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(crate) fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|one| one.name == name)
    }

    /// The table of types that has its type, and where.
    pub(crate) fn types(&self) -> Option<(&Types, usize)> {
        match &self.custom {
            Some(custom) => Some((&custom.types, custom.root)),
            None => Some((&TYPES, TYPES.find(&self.schema)?)),
        }
    }

    /// The kind of its lists.
    pub(crate) fn list_kind(&self) -> String {
        match &self.custom {
            Some(custom) => custom.list_kind.clone(),
            None => format!("{}List", self.kind),
        }
    }

    /// What a client may do with it.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if let Some(custom) = &self.custom {
            return if custom.terminating {
                &["delete", "deletecollection", "get", "list", "watch"]
            } else {
                &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
            };
        }
        match (self.stored, self.kind.as_str()) {
            (true, "ComponentStatus") => &["get", "list"],
            (false, _) => &["create"],
            (true, "Namespace") => &["create", "delete", "get", "list", "patch", "update", "watch"],
            (true, _) => {
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            }
        }
    }

    /// Whether deletion waits for the dependents or orphans them when nobody says which.
    pub(crate) fn is_pod(&self) -> bool {
        self.is("", "Pod")
    }
}

/// All resources.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) resources: Vec<Arc<Resource>>,
    by_path: HashMap<(String, String, String), Arc<Resource>>,
    /// The resources of each definition, by its name, with what tells whether it has changed.
    definitions: HashMap<String, (String, Vec<Arc<Resource>>)>,
}

impl Catalogue {
    /// The resources that are built in.
    pub(crate) fn built_in() -> Self {
        Catalogue::with_definitions(HashMap::new())
    }

    /// The resources that are built in and those of definitions.
    pub(crate) fn with_definitions(
        definitions: HashMap<String, (String, Vec<Arc<Resource>>)>,
    ) -> Self {
        let mut customs: Vec<Arc<Resource>> =
            definitions.values().flat_map(|(_, resources)| resources).cloned().collect();
        customs.sort_by(|a, b| {
            (&a.group, rank(&b.version), &b.version, &a.plural).cmp(&(
                &b.group,
                rank(&a.version),
                &a.version,
                &b.plural,
            ))
        });
        let resources: Vec<Arc<Resource>> =
            table().into_iter().map(Arc::new).chain(customs).collect();
        let by_path = resources
            .iter()
            .map(|one| {
                let path = (one.group.clone(), one.version.clone(), one.plural.clone());
                (path, Arc::clone(one))
            })
            .collect();
        Catalogue { resources, by_path, definitions }
    }

    /// The resources of a definition, if it has not changed.
    pub(crate) fn definition(&self, name: &str, stamp: &str) -> Option<Vec<Arc<Resource>>> {
        let (known, resources) = self.definitions.get(name)?;
        (known == stamp).then(|| resources.clone())
    }

    /// Whether a group has nothing but custom resources.
    pub(crate) fn is_custom(&self, group: &str) -> bool {
        let mut all = self.resources.iter().filter(|one| one.group == group).peekable();
        all.peek().is_some() && all.all(|one| one.custom.is_some())
    }

    /// How many definitions are served.
    pub(crate) fn definitions(&self) -> usize {
        self.definitions.len()
    }

    /// The custom resources.
    pub(crate) fn customs(&self) -> impl Iterator<Item = &Arc<Custom>> {
        self.resources.iter().filter_map(|one| one.custom.as_ref())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let path = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_path.get(&path).cloned()
    }

    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.resources
            .iter()
            .find(|one| one.kind == kind && one.stored && one.api_version() == api_version)
            .cloned()
    }

    /// A built-in resource by storage name, for the server's own controllers.
    pub(crate) fn storage(&self, storage: &str) -> Arc<Resource> {
        self.find_storage(storage).expect("controllers ask for resources of the table")
    }

    /// A resource by storage name; custom ones come and go.
    pub(crate) fn find_storage(&self, storage: &str) -> Option<Arc<Resource>> {
        let mut found = self.resources.iter().filter(|one| one.storage == storage && one.stored);
        let first = found.next()?;
        // Of several versions the kept one speaks for all.
        let kept = |one: &&Arc<Resource>| {
            one.custom.as_ref().is_some_and(|custom| custom.storage_version == one.version)
        };
        Some(Arc::clone(if first.custom.is_none() || kept(&first) {
            first
        } else {
            found.find(kept).unwrap_or(first)
        }))
    }

    /// One resource per storage place: what namespaces and the garbage collector must look at.
    pub(crate) fn stored(&self) -> Vec<Arc<Resource>> {
        let mut seen = std::collections::HashSet::new();
        self.resources
            .iter()
            .filter(|one| one.stored && seen.insert(one.storage.clone()))
            .cloned()
            .collect()
    }

    /// The versions of every group but the core one, in the order of the real server.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for one in self.resources.iter().filter(|one| !one.group.is_empty()) {
            match groups.iter_mut().find(|(group, _)| *group == one.group) {
                Some((_, versions)) => {
                    if !versions.contains(&one.version) {
                        versions.push(one.version.clone());
                    }
                }
                None => groups.push((one.group.clone(), vec![one.version.clone()])),
            }
        }
        let place = |group: &str| ORDER.iter().position(|one| *one == group).unwrap_or(ORDER.len());
        groups.sort_by_key(|(group, _)| place(group));
        groups
    }
}

/// How old a version is by its name: `v2` before `v1` before `v1beta1` before `v1alpha1`.
fn rank(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse::<u64>().ok();
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    for (word, rank) in [("beta", 2), ("alpha", 1)] {
        if let Some((major, minor)) = rest.split_once(word)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (rank, major, minor);
        }
    }
    number(rest).map_or((0, 0, 0), |major| (3, major, 0))
}

const STATUS: &[&str] = &["get", "patch", "update"];

/// The groups in the order in which they are listed; those of custom resources follow.
const ORDER: &[&str] = &[
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

fn table() -> Vec<Resource> {
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
