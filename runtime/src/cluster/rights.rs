//! What each program may do in the cluster, and no more: what the roles allow, what `functions check`
//! asks for, and what [`Cluster`](super::Cluster) calls.
//!
//! A method that calls something new has it added here, and in the roles of the chart.

/// A program that speaks to the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The functions.
    Functions,
    /// A worker's pod, which takes a build to its end.
    Worker,
    /// A sweeper's pod.
    Sweeper,
}

/// Where a right is needed; both may be one namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Where the projects are.
    Projects,
    /// Where builds are: the namespaces that projects name, and else that of the projects.
    Builds,
}

/// What may be done with a kind of objects, all of them of the core group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Right {
    /// Where.
    pub place: Place,
    /// The objects, as roles name them: `pods`, `pods/log`.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Functions, Part::Worker, Part::Sweeper];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Functions => "functions",
            Part::Worker => "worker",
            Part::Sweeper => "sweeper",
        }
    }

    /// What it needs, all of it.
    pub fn rights(self) -> &'static [Right] {
        match self {
            Part::Functions => FUNCTIONS,
            Part::Worker => WORKER,
            Part::Sweeper => SWEEPER,
        }
    }
}

const fn projects(resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { place: Place::Projects, resource, verbs }
}

const fn builds(resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { place: Place::Builds, resource, verbs }
}

const FUNCTIONS: &[Right] = &[
    // A timer's sweeper is a pod there; earlier ones are looked for as builds' pods are, if they may be.
    projects("pods", &["create"]),
    projects("secrets", &["get"]),
    builds("configmaps", &["get"]),
    builds("persistentvolumeclaims", &["create", "delete", "get"]),
    builds("pods", &["create", "delete", "get", "list"]),
    builds("secrets", &["create", "delete", "get", "list", "patch"]),
];

const WORKER: &[Right] = &[
    projects("secrets", &["get"]),
    builds("configmaps", &["get"]),
    builds("persistentvolumeclaims", &["create", "delete", "get"]),
    builds("pods", &["create", "delete", "get", "list", "watch"]),
    builds("pods/log", &["get"]),
    builds("secrets", &["create", "delete", "get", "list", "patch", "watch"]),
];

const SWEEPER: &[Right] = &[
    projects("secrets", &["get", "list"]),
    builds("persistentvolumeclaims", &["delete", "list"]),
    builds("pods", &["create", "delete", "get", "list"]),
    builds("secrets", &["create", "delete", "get", "list", "patch"]),
];
