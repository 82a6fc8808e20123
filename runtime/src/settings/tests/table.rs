//! The table of the settings: made from the comments of their fields, and held against what is read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;
use crate::settings::help::Program;

/// The files of the settings.
const SOURCES: [&str; 8] = [
    include_str!("../../settings.rs"),
    include_str!("../worker.rs"),
    include_str!("../clone.rs"),
    include_str!("../sweep.rs"),
    include_str!("../cluster.rs"),
    include_str!("../host.rs"),
    include_str!("../notify.rs"),
    include_str!("../telemetry.rs"),
];

/// Those whose fields are not nested in others.
const OUTER: [&str; 4] = ["Settings", "WorkerSettings", "CloneSettings", "SweepSettings"];

#[derive(Debug)]
struct Group {
    title: String,
    programs: Vec<Program>,
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    names: Vec<String>,
    /// Those, and others that its comment names.
    named: Vec<String>,
    meaning: String,
    default: Option<String>,
}

#[test]
fn the_tables_of_the_settings_are_made_from_their_comments() {
    let groups = groups();
    expect_file!["../table.rs"].assert_eq(&rust(&groups));
    expect_file!["../../../SETTINGS.md"].assert_eq(&markdown(&groups));
}

#[test]
fn what_is_read_is_in_the_table_and_what_is_in_the_table_is_read() {
    let asked = RefCell::new(BTreeSet::new());
    let read = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        let given = match name {
            "BRIGADE_BUILD_ID" | "BRIGADE_REMOTE_URL" => "x",
            "BRIGADE_PROJECT_ID" | "BRIGADE_PROJECT_NAMESPACE" => "x",
            "AWS_LAMBDA_RUNTIME_API" => "127.0.0.1:9001",
            "AWS_LAMBDA_FUNCTION_NAME" | "AWS_LAMBDA_FUNCTION_VERSION" => "x",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" => "128",
            "FUNCTIONS_HTTPWORKER_PORT" => "1",
            _ => return None,
        };
        Some(given.to_owned())
    };
    Settings::read(read).unwrap();
    WorkerSettings::read(read).unwrap();
    CloneSettings::read(read).unwrap();
    SweepSettings::read(read).unwrap();
    let groups = groups();
    let settings = groups.iter().flat_map(|group| &group.settings);
    let known: BTreeSet<String> =
        settings.clone().flat_map(|setting| setting.names.clone()).collect();
    let named: BTreeSet<String> = settings.flat_map(|setting| setting.named.clone()).collect();
    let asked = asked.into_inner();
    let untold: Vec<&String> = asked.difference(&named).collect();
    assert!(untold.is_empty(), "read, but in no field's comment: {untold:?}");
    let unread: Vec<&String> = known.difference(&asked).collect();
    assert!(unread.is_empty(), "in a field's comment, but never read: {unread:?}");
}

/// All groups, in the order of the sources.
fn groups() -> Vec<Group> {
    let groups: Vec<Group> = OUTER.into_iter().flat_map(groups_of).collect();
    let empty: Vec<&str> = groups
        .iter()
        .filter(|group| group.programs.is_empty())
        .map(|group| group.title.as_str())
        .collect();
    assert!(empty.is_empty(), "groups that are of no program: {empty:?}");
    groups
}

/// The groups of one type, and of those that are nested in it.
fn groups_of(name: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut comment = String::new();
    for line in body(name).unwrap().lines().map(str::trim) {
        if let Some(title) = line.strip_prefix("// # ") {
            groups.push(group(title));
        } else if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
        } else if let Some((_, kind)) =
            line.strip_prefix("pub ").and_then(|field| field.split_once(": "))
        {
            let said = std::mem::take(&mut comment);
            if groups.is_empty() {
                // Nested: whoever asks has the group.
                groups.push(Group { title: String::new(), programs: vec![], settings: vec![] });
            }
            let settings = &mut groups.last_mut().unwrap().settings;
            if said.trim().starts_with('`') {
                settings.push(setting(said.trim()));
            }
            let kind = kind.trim_end_matches(',');
            let optional = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
            let kind = optional.unwrap_or(kind);
            if body(kind).is_some() {
                settings.extend(groups_of(kind).into_iter().flat_map(|group| group.settings));
            }
        }
    }
    groups
}

/// What is between the braces of a type that is in these files.
fn body(name: &str) -> Option<&'static str> {
    let begin = format!("pub struct {name} {{");
    let rest = SOURCES.iter().find_map(|source| source.split_once(&begin)).map(|(_, rest)| rest)?;
    if rest.starts_with('}') { Some("") } else { rest.find("\n}").map(|length| &rest[..length]) }
}

fn group(text: &str) -> Group {
    let (title, programs) = text.strip_suffix(')').and_then(|text| text.split_once(" (")).unwrap();
    let program = |name: &str| match name {
        "functions" => Program::Functions,
        "run" => Program::Run,
        "clone" => Program::Clone,
        "notify" => Program::Notify,
        "sweep" => Program::Sweep,
        other => panic!("{title} is for {other}, which is no program"),
    };
    let programs = programs.split(", ").map(program).collect();
    Group { title: title.to_owned(), programs, settings: Vec::new() }
}

/// A comment: names, what it is, and its default.
fn setting(comment: &str) -> Setting {
    let (head, rest) = comment.split_once("`: ").unwrap_or_else(|| panic!("no `: in {comment}"));
    let mut names: Vec<String> = Vec::new();
    let is_variable = |word: &&str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for name in head.split('`').skip(1).step_by(2).filter(is_variable) {
        match name.strip_suffix('_') {
            Some(prefix) => names.push(format!("{prefix}_{}", names[0])),
            None => names.push(name.to_owned()),
        }
    }
    let text = rest.trim_end().trim_end_matches('.');
    let (meaning, default) = match text.rsplit_once(" Default: ") {
        Some((meaning, default)) => (meaning, Some(default.to_owned())),
        None => {
            let meaning = text.strip_suffix(" Required");
            (meaning.unwrap_or_else(|| panic!("no default, and not required: {comment}")), None)
        }
    };
    let is_name = |word: &&str| {
        word.len() > 2
            && word
                .bytes()
                .all(|b| !b.is_ascii_lowercase() && (b.is_ascii_alphanumeric() || b == b'_'))
    };
    let others = comment.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned);
    let named = names.iter().cloned().chain(others).collect();
    let meaning = meaning.trim_end_matches('.').to_owned();
    Setting { names, named, meaning, default }
}

fn rust(groups: &[Group]) -> String {
    let mut text = "//! Every setting, made from the comments of the fields: `tests/table.rs`.\n\n\
                    use super::help::{Group, Program, Setting};\n\n\
                    #[rustfmt::skip]\n\
                    pub(super) const TABLE: &[Group] = &[\n"
        .to_owned();
    for Group { title, programs, settings } in groups {
        let programs: Vec<String> = programs.iter().map(|it| format!("Program::{it:?}")).collect();
        let programs = programs.join(", ");
        let begin = format!("    Group {{ title: {title:?}, programs: &[{programs}], settings: &[");
        writeln!(text, "{begin}").unwrap();
        for Setting { names, meaning, default, .. } in settings {
            writeln!(text, "        Setting {{").unwrap();
            writeln!(text, "            names: &{names:?},").unwrap();
            writeln!(text, "            meaning: {meaning:?},").unwrap();
            writeln!(text, "            default: {default:?},").unwrap();
            writeln!(text, "        }},").unwrap();
        }
        text.push_str("    ] },\n");
    }
    text.push_str("];\n");
    text
}

fn markdown(groups: &[Group]) -> String {
    let mut text = "# Settings\n\n\
        Every variable that the programs read, made from the comments in `src/settings.rs` and \
        `src/settings/`.\n\
        An empty variable is one that is not set; one that is not understood stops the program with \
        an error that names it.\n\
        Where a setting has several variables, the first that is set counts, unless it says \
        otherwise.\n\
        `worker notify` also takes the variables of whom it tells: [the crate \
        `notify`](notify/README.md) has them.\n"
        .to_owned();
    for program in Program::ALL {
        writeln!(text, "\n## `{}`", program.command()).unwrap();
        let mut elsewhere = Vec::new();
        for group in groups.iter().filter(|group| group.programs.contains(&program)) {
            if group.settings.is_empty() {
                continue;
            }
            // Each group is written where it comes first.
            let first = Program::ALL.into_iter().find(|first| group.programs.contains(first));
            if first != Some(program) {
                elsewhere.push(format!("[{}](#{})", group.title, anchor(&group.title)));
                continue;
            }
            writeln!(text, "\n### {}\n", group.title).unwrap();
            text.push_str("| variable | what it is | default |\n|---|---|---|\n");
            for Setting { names, meaning, default, .. } in &group.settings {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let default = default.as_deref().unwrap_or("required");
                let row =
                    [&names.join(", "), meaning, default].map(|cell| cell.replace('|', "\\|"));
                writeln!(text, "| {} |", row.join(" | ")).unwrap();
            }
        }
        if !elsewhere.is_empty() {
            writeln!(text, "\nAs above: {}.", elsewhere.join(", ")).unwrap();
        }
    }
    text
}

/// What a heading is called in an address.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}
