//! The formats of texts that the API checks; any other is not looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::names::{Rule, name_faults};

/// Whether a text has a format.
pub(crate) fn fits(format: &str, text: &str) -> bool {
    let plain = format.replace('-', "");
    match plain.as_str() {
        "datetime" => text.contains(['T', 't']) && text.parse::<Timestamp>().is_ok(),
        "date" => text.parse::<Date>().is_ok() && text.len() == 10,
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => mac(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid(&plain, text),
        "email" => email(text),
        "hostname" => {
            text.len() <= 255 && name_faults(Rule::Subdomain, &text.to_lowercase()).is_empty()
        }
        "uri" => text.parse::<http::Uri>().is_ok() && (text.contains(':') || text.starts_with('/')),
        "byte" => STANDARD.decode(text).is_ok(),
        "duration" => duration(text),
        "hexcolor" => hex_color(text),
        _ => true,
    }
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most) && !bits.starts_with('+')
}

fn mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn uuid(format: &str, text: &str) -> bool {
    let Ok(uuid) = uuid::Uuid::try_parse(text) else { return false };
    match format.strip_prefix("uuid").and_then(|version| version.parse::<usize>().ok()) {
        Some(version) => uuid.get_version_num() == version,
        None => true,
    }
}

fn email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
}

fn hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A duration as Go writes it (`1h30m`, `1.5s`), or a number with a word (`3 days`).
fn duration(text: &str) -> bool {
    const UNITS: &[&str] = &["ns", "us", "µs", "ms", "s", "m", "h", "d", "w"];
    let text = text.trim().trim_start_matches(['-', '+']);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.len()
            - rest.trim_start_matches(|one: char| one.is_ascii_digit() || one == '.').len();
        if digits == 0 {
            return false;
        }
        rest = rest[digits..].trim_start();
        let letters = rest.len() - rest.trim_start_matches(|one: char| one.is_alphabetic()).len();
        let unit = &rest[..letters];
        let word =
            ["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week"];
        if !UNITS.contains(&unit) && !word.contains(&unit.trim_end_matches('s')) {
            return false;
        }
        rest = rest[letters..].trim_start();
        parts += 1;
    }
    parts > 0
}
