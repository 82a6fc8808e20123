#![doc = include_str!("../README.md")]

use runtime::build::Build;
use runtime::cluster::{Cluster, ClusterError};
use runtime::job::Policy;
use runtime::project::Project;

use script::Script;

pub mod script;

mod engine;
mod life;
mod limits;
mod mask;
mod outcome;
mod output;
mod packages;
mod report;
mod run;
mod start;
mod view;

pub use engine::{EngineError, Limits};
pub use life::Patience;
pub use outcome::{JobEnd, JobResult, Outcome};
pub use output::{Line, Output, Stream};
pub use packages::PackageOptions;
pub use report::{Listener, Report, ended_jobs};
pub use run::{run, settled};
pub use start::{Created, Start, StartEnd, start};

/// Everything that a build needs to be run.
#[derive(Clone)]
pub struct Context {
    pub cluster: Cluster,
    pub project: Project,
    /// As it is in the cluster, with its uid: what the build makes is owned by it.
    pub build: Build,
    pub script: Script,
    pub options: Options,
}

/// How an installation runs builds.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub policy: Policy,
    pub limits: Limits,
    pub patience: Patience,
    /// Where packages come from. They are fetched by `run` alone.
    pub packages: PackageOptions,
    /// Whether somebody is told how builds end, so that each must be followed to its end.
    pub notifies: bool,
    /// Who is told what happens while `run` runs a build, if anybody.
    pub listener: Option<Listener>,
}

/// Why a build was not run to its end. It may be run again: what exists is adopted.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("the cluster does not do what the build needs")]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the build was interrupted before its end; run again, it goes on where it was")]
    Interrupted,
}
