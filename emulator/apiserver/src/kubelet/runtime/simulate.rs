//! Runs nothing: a container logs, waits and ends as a script says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{ContainerRun, Exit, Running, Signal};
use crate::kubelet::SimulateOptions;
use crate::kubelet::stream::Entrance;
use crate::logs::{LogWriter, Output};

const DEFAULT_DURATION: Duration = Duration::from_millis(3);

/// Runs nothing; outcomes are scripted.
#[derive(Clone, Debug)]
pub struct Simulate {
    options: Arc<SimulateOptions>,
}

impl Simulate {
    /// A simulation by rules.
    pub fn new(options: SimulateOptions) -> Simulate {
        Simulate { options: Arc::new(options) }
    }

    pub(crate) fn start(&self, run: ContainerRun, mut log: LogWriter) -> Running {
        let (signals, mut receiver) = mpsc::unbounded_channel();
        let (sender, exit) = oneshot::channel();
        let rule = self.options.rules.iter().find(|rule| {
            rule.image.as_ref().is_none_or(|pattern| matches(pattern, &run.image))
                && rule.pod.as_ref().is_none_or(|pattern| matches(pattern, &run.pod))
        });
        let id = run.id;
        let command = [run.command, run.arguments].concat().join(" ");
        let what = if command.is_empty() { run.image } else { command };
        let mut lines = vec![format!("simulated: {what}")];
        // What serves does not end by itself.
        let (mut code, mut duration) = (0, (!run.serves).then_some(DEFAULT_DURATION));
        if let Some(rule) = rule {
            lines.extend(rule.log.iter().cloned());
            code = rule.exit_code;
            duration = (!rule.never_ends).then_some(rule.duration);
        }
        tokio::spawn(async move {
            let text = lines.join("\n") + "\n";
            if let Err(error) = log.write(Output::Stdout, text.as_bytes()) {
                tracing::warn!(%error, "a container's log cannot be written");
            }
            let signal = match duration {
                Some(duration) => timeout(duration, receiver.recv()).await.ok(),
                None => Some(receiver.recv().await),
            };
            drop(log);
            let code = match signal {
                None => code,
                Some(Some(Signal::Terminate)) => 143,
                Some(Some(Signal::Kill) | None) => 137,
            };
            // Nobody waits for the exit of a container whose pod is gone.
            let _ = sender.send(Exit::of(code));
        });
        Running { id, signals, exit, entrance: Entrance::Simulated }
    }
}

/// Whether a text matches a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut position) = (0, 0);
    let mut star = None;
    while position < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[position] => {
                at += 1;
                position += 1;
            }
            _ => match &mut star {
                // The last star takes one character more.
                Some((star, taken)) => {
                    *taken += 1;
                    (at, position) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("docker:*", "docker:stable-dind", true),
        ("docker:*", "my/docker:1", false),
        ("*-dind", "docker:stable-dind", true),
        ("d?ck*r", "docker", true),
        ("a*b*c", "aXbXbYc", true),
        ("a*b*c", "aXbXbY", false),
        ("exact", "exact", true),
        ("exact", "exactly", false),
        ("", "", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
