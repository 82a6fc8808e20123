//! Puts marks where outputs differ from run to run, and leaves out what kubectl logs.

/// The text with marks for times, ages, identifiers and versions, and with single gaps.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !is_note(line)) {
        masked.push_str(&words(&gaps(line)));
        masked.push('\n');
    }
    masked
}

/// Whether kubectl says something about itself: `W1122 14:21:46.470481  3598 diff.go:723] ...`.
fn is_note(line: &str) -> bool {
    let stamp = line.get(1..).and_then(|rest| rest.get(.."1122 14:21:46.470481".len()));
    line.starts_with(['I', 'W', 'E'])
        && stamp.is_some_and(|stamp| like(stamp, "9999 99:99:99.999999"))
}

/// Columns are as wide as their widest cell, which may be an age: each gap becomes two blanks.
fn gaps(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let mut out = line[..indent].to_owned();
    let mut blanks = 0;
    for char in line[indent..].chars() {
        match char {
            ' ' => blanks += 1,
            _ => {
                out.push_str(if blanks > 1 { "  " } else { &" "[..blanks] });
                out.push(char);
                blanks = 0;
            }
        }
    }
    out
}

fn words(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for char in line.chars() {
        if char.is_ascii_alphanumeric() || matches!(char, '-' | ':' | '.' | '+') {
            word.push(char);
            continue;
        }
        push(&mut out, &word);
        word.clear();
        out.push(char);
    }
    push(&mut out, &word);
    dates(out)
}

fn push(out: &mut String, word: &str) {
    if let Some(before) = word.strip_suffix(':') {
        push(out, before);
        out.push(':');
        return;
    }
    let version = ["resourceVersion: \"", "resourceVersion\": \"", "Resource Version:  "];
    if version.iter().any(|before| out.ends_with(before)) && is_digits(word) {
        out.push_str("<version>");
    } else if is_uuid(word) {
        out.push_str("<uid>");
    } else if out.ends_with("://") && like(word, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") {
        out.push_str("<id>");
    } else if let Some(at) = time(word) {
        out.push_str(&word[..at]);
        out.push_str("<time>");
    } else if is_address(word) {
        out.push_str("<ip>");
    } else if is_age(word) {
        out.push_str("<age>");
    } else if let Some(name) = event_name(word) {
        out.push_str(name);
        out.push_str(".<event>");
    } else {
        match word.rsplit_once('-') {
            Some((name, suffix)) if is_suffix(suffix) => {
                out.push_str(name);
                out.push_str("-<suffix>");
            }
            _ => out.push_str(word),
        }
    }
}

fn is_digits(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether each character is what the pattern says: `9` a digit, `x` a hexadecimal one.
fn like(word: &str, pattern: &str) -> bool {
    word.len() == pattern.len()
        && word.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'9' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == wanted,
        })
}

fn is_uuid(word: &str) -> bool {
    like(word, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
}

/// Where a time with its zone begins in the word; it ends it.
fn time(word: &str) -> Option<usize> {
    let start = word.len().checked_sub("2026-01-02T03:04:05Z".len())?;
    if word.is_char_boundary(start) && like(&word[start..], "9999-99-99T99:99:99Z") {
        return Some(start);
    }
    let (whole, fraction) = word.rsplit_once('.')?;
    let start = whole.len().checked_sub("2026-01-02T03:04:05".len())?;
    let fits =
        like(&whole[start..], "9999-99-99T99:99:99") && is_digits(fraction.strip_suffix('Z')?);
    fits.then_some(start)
}

/// Sessions take less than 100 seconds; what lasts longer was meant.
fn is_age(word: &str) -> bool {
    like(word, "9s") || like(word, "99s")
}

/// An address inside the cluster.
fn is_address(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 4 && parts[0] == "10" && parts.iter().all(|part| is_digits(part))
}

fn event_name(word: &str) -> Option<&str> {
    let (name, hex) = word.rsplit_once('.')?;
    like(hex, "xxxxxxxxxxxxxxxx").then_some(name)
}

/// The five letters that `generateName` adds.
fn is_suffix(word: &str) -> bool {
    word.len() == 5 && word.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}

/// `Sun, 22 Nov 2026 14:03:45 +0000`, as descriptions have it.
fn dates(line: String) -> String {
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some((before, after)) = rest.split_once(" +0000") {
        let start = before.len().checked_sub("Sun, 22 Nov 2026 14:03:45".len());
        match start.filter(|start| before.is_char_boundary(*start)) {
            Some(start) if before[start + 3..].starts_with(", ") => {
                out.push_str(&before[..start]);
                out.push_str("<time>");
            }
            _ => {
                out.push_str(before);
                out.push_str(" +0000");
            }
        }
        rest = after;
    }
    out + rest
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    for (text, masked) in [
        ("a   1s", "a  <age>"),
        ("a  1 (2s ago)   12s", "a  1 (<age> ago)  <age>"),
        ("for 300s", "for 300s"),
        ("  uid: 0f8fad5b-d9cb-469f-a165-70867728950e", "  uid: <uid>"),
        ("  resourceVersion: \"12\"", "  resourceVersion: \"<version>\""),
        ("at 2026-11-22T14:03:45Z", "at <time>"),
        ("2026-11-22T14:03:45.123456Z hi", "<time> hi"),
        ("Start Time:   Sun, 22 Nov 2026 14:03:45 +0000", "Start Time:  <time>"),
        ("Sun, 22 Nov 2026 14:03:45 +0000 to Mon, 23 Nov 2026 14:03:45 +0000", "<time> to <time>"),
        ("web  10.96.1.2  80", "web  <ip>  80"),
        ("once-b2c4d   x", "once-<suffix>  x"),
        ("once-b2c4d:", "once-<suffix>:"),
        ("simulate://0123456789abcdef0123456789abcdef", "simulate://<id>"),
        ("main.18a1b2c3d4e5f607", "main.<event>"),
    ] {
        assert_eq!(mask(text), format!("{masked}\n"));
    }
    assert_eq!(mask("W1122 14:21:46.470481    3598 diff.go:723] it changes\nhi\n"), "hi\n");
}
