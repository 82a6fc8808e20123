//! Whether a job whose pod was lost gets another one.
//!
//! `job.retries` says how often a job may be begun again where the cluster is at fault. What a node
//! does to a pod uses none of them up: where the job was not begun, or may be begun again, it gets
//! another pod, a few times. A job that fails by itself is never run again.

use runtime::job::Job;
use runtime::journal::Attempt;
use runtime::outcome::{Ended, Fault, Standing};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Event, Jobs, Made, limit};

/// How many pods of a job may be lost to nodes before the job is.
const LOST_TO_NODES: u32 = 3;

impl Jobs {
    /// Ends the pod of a job without success: the job gets another one, or fails.
    pub(super) fn lost(&mut self, id: usize, message: String, ended: Ended, delete: bool) {
        let entry = &mut self.all[id];
        let old = entry.pod.clone();
        if delete {
            self.events.push_back(Event::Delete { pod: old.clone() });
        }
        let Some(attempt) = next(&entry.job, entry.attempt, &ended) else {
            self.fail(id, message, Some(ended));
            return;
        };
        self.by_pod.remove(&old);
        self.again(id, attempt);
        self.events.push_back(Event::Retry { id, why: message });
    }

    /// Has another pod stand for a job.
    pub(in crate::life) fn again(&mut self, id: usize, attempt: Attempt) {
        let entry = &mut self.all[id];
        entry.attempt = attempt;
        entry.pod = pod_name(&entry.job.name, &entry.secret, attempt.number);
        entry.made = Made::Not;
        entry.adopted = false;
        entry.seen = false;
        entry.stuck = None;
        entry.standing = Standing::Pending;
        entry.version = 0;
        entry.streams = false;
        entry.deadline = Instant::now() + limit(&entry.job);
        self.by_pod.insert(entry.pod.clone(), id);
    }
}

/// The attempt that follows one that was lost, if there is one.
fn next(job: &Job, attempt: Attempt, ended: &Ended) -> Option<Attempt> {
    let number = attempt.number + 1;
    let lost = attempt.number - attempt.used;
    let again = Attempt { number, made: false, ..attempt };
    match ended.fault {
        Fault::Job => None,
        Fault::Node if lost < LOST_TO_NODES && (!ended.began || job.retries > 0) => Some(again),
        Fault::Node | Fault::Cluster => {
            (attempt.used < job.retries).then_some(Attempt { used: attempt.used + 1, ..again })
        }
    }
}

/// The name of a pod that stands for a job in place of its first, whose name is `first`.
fn pod_name(job: &str, first: &str, number: u32) -> String {
    const LONGEST: usize = 63;
    let suffix = format!("-r{number}");
    if first.len() + suffix.len() <= LONGEST {
        return format!("{first}{suffix}");
    }
    // A name that is cut may be that of another job that is.
    let digest = hex::encode(Sha256::digest(job.as_bytes()));
    let build = &first[job.len()..];
    let room = LONGEST.saturating_sub(build.len() + suffix.len() + 6);
    let kept = job[..room.min(job.len())].trim_end_matches(['-', '.']);
    format!("{kept}-{}{build}{suffix}", &digest[..5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_begun_again_only_where_that_is_safe() {
        let job = |retries| Job { retries, ..Job::new("a", "i") };
        let ended = |fault, began| Ended { fault, began, ..Ended::default() };
        let attempt = |number, used| Attempt { number, used, made: true };
        let after = |retries, from, fault, began| {
            next(&job(retries), from, &ended(fault, began)).map(|next| (next.number, next.used))
        };
        assert_eq!(after(5, attempt(0, 0), Fault::Job, true), None);
        assert_eq!(after(0, attempt(0, 0), Fault::Cluster, false), None);
        assert_eq!(after(2, attempt(0, 0), Fault::Cluster, false), Some((1, 1)));
        assert_eq!(after(2, attempt(2, 2), Fault::Cluster, false), None);
        // What was not begun may be made again; what was begun may not, unless the script says so.
        assert_eq!(after(0, attempt(0, 0), Fault::Node, false), Some((1, 0)));
        assert_eq!(after(0, attempt(0, 0), Fault::Node, true), None);
        assert_eq!(after(1, attempt(0, 0), Fault::Node, true), Some((1, 0)));
        assert_eq!(after(0, attempt(3, 0), Fault::Node, false), None);
        assert_eq!(after(1, attempt(3, 0), Fault::Node, true), Some((4, 1)));
    }

    #[test]
    fn the_name_of_another_pod_fits() {
        let build = "-01kag00000000000000000000a";
        let name = |job: &str, number| pod_name(job, &format!("{job}{build}"), number);
        assert_eq!(name("one", 1), format!("one{build}-r1"));
        let (long, other) = ("a".repeat(36), format!("{}b", "a".repeat(35)));
        for job in [&long, &other] {
            assert!(name(job, 12).len() <= 63, "{}", name(job, 12));
        }
        assert_ne!(name(&long, 1), name(&other, 1));
    }
}
