//! What a script may use: what its project says, within what the installation allows.

use std::time::Duration;

use runtime::project::{Project, ScriptLimits};

use crate::Limits;

/// What projects may let their scripts have where the installation says nothing.
const MOST: Limits = Limits {
    memory: 256 << 20,
    running: Duration::from_secs(60),
    jobs: 5000,
    timers: 10_000,
    output: 16 << 20,
    log: 1 << 20,
};

impl Limits {
    /// The limits of a project's scripts: those that it sets and else the usual ones, and never more
    /// than `most`.
    pub fn of(project: &Project, most: &ScriptLimits) -> Limits {
        let (usual, own) = (Limits::default(), &project.limits.script);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Limits {
            memory: own
                .memory
                .map_or(usual.memory, size)
                .min(most.memory.map_or(MOST.memory, size)),
            running: own.time.unwrap_or(usual.running).min(most.time.unwrap_or(MOST.running)),
            jobs: own.jobs.unwrap_or(usual.jobs).min(most.jobs.unwrap_or(MOST.jobs)),
            timers: own.timers.unwrap_or(usual.timers).min(most.timers.unwrap_or(MOST.timers)),
            output: own
                .output
                .map_or(usual.output, size)
                .min(most.output.map_or(MOST.output, size)),
            log: usual.log,
        }
    }
}

#[test]
fn a_project_sets_limits_within_what_the_installation_allows() {
    let yaml = "project: a/b\nlimits: {scriptMemory: 1Gi, scriptTime: 30s, scriptJobs: 3}";
    let (project, _) = runtime::project::values::read(yaml, "default").unwrap();
    let limits = Limits::of(&project, &ScriptLimits::default());
    assert_eq!((limits.memory, limits.jobs), (256 << 20, 3));
    assert_eq!(limits.running, Duration::from_secs(30));
    assert_eq!(limits.timers, Limits::default().timers);
    let most = "memory=1Gi,time=5s,timers=7".parse().unwrap();
    let limits = Limits::of(&project, &most);
    assert_eq!((limits.memory, limits.timers), (1 << 30, 7));
    assert_eq!(limits.running, Duration::from_secs(5));
}
