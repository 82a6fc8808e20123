//! Slack's own language, which nothing that strangers wrote may speak.
//!
//! `&`, `<` and `>` are escaped, as Slack has it, so that nothing is a link or a mention; what it
//! might still take for one is pulled apart. It has no escapes for what formats, so that characters
//! that would are written by others that look like them.
//!
//! <https://docs.slack.dev/messaging/formatting-message-text>

use crate::text::{self, ELLIPSIS, JOINER};

/// What is between a fence and its text.
const FENCE: &str = "```";

/// A text that is shown as it is where nothing is formatted: of so many characters, as Slack counts
/// them.
pub(super) fn plain(text: &str, most: usize) -> String {
    written(text, most, false)
}

/// A text that is shown as it is where texts are formatted.
pub(super) fn unformatted(text: &str, most: usize) -> String {
    written(text, most, true)
}

/// The end of a text in a fence.
pub(super) fn code(log: &str, most: usize) -> String {
    let room = most.saturating_sub(2 * FENCE.len() + 2);
    let mut kept = text::tail(log, room);
    let mut escaped = fenced(&kept);
    // What is escaped is longer than what was cut.
    while escaped.chars().count() > room {
        let beyond = escaped.chars().count() - room;
        kept = text::tail(&kept, kept.chars().count().saturating_sub(beyond.div_ceil(4).max(3)));
        escaped = fenced(&kept);
    }
    format!("{FENCE}\n{escaped}\n{FENCE}")
}

/// What cannot end the fence that it is in.
fn fenced(text: &str) -> String {
    let mut written = String::new();
    let mut ticks = 0;
    for (at, c) in text.char_indices() {
        ticks = if c == '`' { ticks + 1 } else { 0 };
        if ticks > 1 {
            written.push(JOINER);
        }
        escape(c, &text[at..], &mut written);
    }
    written
}

fn written(text: &str, most: usize, is_formatted: bool) -> String {
    let text = text::cut(text, most);
    let mut written = String::new();
    // Where each character begins in what is written, and how many are before it.
    let mut starts = Vec::new();
    let (mut before, mut count) = (None, 0);
    for (at, c) in text.char_indices() {
        let start = written.len();
        let rest = &text[at..];
        let after = rest[c.len_utf8()..].chars().next();
        match like(c).filter(|_| is_formatted && stands_apart(before, after)) {
            Some(like) => written.push(like),
            None => {
                let is_quote = is_formatted && c == '>' && matches!(before, None | Some('\n'));
                if is_quote || (c == '`' && before == Some('`')) {
                    written.push(JOINER);
                }
                escape(c, rest, &mut written);
            }
        }
        starts.push((start, count));
        count += written[start..].chars().count();
        before = Some(c);
    }
    if count > most {
        let room = most.saturating_sub(1);
        let fits = starts.iter().rev().find(|(_, before)| *before <= room);
        written.truncate(fits.map_or(0, |(start, _)| *start));
        if most > 0 {
            written.push(ELLIPSIS);
        }
    }
    written
}

fn escape(c: char, rest: &str, written: &mut String) {
    match c {
        '&' => written.push_str("&amp;"),
        '<' => written.push_str("&lt;"),
        '>' => written.push_str("&gt;"),
        '@' if is_mention(&rest[1..]) => written.extend(['@', JOINER]),
        _ => written.push(c),
    }
}

/// Whether the text after an `@` calls everybody.
fn is_mention(text: &str) -> bool {
    ["channel", "here", "everyone", "group"]
        .iter()
        .any(|name| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
}

/// What looks like a character that formats, and does not.
fn like(c: char) -> Option<char> {
    match c {
        '*' => Some('\u{2217}'),
        '_' => Some('\u{2cd}'),
        '~' => Some('\u{223c}'),
        '`' => Some('\u{2cb}'),
        _ => None,
    }
}

/// Whether a character is at an end of a word, where it would format: those in `a_b_c` do not.
fn stands_apart(before: Option<char>, after: Option<char>) -> bool {
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !(is_inside(before) && is_inside(after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, proptest};

    use super::{code, plain, unformatted};

    #[test]
    fn strangers_do_not_speak_slacks_language() {
        for (text, written) in [
            ("<!channel> <@U024BE7LH> & co", "&lt;!channel&gt; &lt;@U024BE7LH&gt; &amp; co"),
            ("<https://evil.example|fine>", "&lt;https://evil.example|fine&gt;"),
            ("@channel @HERE! @everyone", "@\u{2060}channel @\u{2060}HERE! @\u{2060}everyone"),
            ("a@b.example @chan @", "a@b.example @chan @"),
            ("*bold* _it_ ~no~ `code` a_b_c 2*3", "∗bold∗ ˍitˍ ∼no∼ ˋcodeˋ a_b_c 2*3"),
            ("> quote\n> quote", "\u{2060}&gt; quote\n\u{2060}&gt; quote"),
            ("&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;"),
        ] {
            assert_eq!(unformatted(text, 1000), written, "{text}");
        }
        assert_eq!(plain("*a* <b>", 100), "*a* &lt;b&gt;");
        assert_eq!(plain("a<<<", 9), "a&lt;…");
        assert_eq!(code("end ``` <!here>", 100), "```\nend `\u{2060}`\u{2060}` &lt;!here&gt;\n```");
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_is_markup(text in any::<String>(), most in 0_usize..60) {
            for written in [plain(&text, most), unformatted(&text, most)] {
                prop_assert!(written.chars().count() <= most, "{written:?}");
                prop_assert!(!written.contains(['<', '>']), "{written:?}");
                let entities = ["&amp;", "&lt;", "&gt;"];
                let whole = entities.iter().fold(written.clone(), |text, entity| text.replace(entity, ""));
                prop_assert!(!whole.contains('&'), "{written:?}");
            }
            let code = code(&text, most + 20);
            prop_assert!(code.chars().count() <= most + 20, "{code:?}");
            let inside = code.strip_prefix("```\n").and_then(|code| code.strip_suffix("\n```"));
            prop_assert!(inside.is_some_and(|inside| !inside.contains("``")), "{code:?}");
        }
    }
}
