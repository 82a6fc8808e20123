//! Sets of completion indexes and their text: `1,3-5,7`.

use serde_json::Value;

/// The annotation and the label that say which index a pod works on.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// A set of indexes: rows from a first to a last one, in order, with gaps between them. A job may
/// have billions of indexes; a set is as large as its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(u64, u64)>);

impl Indexes {
    /// Reads a text; what is not below `completions`, or makes no sense, is left out.
    pub(super) fn parse(text: &str, completions: u64) -> Self {
        let rows = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
            let last = last.min(completions.checked_sub(1)?);
            (first <= last).then_some((first, last))
        });
        Indexes::of(rows.collect())
    }

    fn of(mut rows: Vec<(u64, u64)>) -> Self {
        rows.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(rows.len());
        for (first, last) in rows {
            match merged.last_mut() {
                Some(row) if first <= row.1.saturating_add(1) => row.1 = row.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Indexes(merged)
    }

    pub(super) fn has(&self, index: u64) -> bool {
        let at = self.0.partition_point(|(first, _)| *first <= index);
        at > 0 && self.0[at - 1].1 >= index
    }

    /// This set and some more.
    pub(super) fn with(&self, more: impl IntoIterator<Item = u64>) -> Self {
        let mut rows = self.0.clone();
        rows.extend(more.into_iter().map(|index| (index, index)));
        Indexes::of(rows)
    }

    /// This set and another.
    pub(super) fn union(&self, other: &Indexes) -> Self {
        Indexes::of([self.0.as_slice(), other.0.as_slice()].concat())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many indexes are in both.
    pub(super) fn shared_with(&self, other: &Indexes) -> u64 {
        self.count() + other.count() - self.union(other).count()
    }

    /// The first indexes below `completions` that are not in the set, so many at most.
    pub(super) fn missing(&self, count: usize, completions: u64) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut next = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            missing.extend((next..first.min(completions)).take(count - missing.len()));
            next = last.saturating_add(1);
        }
        missing
    }

    /// The set as text: three and more in a row are written as first and last.
    pub(super) fn text(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(first, last)| match last - first {
                0 => first.to_string(),
                1 => format!("{first},{last}"),
                _ => format!("{first}-{last}"),
            })
            .collect();
        parts.join(",")
    }
}

/// The index that a pod works on, if it has one below `completions`.
pub(super) fn index_of(pod: &Value, completions: u64) -> Option<u64> {
    let text = pod["metadata"]["annotations"][INDEX].as_str()?;
    text.parse().ok().filter(|index| *index < completions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn rows_of_three_are_written_short() {
        for (text, completions, expected) in [
            ("", 10, ""),
            ("0", 10, "0"),
            ("0,1", 10, "0,1"),
            ("0,1,2", 10, "0-2"),
            ("1,3-5,7", 10, "1,3-5,7"),
            ("0-9", 5, "0-4"),
            ("7", 5, ""),
            ("a,2,-,3-x", 5, "2"),
            ("4-2", 5, ""),
        ] {
            assert_eq!(Indexes::parse(text, completions).text(), expected, "{text}");
        }
    }

    #[test]
    fn gaps_are_found_from_the_start() {
        let set = Indexes::parse("1,3-5", 8);
        assert_eq!(set.missing(10, 8), [0, 2, 6, 7]);
        assert_eq!(set.missing(2, 8), [0, 2]);
        assert_eq!(Indexes::parse("0-2000000000", 2_000_000_001).count(), 2_000_000_001);
        assert_eq!(Indexes::default().missing(3, 2), [0, 1]);
        assert_eq!(Indexes::parse("0-9", 10).missing(3, 10), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_into_it(
            members in proptest::collection::btree_set(0_u64..100, 0..60),
        ) {
            let set = Indexes::default().with(members.iter().copied());
            prop_assert_eq!(&Indexes::parse(&set.text(), 100), &set);
            prop_assert_eq!(set.count(), members.len() as u64);
            let missing: Vec<u64> = (0..100).filter(|index| !members.contains(index)).collect();
            prop_assert!((0..100).all(|index| set.has(index) == members.contains(&index)));
            prop_assert_eq!(set.missing(100, 100), missing);
        }
    }
}
