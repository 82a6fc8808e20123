//! Reads and writes sessions.

/// One command of a session.
pub(crate) struct Step<'a> {
    /// The lines before it: comments and empty ones.
    before: Vec<&'a str>,
    /// Its lines, with `$` and `>`.
    lines: Vec<&'a str>,
    output: Vec<&'a str>,
}

/// How a command ended.
pub(crate) struct Outcome {
    pub(crate) text: String,
    /// The exit status; none if a signal ended it.
    pub(crate) status: Option<i32>,
}

impl Step<'_> {
    /// What is given to the shell.
    pub(crate) fn command(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.get(2..).unwrap_or("")).collect();
        lines.join("\n")
    }

    /// What the session says of its end.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut lines: Vec<&str> =
            self.output.iter().map(|line| line.strip_prefix("  ").unwrap_or("")).collect();
        let status = lines.last().and_then(|last| last.strip_prefix('[')?.strip_suffix(']'));
        let status = status.and_then(|status| status.parse().ok());
        if status.is_some() {
            lines.pop();
        }
        Outcome { text: lines.join("\n"), status: Some(status.unwrap_or_default()) }
    }
}

pub(crate) fn parse(text: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut before = Vec::new();
    for line in text.lines() {
        if line.starts_with("$ ") {
            let before = std::mem::take(&mut before);
            steps.push(Step { before, lines: vec![line], output: Vec::new() });
        } else if line.starts_with('#') {
            before.push(line);
        } else if let Some(step) = steps.last_mut().filter(|_| before.is_empty()) {
            if line.starts_with('>') {
                step.lines.push(line);
            } else {
                step.output.push(line);
            }
        }
    }
    for step in &mut steps {
        while step.output.last().is_some_and(|line| line.is_empty()) {
            step.output.pop();
        }
    }
    steps
}

/// Writes a step with its outcome.
pub(crate) fn write(session: &mut String, step: &Step<'_>, outcome: &Outcome) {
    let mut line = |line: &str| {
        session.push_str(line.trim_end());
        session.push('\n');
    };
    step.before.iter().chain(&step.lines).for_each(|one| line(one));
    for one in outcome.text.trim_end().lines() {
        line(&format!("  {one}"));
    }
    match outcome.status {
        Some(0) => {}
        Some(status) => line(&format!("  [{status}]")),
        None => line("  [killed]"),
    }
    line("");
}

#[test]
fn a_session_is_written_as_it_was_read() {
    let text = "# Why.\n$ one\n> more\n  out\n\n    deep\n  [1]\n\n$ two\n\n";
    let steps = parse(text);
    let mut written = String::new();
    for step in &steps {
        write(&mut written, step, &step.outcome());
    }
    assert_eq!(written, text);
    assert_eq!(steps[0].command(), "one\nmore");
    assert_eq!(steps[0].outcome().status, Some(1));
}
