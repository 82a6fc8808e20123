//! What is said of the settings to those who ask: the table that is made from their comments.

use super::table::TABLE;

/// A program that settings are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// `functions`.
    Functions,
    /// `worker run`.
    Run,
    /// `worker clone`.
    Clone,
    /// `worker notify`.
    Notify,
    /// `worker sweep`.
    Sweep,
}

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The programs that they are for.
    pub programs: &'static [Program],
    /// The settings.
    pub settings: &'static [Setting],
}

/// One setting, or several that are one.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its variables: the first is its own, the others are taken for it, or are a part of it.
    pub names: &'static [&'static str],
    /// What it is, in Markdown.
    pub meaning: &'static str,
    /// What it is where it is not set, in Markdown; none where it must be set.
    pub default: Option<&'static str>,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 5] =
        [Program::Functions, Program::Run, Program::Clone, Program::Notify, Program::Sweep];

    /// How it is called.
    pub fn command(self) -> &'static str {
        match self {
            Program::Functions => "functions",
            Program::Run => "worker run",
            Program::Clone => "worker clone",
            Program::Notify => "worker notify",
            Program::Sweep => "worker sweep",
        }
    }

    /// The groups of its settings.
    pub fn groups(self) -> impl Iterator<Item = &'static Group> {
        TABLE.iter().filter(move |group| group.programs.contains(&self))
    }
}

/// How wide a line of help is.
const WIDTH: usize = 100;

/// All settings of a program, for a terminal.
pub fn text(program: Program) -> String {
    let mut text = String::new();
    for group in program.groups().filter(|group| !group.settings.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(group.title);
        text.push_str(":\n");
        for setting in group.settings {
            let meaning = setting.meaning.replace('`', "");
            let said = match setting.default {
                Some(default) => format!("{meaning}. Default: {}", default.replace('`', "")),
                None => format!("{meaning}. Required"),
            };
            wrap(&mut text, &setting.names.join(", "), 2);
            wrap(&mut text, &said, 10);
        }
    }
    text
}

/// Writes a text in lines that begin with so many spaces.
fn wrap(text: &mut String, words: &str, indent: usize) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if column == 0 || column + 1 + width > WIDTH {
            if column > 0 {
                text.push('\n');
            }
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

#[test]
fn help_says_a_setting_in_lines_that_fit() {
    let text = text(Program::Functions);
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    let namespace =
        "  NAMESPACE, BRIGADE_NAMESPACE\n          where the projects are. Default: default";
    assert!(text.contains(namespace), "{text}");
    assert!(!text.contains('`'), "{text}");
}
