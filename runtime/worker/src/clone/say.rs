//! What a clone says: lines without secrets.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// What is shown in the place of a secret.
const SHOWN: &str = "***";

/// Shorter values would hide half of every line.
const SHORTEST: usize = 4;

/// Prints lines.
pub(super) struct Say {
    out: Mutex<Box<dyn Write + Send>>,
    secrets: Vec<String>,
}

impl Say {
    pub(super) fn new(out: impl Write + Send + 'static) -> Say {
        Say { out: Mutex::new(Box::new(out)), secrets: Vec::new() }
    }

    /// Notes something that must not be printed.
    pub(super) fn hide(&mut self, secret: &str) {
        if secret.len() >= SHORTEST {
            self.secrets.push(secret.to_owned());
        }
    }

    pub(super) fn line(&self, text: &str) {
        let text = self.hidden(text);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _nobody_reads = writeln!(out, "[brigade:clone] {text}").and_then(|()| out.flush());
    }

    /// A text without secrets, nor the users and passwords of URLs in it.
    pub(super) fn hidden(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), SHOWN);
        }
        let mut rest = text.as_str();
        let mut hidden = String::new();
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            hidden.push_str(before);
            let end = |letter: char| letter == '/' || letter.is_whitespace() || letter == '\'';
            let authority = &after[..after.find(end).unwrap_or(after.len())];
            rest = after;
            if let Some(user) = authority.rfind('@') {
                hidden.push_str(SHOWN);
                rest = &after[user..];
            }
        }
        hidden + rest
    }
}

#[test]
fn credentials_are_hidden_wherever_they_are() {
    let mut say = Say::new(std::io::sink());
    say.hide("correct-horse");
    for (text, expected) in [
        ("password correct-horse!", "password ***!"),
        (
            "fatal: 'https://bob:pa@ss@x.org/a' and ssh://git@y/z",
            "fatal: 'https://***@x.org/a' and ssh://***@y/z",
        ),
        ("https://x.org/a@b", "https://x.org/a@b"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(say.hidden(text), expected);
    }
}
