//! The names that a CommonJS file exports, seen in its text: an ES module may import them by name.
//!
//! Too many may be found, which costs nothing, as they are `undefined`; what is put together while
//! the file runs is not found, and is to be had of the default export.

use std::collections::BTreeSet;

/// What a file seems to export.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Names {
    pub(super) own: BTreeSet<String>,
    /// The modules all of whose names it exports too.
    pub(super) others: Vec<String>,
}

/// How many names are looked at.
const MOST: usize = 2000;

/// How long a call that passes names on may be.
const NEAR: usize = 2000;

/// How many objects that are exported are looked into.
const OBJECTS: usize = 20;

/// Reads the names.
pub(super) fn of(text: &str) -> Names {
    let mut names = Names::default();
    let mut objects = 0;
    for (at, _) in text.match_indices("exports") {
        let before = text[..at].trim_end();
        if text[..at].ends_with(is_letter) || names.own.len() > MOST {
            continue;
        }
        let rest = text[at + "exports".len()..].trim_start();
        if let Some(rest) = rest.strip_prefix('.') {
            add(&mut names, word(rest.trim_start()));
        } else if let Some(rest) = rest.strip_prefix('[') {
            add(&mut names, quoted(rest.trim_start()));
        } else if let Some(rest) = rest.strip_prefix(',') {
            // `Object.defineProperty(exports, "x", …)`, `__exportStar(require("x"), exports)`.
            add(&mut names, quoted(rest.trim_start()));
        } else if let Some(value) = rest.strip_prefix('=').map(str::trim_start)
            && !value.starts_with('=')
        {
            if let Some(members) = value.strip_prefix('{')
                && objects < OBJECTS
            {
                objects += 1;
                object(&mut names, members);
            }
            // `module.exports = require("x")`
            other(&mut names, value);
        } else if before.ends_with(',') {
            // The call is just before: `__exportStar(require("x"), exports)`.
            let near = text.floor_char_boundary(at.saturating_sub(NEAR));
            let call = &text[near..at];
            let call = call.rfind("require(").map_or("", |start| &call[start..]);
            other(&mut names, call);
        }
    }
    for call in ["__export(", "__exportStar("] {
        for (at, _) in text.match_indices(call) {
            other(&mut names, text[at + call.len()..].trim_start());
        }
    }
    names.others.dedup();
    names
}

/// The members of an object that is written down: its first level.
fn object(names: &mut Names, text: &str) {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        while let Some(after) = comment(rest) {
            rest = after.trim_start();
        }
        if let Some(spread) = rest.strip_prefix("...") {
            other(names, spread.trim_start());
        }
        let name = quoted(rest).or_else(|| word(rest));
        let Some(name) = name else { return };
        let after = rest[name.len()..].trim_start_matches(['"', '\'']).trim_start();
        let method =
            matches!(name, "get" | "set" | "async") && !after.starts_with([',', ':', '}', '(']);
        if method {
            rest = after;
            continue;
        }
        add(names, Some(name));
        // What a value is, is passed over up to the comma behind it.
        let mut depth = 0_usize;
        let mut end = None;
        for (at, letter) in after.char_indices() {
            match letter {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    end = Some(at + 1);
                    break;
                }
                _ => {}
            }
        }
        match end {
            Some(end) if names.own.len() <= MOST => rest = &after[end..],
            _ => return,
        }
    }
}

/// What follows a comment.
fn comment(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("//") {
        return Some(rest.split_once('\n').map_or("", |(_, rest)| rest));
    }
    text.strip_prefix("/*").map(|rest| rest.split_once("*/").map_or("", |(_, rest)| rest))
}

fn other(names: &mut Names, text: &str) {
    let Some(rest) = text.strip_prefix("require(") else { return };
    if let Some(name) = quoted(rest.trim_start()) {
        names.others.push(name.to_owned());
    }
}

fn add(names: &mut Names, name: Option<&str>) {
    if let Some(name) = name.filter(|name| is_name(name) && *name != "default") {
        names.own.insert(name.to_owned());
    }
}

/// Whether an ES module can export something by this name.
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| is_letter(first) && !first.is_ascii_digit())
        && letters.all(is_letter)
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$')
}

fn word(text: &str) -> Option<&str> {
    let end = text.find(|letter| !is_letter(letter)).unwrap_or(text.len());
    Some(&text[..end]).filter(|word| !word.is_empty())
}

fn quoted(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|mark| matches!(mark, '"' | '\''))?;
    let rest = &text[1..];
    rest.find(mark).map(|end| &rest[..end])
}

#[test]
fn names_are_seen_as_compilers_write_them() {
    for (text, own, others) in [
        ("exports.a = 1; module.exports.b = 2; exports['c'] = 3;", "a b c", ""),
        ("Object.defineProperty(exports, \"__esModule\", { value: true });", "__esModule", ""),
        ("Object.defineProperty(exports, 'x', { enumerable: true, get() {} })", "x", ""),
        (
            "module.exports = { a, b: { c: 1 }, 'd': [1, 2], async e() { x, y }, get f() {}, ...require('./g') };",
            "a b d e f",
            "./g",
        ),
        ("module.exports = {\n  // one\n  one, /* two */ two,\n};", "one two", ""),
        ("module.exports = require('./lib/all');", "", "./lib/all"),
        ("__exportStar(require(\"./a\"), exports); __export(require('./b'));", "", "./a ./b"),
        ("exports.default = 1; exports.class = 2; exports.a == 1; myexports.no = 1", "a class", ""),
        ("exports = module.exports = {}; exports.é = 1; exports", "", ""),
    ] {
        let names = of(text);
        let own_names: Vec<&str> = names.own.iter().map(String::as_str).collect();
        assert_eq!(own_names.join(" "), own, "{text}");
        let mut all = names.others.clone();
        all.sort();
        all.dedup();
        assert_eq!(all.join(" "), others, "{text}");
    }
}
