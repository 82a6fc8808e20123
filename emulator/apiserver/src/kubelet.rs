//! The kubelet: an ordinary client of a Kubernetes API that runs the pods of one node.

mod runtime;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::runtime::Runtime;
pub use self::runtime::sandbox::Sandbox;
pub use self::runtime::simulate::Simulate;

/// How the sandbox composes containers.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The bubblewrap program, by path or by name.
    pub program: PathBuf,
    /// Folders searched for `<folder>/<image repository>`, which is laid over the root read-only.
    pub overlays: Vec<PathBuf>,
    /// Environment of every container, unless its pod sets the same name.
    pub environment: BTreeMap<String, String>,
    /// More files and folders of the host (first) at paths of every container, read-only.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// Whether containers share the host's network; they have none otherwise.
    pub network: bool,
}

impl Default for SandboxOptions {
    fn default() -> SandboxOptions {
        SandboxOptions {
            program: "bwrap".into(),
            overlays: Vec::new(),
            environment: BTreeMap::new(),
            binds: Vec::new(),
            network: true,
        }
    }
}

/// How simulated containers end.
#[derive(Clone, Debug, Default)]
pub struct SimulateOptions {
    /// The first rule that matches decides; without one a container ends well at once.
    pub rules: Vec<SimulateRule>,
}

/// The outcome of the simulated containers of some pods.
#[derive(Clone, Debug, Default)]
pub struct SimulateRule {
    /// The image, with `*` and `?`; all images if absent.
    pub image: Option<String>,
    /// The pod's name, with `*` and `?`; all pods if absent.
    pub pod: Option<String>,
    /// The exit code.
    pub exit_code: i32,
    /// Lines of the log, after the one that says that it is simulated.
    pub log: Vec<String>,
    /// How long the container runs.
    pub duration: Duration,
    /// Whether it runs until it is killed.
    pub never_ends: bool,
}
