//! What a log says of lines of files: the commands of GitHub's own workflows, and what compilers
//! write.
//!
//! ```text
//! ::error file=src/app.js,line=10,endLine=12,title=Types::it is no number
//! src/app.c:10:5: warning: it is not used
//! ```
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::collections::HashSet;

use serde_json::{Value, json};

use super::markdown::beginning;
use crate::text::{clean, line};

/// How many annotations a check run is given.
pub(crate) const MOST: usize = 200;

/// How many may be in one request.
pub(crate) const AT_ONCE: usize = 50;

/// How much of a log is looked at, in bytes from its end.
const LOG: usize = 1024 * 1024;

/// How long a message may be, in bytes.
const MESSAGE: usize = 64 * 1024;

/// How long a title may be.
const TITLE: usize = 255;

/// How long a path may be, as on most systems.
const PATH: usize = 4096;

/// Where jobs have the repository.
const FOLDER: &str = "/src/";

/// The annotations of a log, each once, as a check run takes them.
pub(crate) fn annotations(log: &str) -> Vec<Value> {
    let log = clean(&log[log.ceil_char_boundary(log.len().saturating_sub(LOG))..], true);
    let mut seen = HashSet::new();
    let found = log.lines().filter_map(|line| command(line.trim()).or_else(|| compiler(line)));
    found.filter(|found| seen.insert(found.to_string())).take(MOST).collect()
}

/// A command: `::error file=a,line=1::message`.
fn command(text: &str) -> Option<Value> {
    let (command, message) = text.strip_prefix("::")?.split_once("::")?;
    let (name, properties) = command.split_once(' ')?;
    let level = match name {
        "error" => "failure",
        "warning" => "warning",
        "notice" => "notice",
        _ => return None,
    };
    let property = |wanted: &str| {
        let mut pairs = properties.split(',').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim() == wanted)?;
        Some(decoded(value.trim(), true))
    };
    let number = |name: &str| property(name)?.parse().ok().filter(|number: &u32| *number > 0);
    let start = number("line").unwrap_or(1);
    let end = number("endLine").filter(|end| *end >= start).unwrap_or(start);
    // Columns are of one line.
    let column = number("col").filter(|_| start == end);
    let until = number("endColumn").zip(column).map(|(until, column)| until.max(column));
    let columns = column.map(|column| (column, until.unwrap_or(column)));
    let message = decoded(message, false);
    let title = property("title");
    annotation(&property("file")?, (start, end), columns, level, title.as_deref(), &message)
}

/// A line of a compiler: `path:line:column: error: message`.
fn compiler(text: &str) -> Option<Value> {
    let (path, rest) = text.split_once(':')?;
    let (start, rest) = rest.split_once(':')?;
    let start: u32 = start.parse().ok()?;
    let (column, rest) = match rest.split_once(':') {
        Some((column, rest)) if let Ok(column) = column.parse::<u32>() => (Some(column), rest),
        _ => (None, rest),
    };
    let (level, message) = rest.strip_prefix(' ')?.split_once(": ")?;
    let level = match level {
        "error" | "fatal error" => "failure",
        "warning" => "warning",
        "note" => "notice",
        _ => return None,
    };
    let column = column.filter(|column| *column > 0).map(|column| (column, column));
    annotation(path, (start, start), column, level, None, message)
}

fn annotation(
    path: &str,
    (start, end): (u32, u32),
    columns: Option<(u32, u32)>,
    level: &str,
    title: Option<&str>,
    message: &str,
) -> Option<Value> {
    let path = relative(path)?;
    let message = beginning(message, MESSAGE).trim();
    if message.is_empty() || start == 0 {
        return None;
    }
    let mut annotation = json!({
        "path": path,
        "start_line": start,
        "end_line": end,
        "annotation_level": level,
        "message": message,
    });
    if let Some((start, end)) = columns {
        annotation["start_column"] = start.into();
        annotation["end_column"] = end.into();
    }
    if let Some(title) = title.map(|title| line(title, TITLE)).filter(|title| !title.is_empty()) {
        annotation["title"] = title.into();
    }
    Some(annotation)
}

/// A path in the repository; none that leads out of it.
fn relative(path: &str) -> Option<&str> {
    let path = path.trim().strip_prefix(FOLDER).unwrap_or(path.trim());
    let path = path.trim_start_matches("./");
    let fits = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_path = path.len() <= PATH && path.split('/').all(fits);
    (is_path && !path.contains([':', '\\'])).then_some(path)
}

/// What a command's text stands for, which has no line breaks of its own.
fn decoded(text: &str, is_property: bool) -> String {
    let text = text.replace("%0D", "").replace("%0A", "\n");
    let text = match is_property {
        true => text.replace("%3A", ":").replace("%2C", ","),
        false => text,
    };
    clean(&text.replace("%25", "%"), true)
}

#[cfg(test)]
fn check(log: &str, expected: expect_test::Expect) {
    let found: Vec<String> = annotations(log).iter().map(Value::to_string).collect();
    expected.assert_eq(&found.join("\n"));
}

#[test]
fn commands_and_compilers_point_at_lines() {
    use expect_test::expect;

    check(
        "plain\n::error file=app.js,line=10,col=5,endColumn=9,title=Types%3A no::it%0Ais 100%25%0D%0Awrong\n\
         \u{1b}[33m::warning file=./a/b.js,line=3,endLine=5,col=2::old\n::notice file=/src/c.js::seen\n\
         src/app.c:10:5: error: it is not there\n/src/app.c:7: warning: unused: x\nx.c:1:2: note: here\n\
         src/app.c:10:5: error: it is not there\n",
        expect![[r#"
            {"annotation_level":"failure","end_column":9,"end_line":10,"message":"it\nis 100%\nwrong","path":"app.js","start_column":5,"start_line":10,"title":"Types: no"}
            {"annotation_level":"warning","end_line":5,"message":"old","path":"a/b.js","start_line":3}
            {"annotation_level":"notice","end_line":1,"message":"seen","path":"c.js","start_line":1}
            {"annotation_level":"failure","end_column":5,"end_line":10,"message":"it is not there","path":"src/app.c","start_column":5,"start_line":10}
            {"annotation_level":"warning","end_line":7,"message":"unused: x","path":"app.c","start_line":7}
            {"annotation_level":"notice","end_column":2,"end_line":1,"message":"here","path":"x.c","start_column":2,"start_line":1}"#]],
    );
}

#[test]
fn what_points_at_no_line_of_the_repository_is_no_annotation() {
    for log in [
        "::error::no file",
        "::error file=::message",
        "::error file=a.js,line=1::",
        "::debug file=a.js,line=1::message",
        "::error file=../secret,line=1::message",
        "::error file=/etc/passwd,line=1::message",
        "::error file=a//b,line=1::message",
        "::error file=c:\\x,line=1::message",
        "http://host:80: error: message",
        "/usr/include/x.h:1:2: error: message",
        "a.c:0:1: error: message",
        "a.c:99999999999: error: message",
        "a.c:1: info: message",
        "error: message",
        "::",
        "::error ::",
        ":::::",
    ] {
        assert_eq!(annotations(log), Vec::<Value>::new(), "{log}");
    }
}

#[test]
fn there_is_a_limit_to_all_of_it() {
    let log: String =
        (1..=300).map(|number| format!("::error file=a,line={number}::m\n")).collect();
    assert_eq!(annotations(&log).len(), MOST);
    let log = format!("::error file=a,title={}::{}", "ä".repeat(300), "€".repeat(30_000));
    let [found] = &annotations(&log)[..] else { panic!("not one") };
    assert_eq!(found["title"].as_str().unwrap().chars().count(), TITLE);
    assert!(found["message"].as_str().unwrap().len() <= MESSAGE);
    let path = "x".repeat(5000);
    assert_eq!(annotations(&format!("::error file={path}::m")), Vec::<Value>::new());
}
