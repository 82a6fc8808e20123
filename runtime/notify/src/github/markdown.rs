//! Strangers' text in GitHub's Markdown, where it is only ever code: nothing in code is markup, a
//! link or a mention.

use std::fmt::Write;

use crate::text::{clean, line};

/// How long a text of a check run may be. GitHub says characters, and counts bytes.
pub(crate) const LIMIT: usize = 65_535;

/// What is said where the beginning of a text was cut off.
const CUT: &str = "(the beginning is left out)\n";

/// A line of code, also within a table.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::from("<code>");
    let mut before = ' ';
    for c in line(text, usize::MAX).chars() {
        // What cannot begin anything in Markdown, HTML or GitHub's own additions to them.
        let is_plain = c.is_alphanumeric()
            || !c.is_ascii()
            || matches!(
                c,
                ' ' | '-' | ',' | '(' | ')' | '/' | '\'' | '"' | '=' | '+' | ';' | '?' | '%'
            )
            || (c == '.' && !before.eq_ignore_ascii_case(&'w'));
        if is_plain {
            code.push(c);
        } else {
            let _infallible = write!(code, "&#{};", u32::from(c));
        }
        before = c;
    }
    code + "</code>"
}

/// Lines of code that nothing in them ends, in so many bytes: their end, if they are too long.
pub(crate) fn fenced(text: &str, limit: usize) -> String {
    // Colours take room that is not theirs.
    let from = text.ceil_char_boundary(text.len().saturating_sub(limit.saturating_mul(4)));
    let text = clean(&text[from..], true);
    let text = text.trim_matches('\n');
    // In whatever part of it is kept.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0).min(limit / 4);
    let fence = "`".repeat((longest + 1).max(3));
    let around = 2 * fence.len() + "text\n\n".len();
    let limit = limit.saturating_sub(around);
    let text = end(text, limit);
    // A run that is too long for a fence of its own length.
    let text = if text.contains(&fence) { text.replace('`', "'") } else { text };
    format!("{fence}text\n{text}\n{fence}")
}

/// The end of a text, in so many bytes, that says that it is one.
fn end(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let Some(room) = limit.checked_sub(CUT.len()) else { return String::new() };
    let mut from = text.len() - room;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    // Whole lines, unless there is hardly one.
    let kept = &text[from..];
    let kept = kept.split_once('\n').map(|(_, rest)| rest).filter(|rest| rest.len() > room / 2);
    format!("{CUT}{}", kept.unwrap_or(&text[from..]))
}

/// The beginning of a text, in so many bytes.
pub(crate) fn beginning(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[test]
fn nothing_in_code_is_markup_a_link_or_a_mention() {
    for (text, written) in [
        ("unit-tests (1/2)", "<code>unit-tests (1/2)</code>"),
        ("a|b", "<code>a&#124;b</code>"),
        ("</code><b>@all #1", "<code>&#60;/code&#62;&#60;b&#62;&#64;all &#35;1</code>"),
        ("[x](http://e.x) `*_~", "<code>&#91;x&#93;(http&#58;//e.x) &#96;&#42;&#95;&#126;</code>"),
        ("www.evil.example", "<code>www&#46;evil.example</code>"),
        ("a\r\n| b\u{0}\u{202e}", "<code>a &#124; b</code>"),
        ("$x$ ^ \\ !", "<code>&#36;x&#36; &#94; &#92; &#33;</code>"),
    ] {
        assert_eq!(code(text), written);
    }
}

#[test]
fn no_text_ends_its_fence() {
    assert_eq!(fenced("a\n```\nb\n", 100), "````text\na\n```\nb\n````");
    assert_eq!(fenced("\u{1b}[31mred\u{1b}[0m\r\n\u{7}plain", 100), "```text\nred\nplain\n```");
    for text in ["`".repeat(1000), "````\n".repeat(500), format!("{}x", "`".repeat(70_000))] {
        let fenced = fenced(&text, 400);
        assert!(fenced.len() <= 400, "{}", fenced.len());
        let fence = fenced.split_once("text\n").unwrap().0;
        let inside = fenced.strip_prefix(fence).unwrap().strip_suffix(fence).unwrap();
        assert!(!inside.contains(fence), "{fenced}");
    }
}

#[test]
fn the_end_of_a_long_text_is_kept() {
    let text: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    let fenced = fenced(&text, 1000);
    assert!(fenced.len() <= 1000 && fenced.len() > 900, "{}", fenced.len());
    assert!(fenced.starts_with("```text\n(the beginning is left out)\nline 99"), "{fenced}");
    assert!(fenced.ends_with("line 9999\n```"));
    // At the boundaries of letters that take several bytes.
    for limit in 100..110 {
        let fenced = super::markdown::fenced(&"ä€😀".repeat(100), limit);
        assert!(fenced.len() <= limit && fenced.ends_with("😀\n```"), "{fenced}");
    }
}
