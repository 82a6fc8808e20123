//! Unified differences of texts, found as the real server finds them: the longest common run first,
//! then what is before and after it; lines that are everywhere in a long text begin no run.

use std::collections::HashMap;
use std::fmt::Write;

/// Lines shown around a change.
const AROUND: usize = 3;

/// A run of lines that both sides have.
#[derive(Debug, Clone, Copy)]
struct Run {
    old: usize,
    new: usize,
    length: usize,
}

/// What becomes of some lines.
#[derive(Debug, Clone, Copy)]
struct Piece {
    same: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// The difference of two texts in hunks with three lines around them.
pub(crate) fn unified(old: &[String], new: &[String]) -> String {
    let mut text = String::new();
    for hunk in hunks(pieces(old, new)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let old_range = range(first.old.0, last.old.1);
        let new_range = range(first.new.0, last.new.1);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "@@ -{old_range} +{new_range} @@");
        for piece in &hunk {
            let mark = if piece.same { ' ' } else { '-' };
            for line in &old[piece.old.0..piece.old.1] {
                let _ = writeln!(text, "{mark}{line}");
            }
            for line in new[piece.new.0..piece.new.1].iter().filter(|_| !piece.same) {
                let _ = writeln!(text, "+{line}");
            }
        }
    }
    text
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// All lines of both sides, in pieces that are the same or not.
fn pieces(old: &[String], new: &[String]) -> Vec<Piece> {
    let mut runs = Vec::new();
    let places = places(new);
    find(old, new, &places, (0, old.len()), (0, new.len()), &mut runs);
    runs.push(Run { old: old.len(), new: new.len(), length: 0 });
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut at_old, mut at_new) = (0, 0);
    for run in runs {
        if at_old < run.old || at_new < run.new {
            pieces.push(Piece { same: false, old: (at_old, run.old), new: (at_new, run.new) });
        }
        (at_old, at_new) = (run.old + run.length, run.new + run.length);
        if run.length == 0 {
            continue;
        }
        let joined = pieces.last_mut().filter(|last| last.same && last.old.1 == run.old);
        match joined {
            Some(last) => (last.old.1, last.new.1) = (at_old, at_new),
            None => {
                pieces.push(Piece { same: true, old: (run.old, at_old), new: (run.new, at_new) });
            }
        }
    }
    pieces
}

/// Where each line is, without those that are everywhere in a long text.
fn places(new: &[String]) -> HashMap<&str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(index);
    }
    if new.len() >= 200 {
        let limit = new.len() / 100 + 1;
        places.retain(|_, found| found.len() <= limit);
    }
    places
}

fn find(
    old: &[String],
    new: &[String],
    places: &HashMap<&str, Vec<usize>>,
    (old_start, old_end): (usize, usize),
    (new_start, new_end): (usize, usize),
    runs: &mut Vec<Run>,
) {
    let mut best = Run { old: old_start, new: new_start, length: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (at, line) in old.iter().enumerate().take(old_end).skip(old_start) {
        let mut next = HashMap::new();
        for place in places.get(line.as_str()).into_iter().flatten() {
            if *place < new_start || *place >= new_end {
                continue;
            }
            let before = place.checked_sub(1).and_then(|before| lengths.get(&before));
            let length = before.copied().unwrap_or_default() + 1;
            next.insert(*place, length);
            if length > best.length {
                best = Run { old: at + 1 - length, new: place + 1 - length, length };
            }
        }
        lengths = next;
    }
    while best.old > old_start && best.new > new_start && old[best.old - 1] == new[best.new - 1] {
        best = Run { old: best.old - 1, new: best.new - 1, length: best.length + 1 };
    }
    while best.old + best.length < old_end
        && best.new + best.length < new_end
        && old[best.old + best.length] == new[best.new + best.length]
    {
        best.length += 1;
    }
    if best.length == 0 {
        return;
    }
    find(old, new, places, (old_start, best.old), (new_start, best.new), runs);
    runs.push(best);
    let (old_rest, new_rest) = (best.old + best.length, best.new + best.length);
    find(old, new, places, (old_rest, old_end), (new_rest, new_end), runs);
}

/// Groups of changes with what is around them.
fn hunks(mut pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    if pieces.iter().all(|piece| piece.same) {
        return Vec::new();
    }
    if let Some(first) = pieces.first_mut().filter(|first| first.same) {
        first.old.0 = first.old.0.max(first.old.1.saturating_sub(AROUND));
        first.new.0 = first.new.0.max(first.new.1.saturating_sub(AROUND));
    }
    if let Some(last) = pieces.last_mut().filter(|last| last.same) {
        last.old.1 = last.old.1.min(last.old.0 + AROUND);
        last.new.1 = last.new.1.min(last.new.0 + AROUND);
    }
    let mut hunks = Vec::new();
    let mut hunk = Vec::new();
    for piece in pieces {
        let (old, new) = (piece.old, piece.new);
        if piece.same && old.1 - old.0 > 2 * AROUND {
            hunk.push(Piece {
                same: true,
                old: (old.0, old.1.min(old.0 + AROUND)),
                new: (new.0, new.1.min(new.0 + AROUND)),
            });
            hunks.push(std::mem::take(&mut hunk));
            hunk.push(Piece {
                same: true,
                old: (old.1.saturating_sub(AROUND), old.1),
                new: (new.1.saturating_sub(AROUND), new.1),
            });
            continue;
        }
        hunk.push(piece);
    }
    if hunk.iter().any(|piece| !piece.same) {
        hunks.push(hunk);
    }
    hunks
}
