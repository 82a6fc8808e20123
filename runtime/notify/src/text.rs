//! Texts that strangers wrote, fit for where they go: cut between characters, and without what is
//! not to be seen or turns around what is.
//!
//! What is special in a sink's own language is neutralised where it is written in that.

use std::iter::Peekable;
use std::str::Chars;

/// What says that there was more.
pub const ELLIPSIS: char = '…';

/// What is put between two characters so that they do not mean what they would together; nobody
/// sees it, and nothing breaks there.
pub const JOINER: char = '\u{2060}';

/// A text in one line of so many characters, without what cannot be seen.
pub fn line(text: &str, most: usize) -> String {
    cut(&clean(text, false), most)
}

/// The same, of which no more is looked at than that may need: whoever writes a megabyte does not
/// have it read again and again.
pub(crate) fn short(text: &str, most: usize) -> String {
    line(&text[..text.floor_char_boundary(most.saturating_mul(16))], most)
}

/// A text in its own lines of so many characters together, without what cannot be seen.
pub fn lines(text: &str, most: usize) -> String {
    cut(clean(text, true).trim_end(), most)
}

/// The beginning of a text, of so many characters; an ellipsis says that there is more.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) if most == 0 => String::new(),
        Some(_) => {
            let mut kept: String = text.chars().take(most - 1).collect();
            kept.truncate(kept.trim_end().len());
            kept.push(ELLIPSIS);
            kept
        }
    }
}

/// The beginning of a text, of so many bytes; an ellipsis says that there is more.
pub fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(ELLIPSIS.len_utf8()) else { return String::new() };
    let mut kept = text[..text.floor_char_boundary(room)].trim_end().to_owned();
    kept.push(ELLIPSIS);
    kept
}

/// The end of a text, of so many characters: from the beginning of a line, if one is near; an
/// ellipsis says that there was more.
pub fn tail(text: &str, most: usize) -> String {
    let all = text.chars().count();
    if all <= most {
        return text.to_owned();
    }
    // The ellipsis stands on a line of its own.
    let Some(room) = most.checked_sub(2) else { return String::new() };
    let start = text.char_indices().nth(all - room).map_or(text.len(), |(start, _)| start);
    let kept = &text[start..];
    let whole = match kept.find('\n') {
        _ if text[..start].ends_with('\n') => kept,
        Some(end) if end < kept.len() / 2 => &kept[end + 1..],
        _ => kept,
    };
    format!("{ELLIPSIS}\n{whole}")
}

/// A text without control characters, colours of terminals, and characters that cannot be seen or
/// change the direction of what follows; on one line, or with its own lines and tabs.
pub fn clean(text: &str, has_lines: bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => kept.push('\n'),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => kept.push('\n'),
            '\t' => kept.push('\t'),
            _ if c.is_control() || is_unseen(c) => {}
            _ => kept.push(c),
        }
    }
    if has_lines { kept } else { kept.split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// Skips what follows the character Escape and belongs to it: a command to a terminal.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while let Some(c) = chars.next_if(|c| matches!(c, ' '..='~')) {
                if matches!(c, '@'..='~') {
                    break;
                }
            }
        }
        Some(']') => {
            chars.next();
            while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            if chars.next() == Some('\u{1b}') {
                chars.next_if_eq(&'\\');
            }
        }
        _ => {}
    }
}

/// Whether a character is not seen, but may change what is: directions, tags, fillers. Those that
/// join letters and emoji are kept.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{clean, cut, cut_bytes, is_unseen, line, lines, tail};

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((cut("häuser", 6), cut("häuser", 5)), ("häuser".into(), "häus…".into()));
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".into(), String::new()));
        assert_eq!((cut_bytes("ääää", 8), cut_bytes("ääää", 7)), ("ääää".into(), "ää…".into()));
        assert_eq!((cut_bytes("ääää", 3), cut_bytes("ääää", 2)), ("…".into(), String::new()));
        assert_eq!(tail("one\ntwo\nthree", 13), "one\ntwo\nthree");
        assert_eq!(tail("one\ntwo\nthree", 12), "…\ntwo\nthree");
        assert_eq!(tail("one\ntwo\nthree", 10), "…\nthree");
        assert_eq!(tail("a long line\nx", 8), "…\nline\nx");
    }

    #[test]
    fn what_cannot_be_seen_is_not_sent() {
        for (text, kept) in [
            ("a\r\nb\rc\u{2028}d", "a\nb\nc\nd"),
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y", "red xy"),
            ("\u{1b}", ""),
            ("\u{1b}[\nx", "\nx"),
            ("nul\0bell\u{7}del\u{7f}c1\u{9b}", "nulbelldelc1"),
            ("safe\u{202e}gpj.exe\u{2066}\u{200f}", "safegpj.exe"),
            ("b\u{ad}a\u{200b}d\u{2060}ta\u{e0041}g", "badtag"),
            ("👩‍🚀 \u{645}\u{6cc}\u{200c}\u{62e}", "👩‍🚀 \u{645}\u{6cc}\u{200c}\u{62e}"),
        ] {
            assert_eq!(clean(text, true), kept, "{text:?}");
        }
        assert_eq!(line(" a\tb\n\n c ", 9), "a b c");
        assert_eq!(lines("a\n\tb\n\n", 9), "a\n\tb");
    }

    proptest! {
        #[test]
        fn every_text_fits_and_hides_nothing(text in any::<String>(), most in 0_usize..40) {
            let (cut, cut_bytes) = (cut(&text, most), cut_bytes(&text, most));
            prop_assert!(cut.chars().count() <= most && cut_bytes.len() <= most);
            prop_assert!(tail(&text, most).chars().count() <= most.max(text.len().min(most)));
            let fits = text.chars().count() <= most;
            prop_assert_eq!(cut == text, fits || text.is_empty());
            let clean = clean(&text, true);
            prop_assert!(!clean.contains(is_unseen));
            prop_assert!(!clean.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
            let line = line(&text, most);
            prop_assert!(!line.contains(['\n', '\t']) && line.chars().count() <= most);
        }
    }
}
