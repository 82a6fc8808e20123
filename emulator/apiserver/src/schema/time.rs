//! Times as objects carry them: read as strictly as the real server reads them, with its words.

use jiff::Timestamp;

/// A time to the second; a fraction is read and forgotten.
const SECONDS: &[&str] = &["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", "Z07:00"];
/// A time to the microsecond, all six digits of it.
const MICROSECONDS: &[&str] =
    &["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", ".000000", "Z07:00"];

/// # Errors
/// What cannot be read.
pub(crate) fn parse(text: &str, micro: bool) -> Result<Timestamp, String> {
    let layout = if micro { MICROSECONDS } else { SECONDS };
    let mut rest = text;
    for element in layout {
        let Some(length) = fits(element, rest) else {
            return Err(format!(
                "parsing time {text:?} as \"{}\": cannot parse {rest:?} as {element:?}",
                layout.concat()
            ));
        };
        let read = &rest[..length];
        rest = &rest[length..];
        let limits = match *element {
            "01" => (1, 12, "month"),
            "02" => (1, 31, "day"),
            "15" => (0, 23, "hour"),
            "04" => (0, 59, "minute"),
            "05" => (0, 59, "second"),
            _ => continue,
        };
        if !read.parse().is_ok_and(|number: u32| (limits.0..=limits.1).contains(&number)) {
            return Err(format!("parsing time {text:?}: {} out of range", limits.2));
        }
        if !micro && *element == "05" {
            rest = &rest[fraction(rest)..];
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    text.parse().map_err(|_| format!("parsing time {text:?}: day out of range"))
}

/// How much of a text an element of the layout takes.
fn fits(element: &str, rest: &str) -> Option<usize> {
    let digits = |from: usize, to: usize| {
        rest.get(from..to).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match element {
        "2006" => digits(0, 4).then_some(4),
        "01" | "02" | "15" | "04" | "05" => digits(0, 2).then_some(2),
        ".000000" => (rest.starts_with('.') && digits(1, 7)).then_some(7),
        "Z07:00" if rest.starts_with('Z') => Some(1),
        "Z07:00" => (rest.starts_with(['+', '-'])
            && digits(1, 3)
            && rest.get(3..4) == Some(":")
            && digits(4, 6))
        .then_some(6),
        literal => rest.starts_with(literal).then_some(literal.len()),
    }
}

fn fraction(rest: &str) -> usize {
    let Some(digits) = rest.strip_prefix('.') else { return 0 };
    match digits.bytes().take_while(u8::is_ascii_digit).count() {
        0 => 0,
        count => count + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_told_as_far_as_it_was_read() {
        let micro = "\"2006-01-02T15:04:05.000000Z07:00\"";
        for (text, expected) in [
            (
                "yesterday",
                format!("\"yesterday\" as {micro}: cannot parse \"yesterday\" as \"2006\""),
            ),
            (
                "2026-01-01T00:00:00Z",
                format!("\"2026-01-01T00:00:00Z\" as {micro}: cannot parse \"Z\" as \".000000\""),
            ),
            ("2026-13-01T", "\"2026-13-01T\": month out of range".to_owned()),
        ] {
            assert_eq!(parse(text, true), Err(format!("parsing time {expected}")));
        }
        assert!(parse("2026-01-01T00:00:00.000001+02:00", true).is_ok());
        assert!(parse("2026-01-01T00:00:00.5Z", false).is_ok());
        assert!(parse("2026-02-30T00:00:00Z", false).is_err());
    }
}
