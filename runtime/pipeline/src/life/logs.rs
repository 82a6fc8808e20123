//! The logs of jobs, read in bounded memory.

use std::pin::Pin;
use std::time::Duration;

use futures::AsyncReadExt;
use futures::io::AsyncBufRead;
use jiff::Timestamp;
use runtime::cluster::Cluster;
use runtime::event::LogLevel;
use runtime::job::CONTAINER;
use runtime::outcome::{self, Standing};

use crate::mask::Mask;
use crate::output::Printer;

/// What a line is cut at.
const LINE: usize = 16 << 10;

/// For how long nothing may come of a log that is there.
const QUIET: Duration = Duration::from_secs(30);

/// How often a log is read that ends in the middle.
const TRIES: usize = 5;

/// The end of a job's log, at most so many bytes.
pub(super) async fn end(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    limit: usize,
) -> Result<String, String> {
    let failed = |error: &dyn std::error::Error| {
        format!("the log of {namespace}/{pod} cannot be read: {}", super::chain(error))
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let log = match cluster.pod_log(namespace, pod, CONTAINER, false).await {
            Ok(log) => log,
            Err(error) if error.is_passing() && tries < TRIES => continue,
            Err(error) => return Err(failed(&error)),
        };
        match last(log, limit).await {
            Ok(text) => return Ok(text),
            Err(_torn) if tries < TRIES => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Reads more, if it comes.
async fn more(
    log: &mut Pin<&mut impl AsyncBufRead>,
    part: &mut [u8],
    quiet: Duration,
) -> std::io::Result<usize> {
    let read = tokio::time::timeout(quiet, log.read(part)).await;
    read.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn last(log: impl AsyncBufRead, limit: usize) -> std::io::Result<String> {
    let mut log = std::pin::pin!(log);
    let mut kept: Vec<u8> = Vec::new();
    let mut part = vec![0; 32 << 10];
    loop {
        let count = more(&mut log, &mut part, QUIET).await?;
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&part[..count]);
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    if kept.len() > limit {
        kept.drain(..kept.len() - limit);
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// For how long nothing may be heard of a log that is followed before it is asked for again: its
/// connection may have died.
const SILENT: Duration = Duration::from_secs(300);

/// The first pause before a log is asked for again.
const PAUSE: Duration = Duration::from_millis(200);

/// How often a log is asked for again of which nothing more comes.
const VAIN: u32 = 8;

/// Shows a job's log in the worker's, line by line, until it ends: no line is lost or doubled when
/// the stream is.
pub(super) async fn follow(cluster: &Cluster, namespace: &str, pod: &str, printer: &Printer) {
    let show = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let text = format!("{namespace}/{pod} logs {}", line.trim_end_matches('\r'));
        printer.worker(LogLevel::Log, "k8s", &text);
    };
    let (mask, mut shown) = (printer.mask(), Shown::default());
    let mut vain = 0;
    loop {
        let before = shown.lines;
        let reason = match cluster.follow_log(namespace, pod, CONTAINER, shown.second()).await {
            Ok(log) => match lines(log, &mask, &mut shown, show).await {
                // A stream may also end because a kubelet was started again.
                Ok(()) if !runs(cluster, namespace, pod).await => return,
                Ok(()) => "the stream ends, and the pod runs".to_owned(),
                Err(error) => super::chain(&error),
            },
            Err(error) if error.is_passing() => super::chain(&error),
            Err(error) => {
                let text =
                    format!("{namespace}/{pod} logs cannot be followed: {}", super::chain(&error));
                printer.worker(LogLevel::Warn, "k8s", &text);
                return;
            }
        };
        vain = if shown.lines > before { 0 } else { vain + 1 };
        if vain >= VAIN {
            let text = format!("{namespace}/{pod} logs end early: {reason}");
            printer.worker(LogLevel::Warn, "k8s", &text);
            return;
        }
        pause(PAUSE * 2_u32.pow(vain)).await;
    }
}

async fn runs(cluster: &Cluster, namespace: &str, pod: &str) -> bool {
    let pod = cluster.pod(namespace, pod).await;
    pod.is_ok_and(|pod| pod.is_some_and(|pod| outcome::of(&pod) == Standing::Running))
}

#[expect(clippy::disallowed_methods, reason = "what has just failed is not asked at once again")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What was shown of a log, so that a stream that begins with it again is told from new lines.
#[derive(Default)]
struct Shown {
    /// The time of the last line.
    last: Option<Timestamp>,
    /// How many lines of that time were shown.
    same: usize,
    /// How many lines of that time have come again.
    again: usize,
    lines: usize,
    /// Whether the line that is coming is in parts, of which this is not the first, and if so
    /// whether they are shown.
    part: Option<bool>,
}

impl Shown {
    /// The second from which the log is asked for.
    fn second(&mut self) -> Option<Timestamp> {
        self.again = 0;
        self.part = None;
        Timestamp::from_second(self.last?.as_second()).ok()
    }

    /// What is to be shown of a line, which begins with its time.
    fn unseen<'a>(&mut self, line: &'a [u8], whole: bool) -> Option<&'a [u8]> {
        if let Some(shown) = self.part {
            self.part = (!whole).then_some(shown);
            return shown.then_some(line);
        }
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let time = std::str::from_utf8(&line[..end]).ok().and_then(|text| text.parse().ok());
        let Some(time): Option<Timestamp> = time else {
            self.lines += 1;
            return Some(line);
        };
        let new = match self.last {
            Some(last) if time < last => false,
            Some(last) if time == last => {
                self.again += 1;
                self.again > self.same
            }
            _ => {
                (self.last, self.same, self.again) = (Some(time), 0, 1);
                true
            }
        };
        if new {
            self.same = self.again;
            self.lines += 1;
        }
        self.part = (!whole).then_some(new);
        new.then(|| line.get(end + 1..).unwrap_or_default())
    }
}

async fn lines(
    log: impl AsyncBufRead,
    mask: &Mask,
    shown: &mut Shown,
    show: impl Fn(&[u8]),
) -> std::io::Result<()> {
    // A line that is cut is cut where no secret is, which is seen only with what follows.
    let most = LINE + mask.longest();
    let mut log = std::pin::pin!(log);
    let mut line: Vec<u8> = Vec::new();
    let mut part = vec![0; 8 << 10];
    let mut take = |line: &[u8], whole: bool| {
        if let Some(text) = shown.unseen(line, whole) {
            show(text);
        }
    };
    loop {
        let count = more(&mut log, &mut part, SILENT).await?;
        if count == 0 {
            break;
        }
        for byte in &part[..count] {
            if *byte == b'\n' {
                take(&line, true);
                line.clear();
            } else if line.len() == most {
                let end = mask.cut(&line, LINE);
                take(&line[..end], false);
                line.drain(..end);
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
    // A line that was torn is shown when it comes again.
    if !line.is_empty() {
        take(&line, true);
    }
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_long_log_is_kept() {
    let log: Vec<u8> =
        (0..200_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let kept = last(futures::io::Cursor::new(log), 1000).await.unwrap();
    assert_eq!(kept.len(), 1000);
    assert!(kept.ends_with("199998\n199999\n"), "{kept}");
}

#[tokio::test]
async fn lines_are_shown_one_by_one_and_cut_when_they_do_not_end() {
    let log = format!("one\ntwo\r\n{}\nlast", "x".repeat(LINE + 5));
    let shown = std::cell::RefCell::new(Vec::new());
    let show = |line: &[u8]| shown.borrow_mut().push(line.len());
    let mask = Mask::default();
    lines(futures::io::Cursor::new(log), &mask, &mut Shown::default(), show).await.unwrap();
    assert_eq!(*shown.borrow(), [3, 4, LINE, 5, 4]);
}

#[tokio::test]
async fn a_stream_that_is_torn_anywhere_loses_and_doubles_nothing() {
    let text = "2026-01-01T00:00:00.5Z one\n2026-01-01T00:00:00.5Z one\n2026-01-01T00:00:00.50000001Z two\n2026-01-01T00:00:00.9Z \n2026-01-01T00:00:01Z four\n2026-01-01T00:00:01Z five\n";
    for cut in 0..=text.len() {
        let shown = std::cell::RefCell::new(Vec::new());
        let show =
            |line: &[u8]| shown.borrow_mut().push(String::from_utf8_lossy(line).into_owned());
        let mut state = Shown::default();
        // The connection ends in the middle: what there is of a line is no line.
        let torn = futures::io::Cursor::new(&text[..cut]).chain(Torn);
        let mask = Mask::default();
        lines(futures::io::BufReader::new(torn), &mask, &mut state, show).await.unwrap_err();
        let from = state.second();
        let rest: String = text
            .split_inclusive('\n')
            .filter(|line| from.is_none_or(|from| time_of(line) >= from))
            .collect();
        lines(futures::io::Cursor::new(rest), &mask, &mut state, show).await.unwrap();
        assert_eq!(*shown.borrow(), ["one", "one", "two", "", "four", "five"], "{cut}");
    }
}

#[cfg(test)]
fn time_of(line: &str) -> Timestamp {
    line.split(' ').next().unwrap().parse().unwrap()
}

#[cfg(test)]
struct Torn;

#[cfg(test)]
impl futures::io::AsyncRead for Torn {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        _buffer: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test]
async fn no_secret_is_cut_where_a_line_is() {
    let mask = Mask::of(&crate::engine::tests::project());
    for at in LINE - 20..LINE + 20 {
        let log = format!("{}correct horse{}", "x".repeat(at), "y".repeat(LINE));
        let text = std::cell::RefCell::new(String::new());
        let show = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            *text.borrow_mut() += &mask.apply(&line);
        };
        let mut shown = Shown::default();
        lines(futures::io::Cursor::new(log), &mask, &mut shown, show).await.unwrap();
        assert_eq!(*text.borrow(), format!("{}***{}", "x".repeat(at), "y".repeat(LINE)));
    }
}
