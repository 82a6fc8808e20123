//! Spans of time as Go writes them, and sizes as Kubernetes does.

use std::time::Duration;

/// Reads a span of time: `720h`, `1h30m`, `1.5s`. A number needs a unit, unless it is 0.
pub fn duration(text: &str) -> Option<Duration> {
    let units = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (_, unit) = units.iter().find(|(name, _)| *name == &after[..end])?;
        seconds += number * unit;
        rest = &after[end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads a size in bytes: `64Mi`, `1G`, `500k`, `1.5Gi`.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let size = number * factor;
    // Beyond this a number of bytes is not exact.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is checked to be small and not negative"
    )]
    (size <= 1e15).then_some(size as u64)
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[test]
fn spans_of_time_are_read_as_go_reads_them() {
    for (text, seconds) in [
        ("720h", 2_592_000.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("0", 0.0),
        ("0s", 0.0),
        ("1m0.5s", 60.5),
    ] {
        assert_eq!(duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
    }
    for text in ["", "5", "-1h", "h", "1d", "1h 30m", "1.2.3s", "9999999999999999999999h", "1hh"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn sizes_are_read_as_kubernetes_reads_them() {
    for (text, size) in [("64Mi", 64 << 20), ("1G", 1_000_000_000), ("1.5Ki", 1536), ("12", 12)] {
        assert_eq!(bytes(text), Some(size), "{text}");
    }
    for text in ["", "Mi", "-1", "1mi", "64 Mi", "64MB", "1e3", "99999999999Gi"] {
        assert_eq!(bytes(text), None, "{text}");
    }
}
