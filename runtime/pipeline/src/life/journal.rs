//! What the script was told, in which order and when: read from the jobs' Secrets when a worker
//! begins, and written there before anything that follows from it is done.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use runtime::journal::{self, End, Record, Told, annotation};

/// How much of a log is kept in a job's Secret, for when its pod is gone.
const LOG: usize = 16 << 10;

/// How much of all logs of a job is kept so: an object has 256 KiB for all of its annotations, and
/// a character may take six there.
const LOGS_OF_JOB: usize = 32 << 10;

/// How much of all logs of a build is kept so.
const LOGS: usize = 4 << 20;

/// What is kept of a sentence.
const SENTENCE: usize = 4 << 10;

pub(super) struct Journal {
    /// What was before, by the names of the jobs.
    records: HashMap<String, Record>,
    /// What the script was told before and has not been told in this life, in order.
    past: VecDeque<Head>,
    last: u64,
    /// What the script was told and what is not in the cluster yet.
    open: BTreeSet<u64>,
    /// How much may still be kept of logs.
    room: usize,
    /// How much is kept of each job's logs, by the names of the jobs.
    kept: HashMap<String, usize>,
}

/// Something that the script was told before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) told: Told,
    pub(super) job: String,
    /// The number of the question, if it was a log that the script asked for.
    pub(super) token: Option<u64>,
}

/// Something to be written to a job's Secret.
#[derive(Debug)]
pub(super) struct Note {
    /// What must not be acted upon before this is written.
    pub(super) sequence: Option<u64>,
    pub(super) secret: String,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Journal {
    pub(super) fn new(records: HashMap<String, Record>) -> Journal {
        let mut past: Vec<Head> = records
            .iter()
            .flat_map(|(job, record)| {
                let end = record.end.iter().filter_map(|end| end.told).map(|told| (told, None));
                let logs = record.logs.iter().map(|(token, log)| (log.told, Some(*token)));
                end.chain(logs).map(|(told, token)| Head { told, job: job.clone(), token })
            })
            .collect();
        past.sort_by_key(|head| head.told.sequence);
        let kept = records.iter().map(|(job, record)| (job.clone(), kept(record)));
        let kept: HashMap<String, usize> = kept.collect();
        Journal {
            last: past.last().map_or(0, |head| head.told.sequence),
            past: past.into(),
            records,
            open: BTreeSet::new(),
            room: LOGS.saturating_sub(kept.values().sum()),
            kept,
        }
    }

    /// The latest time that anybody noted.
    pub(super) fn latest(&self) -> Option<i64> {
        let told = self.past.iter().map(|head| head.told.at);
        told.chain(self.records.values().filter_map(|record| record.at)).max()
    }

    pub(super) fn record(&self, job: &str) -> Option<&Record> {
        self.records.get(job)
    }

    /// What the script is to be told next, because it was told that before.
    pub(super) fn head(&self) -> Option<&Head> {
        self.past.front()
    }

    pub(super) fn pass(&mut self) {
        self.past.pop_front();
    }

    /// Forgets that the script was told something: in this life nobody asked.
    pub(super) fn skip(&mut self) {
        let Some(head) = self.past.pop_front() else { return };
        let Some(record) = self.records.get_mut(&head.job) else { return };
        match (head.token, &mut record.end) {
            (Some(token), _) => drop(record.logs.remove(&token)),
            (None, Some(end)) => end.told = None,
            (None, None) => {}
        }
    }

    /// What everything that is done from now on follows from.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Whether everything up to this is in the cluster.
    pub(super) fn is_written(&self, sequence: u64) -> bool {
        self.open.first().is_none_or(|open| *open > sequence)
    }

    pub(super) fn written(&mut self, sequence: Option<u64>) {
        if let Some(sequence) = sequence {
            self.open.remove(&sequence);
        }
    }

    fn next(&mut self, at: i64) -> Told {
        self.last += 1;
        self.open.insert(self.last);
        Told { sequence: self.last, at }
    }

    /// The end of a job, which the script is told now, if it is told.
    pub(super) fn end(&mut self, job: &str, secret: &str, mut end: End, told: Option<i64>) -> Note {
        end.told = told.map(|at| self.next(at));
        if let Some(log) = end.log.take() {
            (end.log, end.whole) = self.keep(job, log);
        }
        let sequence = end.told.map(|told| told.sequence);
        note(sequence, secret, annotation::END.to_owned(), journal::text(&end))
    }

    /// A log, or why it could not be read, which the script is told now.
    pub(super) fn log(
        &mut self,
        job: &str,
        secret: &str,
        token: u64,
        result: &Result<String, String>,
        at: i64,
    ) -> Note {
        let told = self.next(at);
        let (text, whole) = match result {
            Ok(text) => self.keep(job, text.clone()),
            Err(sentence) => (Some(sentence.clone()), true),
        };
        let log =
            journal::Log { told, read: result.is_ok(), text: text.unwrap_or_default(), whole };
        let name = format!("{}{token}", annotation::LOG);
        note(Some(told.sequence), secret, name, journal::text(&log))
    }

    /// The end of a log, so much of it as is kept, and whether that is all.
    fn keep(&mut self, job: &str, mut log: String) -> (Option<String>, bool) {
        let kept = self.kept.entry(job.to_owned()).or_default();
        let limit = LOG.min(self.room).min(LOGS_OF_JOB.saturating_sub(*kept));
        let whole = log.len() <= limit;
        if !whole {
            let from = log.ceil_char_boundary(log.len() - limit);
            log.drain(..from);
        }
        *kept += log.len();
        self.room -= log.len();
        (Some(log), whole)
    }
}

/// How much of a job's logs was kept before.
fn kept(record: &Record) -> usize {
    let end = record.end.iter().filter_map(|end| end.log.as_ref()).map(String::len);
    let logs = record.logs.values().filter(|log| log.read).map(|log| log.text.len());
    end.chain(logs).sum()
}

fn note(sequence: Option<u64>, secret: &str, name: String, text: String) -> Note {
    Note { sequence, secret: secret.to_owned(), annotations: [(name, text)].into() }
}

/// A sentence that is short enough to be noted.
pub(super) fn short(mut sentence: String) -> String {
    sentence.truncate(sentence.floor_char_boundary(SENTENCE));
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(note: &Note) -> Record {
        Record::read(&note.annotations)
    }

    #[test]
    fn what_was_written_is_told_again_in_its_order() {
        let mut journal = Journal::new(HashMap::new());
        let one = End { log: Some("x".repeat(LOG + 1)), ..End::default() };
        let first = journal.end("b", "b-1", one, Some(10));
        let second = journal.log("a", "a-1", 7, &Ok("text".to_owned()), 20);
        let untold = journal.end("c", "c-1", End::default(), None);
        assert!(journal.is_written(0) && !journal.is_written(1));
        journal.written(first.sequence);
        assert!(journal.is_written(1) && !journal.is_written(2));
        journal.written(untold.sequence);
        journal.written(second.sequence);
        assert!(journal.is_written(journal.last()));

        let records = [("b", &first), ("a", &second), ("c", &untold)];
        let mut journal =
            Journal::new(records.map(|(name, note)| (name.to_owned(), read(note))).into());
        assert_eq!((journal.last(), journal.latest()), (2, Some(20)));
        let end = journal.record("b").unwrap().end.clone().unwrap();
        assert_eq!((end.log.unwrap().len(), end.whole), (LOG, false));
        assert_eq!(journal.head().unwrap().job, "b");
        journal.skip();
        assert_eq!(journal.record("b").unwrap().end.as_ref().unwrap().told, None);
        let told = Told { sequence: 2, at: 20 };
        assert_eq!(*journal.head().unwrap(), Head { told, job: "a".to_owned(), token: Some(7) });
        journal.pass();
        assert_eq!(journal.head(), None);
    }

    #[test]
    fn no_more_is_kept_of_logs_than_there_is_room_for() {
        let mut journal = Journal::new(HashMap::new());
        let mut kept = 0;
        for number in 0..1000 {
            let job = format!("a{}", number % 900);
            let note = journal.log(&job, "a-1", number, &Ok("ä".repeat(LOG)), 0);
            kept += read(&note).logs[&number].text.len();
        }
        assert!(kept <= LOGS && kept > LOGS - LOG, "{kept}");
    }

    #[test]
    fn what_an_earlier_life_kept_of_logs_takes_up_its_room() {
        let log = Ok("x".repeat(LOG - 1));
        let mut record = Record::default();
        for (life, left) in [(0, LOG - 1), (1, LOG - 1), (2, 2), (3, 0)] {
            let mut journal = Journal::new([("a".to_owned(), record.clone())].into());
            let mut note = read(&journal.log("a", "a-1", life, &log, 0));
            assert_eq!(note.logs[&life].text.len(), left);
            record.logs.append(&mut note.logs);
        }
        // Of all jobs.
        let jobs = (0..LOGS / LOGS_OF_JOB).map(|n| (n.to_string(), record.clone()));
        let mut journal = Journal::new(jobs.collect());
        assert_eq!(read(&journal.log("other", "b-1", 1, &log, 0)).logs[&1].text, "");
    }
}
