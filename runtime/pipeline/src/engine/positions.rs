//! Where in a source a place of what was made from it comes from.

/// Pairs of places, lines and columns from 0, columns in UTF-16 units: in what was made, and in
/// what it was made from; sorted.
#[derive(Debug, Default)]
pub(super) struct Positions(Vec<(Place, Place)>);

/// A line and a column, from 0.
pub(super) type Place = (u32, u32);

impl Positions {
    #[cfg(any(feature = "typescript", test))]
    pub(super) fn new(mut pairs: Vec<(Place, Place)>) -> Positions {
        pairs.sort_unstable();
        pairs.dedup_by_key(|(made, _)| *made);
        Positions(pairs)
    }

    /// The place of the source; lines and columns from 1, as errors show them.
    pub(super) fn source(&self, line: u32, column: u32) -> (u32, u32) {
        let made = (line.saturating_sub(1), column.saturating_sub(1));
        let next = self.0.partition_point(|(place, _)| *place <= made);
        // A place before the first of its line belongs to that.
        let before = next.checked_sub(1).map(|at| self.0[at]).filter(|((at, _), _)| *at == made.0);
        let found = before.or_else(|| self.0.get(next).copied());
        match found.filter(|((at, _), _)| *at == made.0) {
            Some((_, (line, column))) => (line + 1, column + 1),
            None => (line, column),
        }
    }
}

#[test]
fn a_place_is_that_of_what_begins_before_it() {
    let positions = Positions::new(vec![((0, 4), (2, 0)), ((0, 9), (2, 7)), ((3, 0), (9, 1))]);
    for (made, source) in [
        ((1, 5), (3, 1)),
        ((1, 9), (3, 1)),
        ((1, 10), (3, 8)),
        ((1, 99), (3, 8)),
        ((1, 1), (3, 1)),
        ((2, 1), (2, 1)),
        ((4, 1), (10, 2)),
        ((9, 9), (9, 9)),
    ] {
        assert_eq!(positions.source(made.0, made.1), source, "{made:?}");
    }
}
