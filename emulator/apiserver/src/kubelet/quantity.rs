//! Resource quantities, and what this host has of them.

use std::{fs, thread};

/// The value of a quantity such as `250m`, `1Gi` or `2e3`.
pub(crate) fn parse(quantity: &str) -> Option<f64> {
    let number_end = quantity
        .find(|character: char| !character.is_ascii_digit() && !"+-.".contains(character))
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(number_end);
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// A number of bytes as Kubernetes writes it: in the largest binary unit that fits exactly.
pub(super) fn shown(bytes: u64) -> String {
    let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut bytes = bytes;
    let mut unit = 0;
    while bytes >= 1024 && bytes.is_multiple_of(1024) && unit + 1 < units.len() {
        bytes /= 1024;
        unit += 1;
    }
    format!("{bytes}{}", units[unit])
}

/// The processors of this host.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The memory of this host in bytes; 0 if unknown.
pub(super) fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes =
        total.and_then(|total| total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[test]
fn quantities_have_decimal_and_binary_units() {
    for (quantity, expected) in [
        ("1", Some(1.0)),
        ("250m", Some(0.25)),
        ("1.5Gi", Some(1.5 * 1024.0 * 1024.0 * 1024.0)),
        ("2e3", Some(2000.0)),
        ("1E", Some(1e18)),
        ("", None),
        ("Gi", None),
        ("1X", None),
    ] {
        assert_eq!(parse(quantity), expected, "{quantity}");
    }
}
