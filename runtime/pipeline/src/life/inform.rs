//! Tells who listens what happens in the build.

use std::collections::VecDeque;

use runtime::cluster::Cluster;
use runtime::journal::End;

use super::tasks::Happened;
use super::{Life, READINGS, logs};
use crate::mask::Mask;
use crate::outcome::JobEnd;
use crate::report::Report;

/// How much of the log of a failed job is told.
const LOG: usize = 16 << 10;

/// What has been told, and what is to be.
#[derive(Default)]
pub(super) struct Informing {
    heard: bool,
    /// The jobs that have failed, whose logs are still to be read.
    failed: VecDeque<usize>,
    /// Those whose logs are being read.
    reading: Vec<usize>,
}

impl Life<'_> {
    /// Tells what has happened since this was called before, if somebody listens.
    pub(super) fn inform(&mut self) {
        let Some(listener) = self.context.options.listener.clone().filter(|_| self.follows) else {
            return;
        };
        if self.heard && !std::mem::replace(&mut self.informing.heard, true) {
            listener.tell(Report::Heard);
        }
        for id in self.jobs.take_changed() {
            let end = self.jobs.end(id);
            match self.jobs.ended(id, |text| self.printer.masked(text)) {
                None => listener.tell(Report::Made {
                    name: self.jobs.name(id).to_owned(),
                    pod: self.jobs.pod(id).to_owned(),
                }),
                // What is cancelled is being deleted.
                Some(_) if !end.succeeded && end.ran && !self.cancel.is_on() => {
                    self.informing.failed.push_back(id);
                }
                Some(ended) => listener.tell(told(ended, &end, String::new())),
            }
        }
        while self.informing.reading.len() < READINGS
            && let Some(id) = self.informing.failed.pop_front()
            && let Some(ended) = self.jobs.ended(id, |text| self.printer.masked(text))
        {
            self.informing.reading.push(id);
            let end = self.jobs.end(id);
            let (mask, listener) = (self.printer.mask(), listener.clone());
            let (cluster, namespace) =
                (self.context.cluster.clone(), self.context.build.namespace.clone());
            self.tasks.push(Box::pin(async move {
                let log = tail(&cluster, &namespace, &ended.pod, &mask).await;
                listener.tell(told(ended, &end, log));
                Happened::Informed(id)
            }));
        }
    }

    /// A failed job was told of, with its log.
    pub(super) fn informed(&mut self, id: usize) {
        self.informing.reading.retain(|reading| *reading != id);
    }

    /// Tells of the failed jobs whose logs have not come.
    pub(super) fn inform_without_logs(&mut self) {
        let Some(listener) = self.context.options.listener.clone() else { return };
        let reading = std::mem::take(&mut self.informing.reading);
        let failed = std::mem::take(&mut self.informing.failed);
        for id in reading.into_iter().chain(failed) {
            if let Some(ended) = self.jobs.ended(id, |text| self.printer.masked(text)) {
                listener.tell(told(ended, &self.jobs.end(id), String::new()));
            }
        }
    }
}

fn told(ended: JobEnd, end: &End, log: String) -> Report {
    let End { started, finished, exit_code, .. } = *end;
    Report::Ended { end: ended, started, finished, exit_code, log }
}

/// The end of a job's log, without secrets; one that cannot be read is none.
pub(crate) async fn tail(cluster: &Cluster, namespace: &str, pod: &str, mask: &Mask) -> String {
    let most = LOG + mask.longest();
    let log = logs::end(cluster, namespace, pod, most).await;
    shown(mask, log.unwrap_or_default(), most)
}

/// What is shown of the end of a log: no part of a secret is in it.
fn shown(mask: &Mask, log: String, most: usize) -> String {
    let whole = log.len() < most;
    let from = if whole { 0 } else { mask.cut(log.as_bytes(), mask.longest()) };
    let masked = mask.apply(log.get(log.ceil_char_boundary(from)..).unwrap_or_default());
    let kept = masked.len().saturating_sub(LOG);
    masked[masked.ceil_char_boundary(kept)..].to_owned()
}

#[test]
fn the_end_of_a_log_has_no_part_of_a_secret() {
    let mask = Mask::of(&crate::engine::tests::project());
    let most = LOG + mask.longest();
    for before in 0..40 {
        let log = "x".repeat(before) + &"correct horse".repeat(2 * most);
        let log = log[log.len() - most - 13 + before % 13..][..most].to_owned();
        let shown = shown(&mask, log, most);
        assert!(shown.len() <= LOG);
        let rest = shown.replace("***", "");
        assert!(rest.len() < 13, "{rest}");
    }
    assert_eq!(shown(&mask, "a correct horse".to_owned(), most), "a ***");
}
