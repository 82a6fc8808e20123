//! The Markdown of Adaptive Cards, which nothing that strangers wrote may speak.
//!
//! <https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features>

use crate::text::JOINER;

/// A text that is shown as it is, in its own lines.
pub(super) fn plain(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(line).collect();
    // One end of a line is none in a card.
    lines.join("\n\n")
}

/// A line that is shown as it is.
pub(super) fn line(line: &str) -> String {
    let mut written = String::new();
    let content = line.trim_start();
    if is_item(content) {
        written.push(JOINER);
    }
    for (at, c) in content.char_indices() {
        match c {
            '\\' | '*' | '_' | '`' | '[' | ']' | '~' => written.extend(['\\', c]),
            // It may begin a tag, or what is written for a character.
            '<' | '&' => written.extend([c, JOINER]),
            '{' if content[at..].starts_with("{{") => written.extend([c, JOINER]),
            _ => written.push(c),
        }
    }
    written
}

/// Whether a line would be one of a list, a heading or a quotation.
fn is_item(line: &str) -> bool {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_number = digits.len() < line.len() && digits.starts_with(['.', ')']);
    is_number || line.starts_with(['-', '+', '#', '>', '=', '|'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    use super::{line, plain};

    #[test]
    fn strangers_do_not_speak_markdown() {
        for (text, written) in [
            ("**bold** _it_ `x` ~y~", "\\*\\*bold\\*\\* \\_it\\_ \\`x\\` \\~y\\~"),
            ("[fine](https://evil.example)", "\\[fine\\](https://evil.example)"),
            ("<at>all</at> &lt;", "<\u{2060}at>all<\u{2060}/at> &\u{2060}lt;"),
            ("a\\*b", "a\\\\\\*b"),
            (
                "- one\n 2. two\n# h\n> q",
                "\u{2060}- one\n\n\u{2060}2. two\n\n\u{2060}# h\n\n\u{2060}> q",
            ),
            ("{{DATE(2026-01-01T00:00:00Z)}}", "{\u{2060}{DATE(2026-01-01T00:00:00Z)}}"),
            ("2026 was 2.5 - 1", "2026 was 2.5 - 1"),
        ] {
            assert_eq!(plain(text), written, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_is_markup(text in any::<String>()) {
            let written = line(&text);
            let mut before = None;
            let mut escapes = 0;
            for c in written.chars() {
                if matches!(c, '*' | '_' | '`' | '[' | ']' | '~') {
                    prop_assert!(before == Some('\\') && escapes % 2 == 1, "{written:?}");
                }
                if matches!(before, Some('<' | '&')) {
                    prop_assert!(c == '\u{2060}', "{written:?}");
                }
                escapes = if c == '\\' { escapes + 1 } else { 0 };
                before = Some(c);
            }
        }
    }
}
