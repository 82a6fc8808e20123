//! Texts that strangers wrote, fit for where they go: cut, on one line, without control characters.

/// A text in one line of so many characters, without control characters.
pub fn line(text: &str, most: usize) -> String {
    cut(&clean(text, false), most)
}

/// The beginning of a text, of so many characters; an ellipsis says that there is more.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// A text without control characters; on one line, or with its own.
pub fn clean(text: &str, has_lines: bool) -> String {
    let kept = text.chars().filter_map(|c| match c {
        '\n' | '\t' if has_lines => Some(c),
        '\n' | '\t' | '\r' if !has_lines => Some(' '),
        _ if c.is_control() => None,
        _ => Some(c),
    });
    let kept: String = kept.collect();
    if has_lines { kept } else { kept.split_whitespace().collect::<Vec<_>>().join(" ") }
}
