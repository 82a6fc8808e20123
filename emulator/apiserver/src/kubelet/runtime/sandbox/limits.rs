//! Limits of memory, processors and processes, by control groups of the kernel.
//!
//! Both forms are known: the unified hierarchy and the older ones, one for each controller. Below
//! the kubelet's own group (or the nearest one above it where that is allowed) there is a group for
//! this kubelet, in it one for each pod, in that one for each run of a container. Where no group
//! can be made nothing is limited but what each process takes by itself, and [`Groups::has`] says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Resources;

/// Processors' time is counted in periods of so many microseconds.
const PERIOD: f64 = 100_000.0;

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Processor,
    Processes,
}

impl Controller {
    const ALL: [Controller; 3] = [Controller::Memory, Controller::Processor, Controller::Processes];

    fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Processor => "cpu",
            Controller::Processes => "pids",
        }
    }

    /// A file that only a group with this controller has.
    fn file(self, unified: bool) -> &'static str {
        match (self, unified) {
            (Controller::Memory, true) => "memory.max",
            (Controller::Memory, false) => "memory.limit_in_bytes",
            (Controller::Processor, true) => "cpu.max",
            (Controller::Processor, false) => "cpu.cfs_quota_us",
            (Controller::Processes, _) => "pids.max",
        }
    }
}

/// The groups of one kubelet; removed when this is dropped.
#[derive(Debug)]
pub(super) struct Groups {
    hierarchies: Vec<Hierarchy>,
}

#[derive(Debug)]
struct Hierarchy {
    /// The kubelet's group.
    folder: PathBuf,
    unified: bool,
    controllers: Vec<Controller>,
}

/// The groups of one run of a container; removed when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Where processes are put.
    pub(super) folders: Vec<PathBuf>,
    memory: Option<(PathBuf, bool)>,
}

impl Groups {
    /// Makes the kubelet's group wherever that is possible.
    pub(super) fn new() -> Groups {
        let name = format!("apiserver-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut groups = Groups { hierarchies: Vec::new() };
        for (top, own, unified, controllers) in candidates(&own, &mounts) {
            let missing: Vec<_> = controllers.into_iter().filter(|one| !groups.has(*one)).collect();
            let found = own.ancestors().take_while(|folder| folder.starts_with(&top));
            let made = found.filter_map(|above| make(above, &name, unified, &missing)).next();
            groups.hierarchies.extend(made);
        }
        groups
    }

    /// Whether something can be limited.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.controllers.contains(&controller))
    }

    /// Makes the group of one run of a container, with its limits.
    pub(super) fn enter(
        &self,
        pod: &str,
        run: &str,
        resources: &Resources,
        processes: Option<u64>,
    ) -> io::Result<Group> {
        let mut group = Group::default();
        for hierarchy in &self.hierarchies {
            let of_pod = hierarchy.folder.join(format!("pod-{pod}"));
            let folder = of_pod.join(run);
            fs::create_dir_all(&of_pod)?;
            hierarchy.pass_on(&of_pod)?;
            fs::create_dir_all(&folder)?;
            for controller in &hierarchy.controllers {
                match controller {
                    Controller::Memory => {
                        limit_memory(&folder, hierarchy.unified, resources.memory)?;
                        group.memory = Some((folder.clone(), hierarchy.unified));
                    }
                    Controller::Processor => {
                        limit_processors(&folder, hierarchy.unified, resources.processors)?;
                    }
                    Controller::Processes => {
                        let limit = processes.map_or("max".to_owned(), |count| count.to_string());
                        fs::write(of_pod.join("pids.max"), limit)?;
                    }
                }
            }
            group.folders.push(folder);
        }
        Ok(group)
    }

    /// Removes the groups of a pod that has ended.
    pub(super) fn end_pod(&self, pod: &str) {
        for hierarchy in &self.hierarchies {
            remove_group(&hierarchy.folder.join(format!("pod-{pod}")));
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for hierarchy in &self.hierarchies {
            remove_group(&hierarchy.folder);
        }
    }
}

impl Group {
    /// Whether the kernel has killed one of its processes for the memory that it took.
    pub(super) fn was_out_of_memory(&self) -> bool {
        let Some((folder, unified)) = &self.memory else { return false };
        let file = if *unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }

    /// Removes it; the kernel needs a moment after the last process has ended.
    pub(super) async fn remove(self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..50 {
            let left = self
                .folders
                .iter()
                .any(|folder| folder.exists() && fs::remove_dir(folder).is_err());
            if !left {
                return;
            }
            ticks.tick().await;
        }
        tracing::debug!(folders = ?self.folders, "control groups are left behind");
    }
}

impl Hierarchy {
    /// In the unified form a group says which controllers those below it have.
    fn pass_on(&self, folder: &Path) -> io::Result<()> {
        if self.unified {
            for controller in &self.controllers {
                let file = folder.join("cgroup.subtree_control");
                fs::write(file, format!("+{}", controller.name()))?;
            }
        }
        Ok(())
    }
}

/// The hierarchies: where each is mounted, this process's group in it, its form and controllers.
fn candidates(own: &str, mounts: &str) -> Vec<(PathBuf, PathBuf, bool, Vec<Controller>)> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mount: Vec<_> = mount.split(' ').collect();
        let kind: Vec<_> = kind.split(' ').collect();
        let (Some(root), Some(at), Some(form)) = (mount.get(3), mount.get(4), kind.first()) else {
            continue;
        };
        let unified = *form == "cgroup2";
        let options: Vec<_> = kind.get(2).unwrap_or(&"").split(',').collect();
        let controllers: Vec<_> = Controller::ALL
            .into_iter()
            .filter(|controller| unified || options.contains(&controller.name()))
            .collect();
        if !(unified || *form == "cgroup") || controllers.is_empty() {
            continue;
        }
        let group = own.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            let same = match unified {
                true => names.is_empty(),
                false => names.split(',').any(|name| name == controllers[0].name()),
            };
            same.then_some(path)
        });
        let inner = Path::new(group.unwrap_or("/"));
        let inner = inner.strip_prefix(root).or(inner.strip_prefix("/")).unwrap_or(Path::new(""));
        // Without a slash at the end.
        let own = Path::new(at).join(inner).components().collect();
        found.push((PathBuf::from(at), own, unified, controllers));
    }
    found
}

/// Makes the kubelet's group below a group, if that gives it one of the controllers.
fn make(above: &Path, name: &str, unified: bool, wanted: &[Controller]) -> Option<Hierarchy> {
    let folder = above.join(name);
    remove_abandoned(above);
    fs::create_dir(&folder).ok()?;
    let controllers = wanted.iter().copied();
    let controllers: Vec<_> =
        controllers.filter(|one| folder.join(one.file(unified)).exists()).collect();
    let hierarchy = Hierarchy { folder, unified, controllers };
    if hierarchy.controllers.is_empty() || hierarchy.pass_on(&hierarchy.folder).is_err() {
        remove_group(&hierarchy.folder);
        return None;
    }
    Some(hierarchy)
}

/// Removes what kubelets have left that were killed.
fn remove_abandoned(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix("apiserver-")?.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            remove_group(&entry.path());
        }
    }
}

fn limit_memory(folder: &Path, unified: bool, bytes: Option<u64>) -> io::Result<()> {
    let Some(bytes) = bytes else { return Ok(()) };
    let limit = bytes.to_string();
    if unified {
        fs::write(folder.join("memory.max"), limit)?;
        // Where there is no swap there is no such file.
        let _ = fs::write(folder.join("memory.swap.max"), "0");
    } else {
        fs::write(folder.join("memory.limit_in_bytes"), &limit)?;
        let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), limit);
    }
    Ok(())
}

fn limit_processors(folder: &Path, unified: bool, processors: Option<f64>) -> io::Result<()> {
    let Some(processors) = processors else { return Ok(()) };
    // The kernel takes no less than a millisecond.
    let quota = (processors * PERIOD).max(1000.0) as u64;
    if unified {
        fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD}"))
    } else {
        fs::write(folder.join("cpu.cfs_period_us"), format!("{PERIOD}"))?;
        fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())
    }
}

/// Removes a group and those in it, as far as they are empty.
fn remove_group(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    // What is not empty goes with its last process, or with the next kubelet.
    let _ = fs::remove_dir(folder);
}

#[test]
fn hierarchies_of_both_forms_are_found() {
    let mounts = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                  31 30 0:27 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n\
                  32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  33 30 0:29 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
                  34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n";
    let own = "4:memory:/service/a\n2:cpu,cpuacct:/\n0::/user.slice/b\n";
    let found = candidates(own, mounts);
    let found: Vec<_> = found
        .iter()
        .map(|(_, own, unified, controllers)| (own.to_str().unwrap(), *unified, controllers.len()))
        .collect();
    assert_eq!(
        found,
        [
            ("/sys/fs/cgroup/memory/service/a", false, 1),
            ("/sys/fs/cgroup/cpu,cpuacct", false, 1),
            ("/sys/fs/cgroup/unified/user.slice/b", true, 3),
        ]
    );
}
