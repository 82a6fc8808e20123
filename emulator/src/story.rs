//! Tells what happens, line by line: pods and their logs, the registry, who is told something.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use futures::{AsyncBufReadExt, StreamExt};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Pod;
use runtime::build::annotation;
use runtime::cluster::{Cluster, PodChange};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backstage::News;
use crate::sinks::Arrival;

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who speaks: `cluster`, `registry`, `slack`, a pod's name.
    pub who: String,
    /// What is said.
    pub text: String,
    /// Whether it is a line of a log, told as it is.
    pub log: bool,
    /// The phase that a pod has come to, if that is what is told.
    pub phase: Option<Phase>,
    /// The colour of the bar before it, `#rrggbb`, if it has one.
    pub color: Option<String>,
}

/// The phase of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Phase {
    /// The pod.
    pub pod: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, or `Gone`.
    pub name: String,
}

/// How moments are told.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// In seconds since then.
    Since(Instant),
    /// By the time of day.
    Day,
}

/// Writes lines.
pub struct Teller<W> {
    out: W,
    clock: Clock,
    colours: bool,
}

/// Follows the pods of jobs and the backstage, and says what it sees, until `shutdown`.
pub fn follow(
    cluster: &Cluster,
    namespaces: BTreeSet<String>,
    news: broadcast::Receiver<News>,
    shutdown: CancellationToken,
) -> mpsc::UnboundedReceiver<Line> {
    let (lines, told) = mpsc::unbounded_channel();
    for namespace in namespaces {
        let (cluster, lines, shutdown) = (cluster.clone(), lines.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = follow_builds(cluster.clone(), namespace.clone(), lines.clone()) => {}
                () = follow_pods(cluster, namespace, lines) => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
    tokio::spawn(async move {
        tokio::select! {
            () = follow_news(news, lines) => {}
            () = shutdown.cancelled() => {}
        }
    });
    told
}

/// Tells how builds end that somebody followed to their end.
async fn follow_builds(cluster: Cluster, namespace: String, lines: mpsc::UnboundedSender<Line>) {
    let start = Timestamp::now();
    let mut builds = Box::pin(cluster.watch_builds(&namespace));
    let mut told = BTreeSet::new();
    while let Some(build) = builds.next().await {
        let note = |name: &str| build.annotations.get(name).map(String::as_str);
        let Some(phase) = build.phase().filter(|phase| phase.is_terminal()) else { continue };
        // What ended before anybody listened is not told.
        let finished = note(annotation::FINISHED).and_then(|at| at.parse::<Timestamp>().ok());
        if finished.is_some_and(|at| at < start) || !told.insert(build.id) {
            continue;
        }
        let why = match note(annotation::REASON) {
            Some(reason) => format!(": {}", reason.replace('\n', " ")),
            None => String::new(),
        };
        let id = build.id.to_string();
        let text = printable(&format!("build {id} {}{why}", phase.name()));
        if lines.send(Line::of(&format!("build {}", &id[22..]), &text)).is_err() {
            return;
        }
    }
}

async fn follow_pods(cluster: Cluster, namespace: String, lines: mpsc::UnboundedSender<Line>) {
    let mut changes = Box::pin(cluster.watch_jobs(&namespace));
    let mut phases: BTreeMap<String, String> = BTreeMap::new();
    // What ended before anybody listened is not told.
    let mut synced = false;
    while let Some(change) = changes.next().await {
        match change {
            PodChange::Synced => synced = true,
            PodChange::Gone(name) => {
                if phases.remove(&name).is_some() {
                    tell_phase(
                        &lines,
                        &short(&name),
                        &name,
                        "Gone",
                        &format!("pod {name} deleted"),
                    );
                }
            }
            PodChange::Applied(pod) => {
                let name = pod.metadata.name.clone().unwrap_or_default();
                let who = short(&name);
                let phase = phase(&pod);
                let known = phases.insert(name.clone(), phase.clone());
                if known.as_ref() == Some(&phase) || !synced {
                    continue;
                }
                let begun = |phase: Option<&str>| !matches!(phase, None | Some("Pending"));
                if begun(Some(&phase)) && !begun(known.as_deref()) {
                    let (cluster, lines) = (cluster.clone(), lines.clone());
                    let name = name.clone();
                    tokio::spawn(follow_log(cluster, namespace.clone(), name, lines));
                }
                let text = format!("pod {name} {phase}{}", why(&pod));
                tell_phase(&lines, &who, &name, &phase, &text);
            }
        }
    }
}

async fn follow_log(
    cluster: Cluster,
    namespace: String,
    pod: String,
    lines: mpsc::UnboundedSender<Line>,
) {
    let log = cluster.pod_log(&namespace, &pod, runtime::job::CONTAINER, true).await;
    let Ok(log) = log else { return };
    let mut log = std::pin::pin!(log.lines());
    while let Some(Ok(text)) = log.next().await {
        let line = Line { log: true, ..Line::of(&short(&pod), &text) };
        if lines.send(line).is_err() {
            return;
        }
    }
}

async fn follow_news(mut news: broadcast::Receiver<News>, lines: mpsc::UnboundedSender<Line>) {
    loop {
        let told = match news.recv().await {
            Ok(News::Pushed { image, path, status, answer }) => [
                Line::of("registry", &format!("{image} has arrived; the webhook goes to {path}")),
                Line::of("functions", &format!("{status} {}", summary(&answer))),
            ]
            .into(),
            Ok(News::Arrived(Arrival { sink, text, color, .. })) => {
                vec![Line { color, ..Line::of(sink, &text) }]
            }
            Ok(News::Said(text)) => {
                vec![Line { log: true, ..Line::of("functions", &printable(&text)) }]
            }
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        for line in told {
            if lines.send(line).is_err() {
                return;
            }
        }
    }
}

fn tell_phase(lines: &mpsc::UnboundedSender<Line>, who: &str, pod: &str, phase: &str, text: &str) {
    let phase = Phase { pod: pod.to_owned(), name: phase.to_owned() };
    let line = Line { phase: Some(phase), ..Line::of(who, text) };
    let _nobody_listens = lines.send(line);
}

/// A pod's name for a narrow column: its job, and the end of its build, where builds differ.
fn short(pod: &str) -> String {
    match pod.rsplit_once('-') {
        Some((job, id)) if id.len() == 26 && id.is_ascii() => {
            let job: String = job.chars().take(WHO - 5).collect();
            format!("{job} {}", &id[22..])
        }
        _ => pod.to_owned(),
    }
}

/// What an answer of the functions says, in a line.
pub fn summary(answer: &Value) -> String {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    let list = |key: &str| -> Vec<&str> {
        answer
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let duplicate = answer.get("duplicate") == Some(&Value::Bool(true));
    let mut said = Vec::new();
    let status = if text("status").is_empty() { text("message") } else { text("status") };
    said.push(status.to_owned());
    if !text("build").is_empty() {
        let how = if duplicate { "duplicate of build" } else { "build" };
        said.push(format!("{how} {}", text("build")));
    }
    if !list("events").is_empty() {
        said.push(format!("fires {}", list("events").join(", ")));
    }
    if !list("jobs").is_empty() {
        let how = if duplicate { "has made" } else { "made" };
        said.push(format!("{how} {}", list("jobs").join(", ")));
    }
    if !text("reason").is_empty() {
        said.push(text("reason").to_owned());
    }
    said.retain(|part| !part.is_empty());
    said.join("; ")
}

fn phase(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    phase.unwrap_or_else(|| "Pending".to_owned())
}

/// Why a pod failed, in the cluster's words.
fn why(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return String::new() };
    if status.phase.as_deref() != Some("Failed") {
        return String::new();
    }
    let ended = status.container_statuses.iter().flatten();
    let code = ended.filter_map(|one| one.state.as_ref()?.terminated.as_ref()).next();
    match (&status.reason, code) {
        (Some(reason), _) => format!(": {reason}"),
        (None, Some(code)) => format!(": exit code {}", code.exit_code),
        (None, None) => String::new(),
    }
}

/// A text without what would steer a terminal, in one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
}

impl Line {
    /// Something that somebody says.
    pub fn of(who: &str, text: &str) -> Line {
        Line { who: who.to_owned(), text: text.to_owned(), log: false, phase: None, color: None }
    }
}

impl<W: Write> Teller<W> {
    /// Tells by this clock.
    pub fn new(out: W, clock: Clock, colours: bool) -> Teller<W> {
        Teller { out, clock, colours }
    }

    /// Tells a line.
    pub fn tell(&mut self, line: &Line) -> std::io::Result<()> {
        let when = match self.clock {
            Clock::Since(start) => format!("{:7.2}s", start.elapsed().as_secs_f64()),
            Clock::Day => {
                let now = Timestamp::now().to_zoned(TimeZone::system());
                now.strftime("%H:%M:%S%.3f").to_string()
            }
        };
        let (bold, dim, end) =
            if self.colours { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        // Pods, their logs and their messages are not to steer the terminal.
        let (who, text) = (printable(&line.who), printable(&line.text));
        if line.log {
            writeln!(self.out, "{dim}{when}  {who:WHO$} | {text}{end}")
        } else {
            let bar = line.color.as_deref().map(|color| self.bar(color)).unwrap_or_default();
            writeln!(self.out, "{dim}{when}{end}  {bold}{who:WHO$}{end}   {bar}{text}")
        }
    }

    /// The bar before a message, in its colour; without colours, the colour's name.
    fn bar(&self, color: &str) -> String {
        let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match digits {
            Some(rgb) if self.colours => {
                let (red, green, blue) = (rgb >> 16, (rgb >> 8) & 0xff, rgb & 0xff);
                format!("\x1b[38;2;{red};{green};{blue}m▌\x1b[0m ")
            }
            Some(rgb) => format!("[#{rgb:06x}] "),
            None => String::new(),
        }
    }
}

/// How wide the column of speakers is.
const WHO: usize = 18;

#[test]
fn an_answer_is_told_in_a_line() {
    let answer = serde_json::json!({
        "status": "Complete", "build": "01x", "events": ["push"], "jobs": ["dind-01x"],
    });
    assert_eq!(summary(&answer), "Complete; build 01x; fires push; made dind-01x");
}

#[test]
fn a_pod_is_told_by_its_job_and_the_end_of_its_build() {
    assert_eq!(short("dind-01kqry9q58p4hebgpyv3td5r62"), "dind 5r62");
    assert_eq!(short("ééé-01kqry9q58p4hebgpyv3téd5r6"), "ééé-01kqry9q58p4hebgpyv3téd5r6");
    assert_eq!(short("other"), "other");
}

#[test]
fn nothing_that_is_told_steers_the_terminal() {
    let mut teller = Teller::new(Vec::new(), Clock::Since(Instant::now()), false);
    teller.tell(&Line::of("reg\x1b[2Jistry", "a\x1b]0;x\x07b\tc\r\n\u{9b}2J")).unwrap();
    let told = String::from_utf8(teller.out).unwrap();
    assert!(told.contains("reg[2Jistry") && told.contains("a]0;xb\tc2J\n"), "{told:?}");
    assert!(told.trim_end().chars().all(|letter| !letter.is_control() || letter == '\t'));
}

#[test]
fn a_message_has_a_bar_of_its_colour() {
    let told = |colours| {
        let mut teller = Teller::new(Vec::new(), Clock::Since(Instant::now()), colours);
        for color in ["#cf222e", "red", "#\u{1b}[2J"] {
            let line = Line { color: Some(color.to_owned()), ..Line::of("slack", "failed") };
            teller.tell(&line).unwrap();
        }
        String::from_utf8(teller.out).unwrap()
    };
    assert!(told(true).contains("\x1b[38;2;207;34;46m▌\x1b[0m failed"));
    let plain = told(false);
    assert!(plain.contains("[#cf222e] failed") && !plain.contains('\x1b'), "{plain:?}");
}
