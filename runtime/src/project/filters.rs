//! Which events of its senders a project takes: by their names, branches, tags, changed files and
//! images.
//!
//! Brigade has no keys for this: they are `filters.events`, `filters.branches`, `filters.tags`,
//! `filters.paths` and `filters.images` of the project's Secret, lists with commas, and in a values file the mapping
//! `filters`. A pattern that is not understood makes the project one that cannot be loaded: what is
//! lost by a filter must be what somebody meant.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The keys of a project's Secret, and what they are in a values file.
pub(super) const NAMES: [(&str, &str); 5] = [
    ("filters.events", "events"),
    ("filters.branches", "branches"),
    ("filters.tags", "tags"),
    ("filters.paths", "paths"),
    ("filters.images", "images"),
];

/// How many patterns a list may have, and how long each may be, in bytes.
const MOST: usize = 200;
const LONGEST: usize = 500;

/// Which events a project takes. An empty list takes all.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// The names of events, as `BRIGADE_EVENTS` has them: `*`, `<event>` or `<event>:<action>`.
    pub events: Vec<String>,
    /// The branches that are pushed to, or that pull requests are to be merged into.
    pub branches: Patterns,
    /// The tags that are pushed.
    pub tags: Patterns,
    /// The files that are changed, of which one is enough.
    pub paths: Patterns,
    /// The images that registries tell of: `example.azurecr.io/team/*`, or with a tag after them.
    pub images: Patterns,
}

/// Patterns for names with slashes: `*` is anything in a part of them, `**` anything, `{a,b}`
/// either, and a pattern after `!` takes away. The last one that fits decides.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
}

/// A filter that is not understood.
#[derive(Debug, thiserror::Error)]
#[error("the filter {name} {problem}")]
pub struct FilterError {
    name: String,
    problem: String,
}

impl Filters {
    /// Reads the filters; `value` tells the list of a key, and `named` how that is called where it
    /// was found.
    pub(super) fn read(
        value: impl Fn(&str) -> String,
        named: impl Fn(&str) -> String,
    ) -> Result<Filters, FilterError> {
        let [events, branches, tags, paths, images] = NAMES.map(|(key, _)| key);
        let patterns = |key: &str| {
            Patterns::new(split(&value(key)))
                .map_err(|problem| FilterError { name: named(key), problem })
        };
        Ok(Filters {
            events: split(&value(events)),
            branches: patterns(branches)?,
            tags: patterns(tags)?,
            paths: patterns(paths)?,
            images: patterns(images)?,
        })
    }

    /// Writes the filters as keys of the project's Secret.
    pub(super) fn keys(&self) -> [(&'static str, String); 5] {
        let [events, branches, tags, paths, images] = NAMES.map(|(key, _)| key);
        [
            (events, self.events.join(",")),
            (branches, self.branches.text()),
            (tags, self.tags.text()),
            (paths, self.paths.text()),
            (images, self.images.text()),
        ]
    }
}

impl Patterns {
    /// Reads patterns; what is wrong with one is said with it.
    pub(super) fn new(texts: Vec<String>) -> Result<Patterns, String> {
        if texts.len() > MOST {
            return Err(format!("has {} patterns, and may have {MOST}", texts.len()));
        }
        let mut set = GlobSetBuilder::new();
        for text in &texts {
            if text.len() > LONGEST {
                return Err(format!("has a pattern of more than {LONGEST} bytes"));
            }
            let glob = text.strip_prefix('!').unwrap_or(text);
            let glob = GlobBuilder::new(glob)
                .literal_separator(true)
                .backslash_escape(true)
                .empty_alternates(true)
                .build();
            set.add(glob.map_err(|error| format!("has the pattern {text:?}: {}", error.kind()))?);
        }
        let set = set.build().map_err(|error| format!("cannot be read: {}", error.kind()))?;
        Ok(Patterns { texts, set })
    }

    /// Whether there are none, so that everything is taken.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a name is taken. Where the first pattern takes away, everything else is taken.
    pub fn take(&self, name: &str) -> bool {
        self.take_any(&[name])
    }

    /// Whether a thing is taken that has several names, which a pattern may fit.
    pub fn take_any(&self, names: &[&str]) -> bool {
        let adds = |text: &String| !text.starts_with('!');
        match names.iter().flat_map(|name| self.set.matches(name)).max() {
            Some(last) => adds(&self.texts[last]),
            None => !self.texts.first().is_some_and(adds),
        }
    }

    /// The list, as it is written.
    pub fn text(&self) -> String {
        self.texts.join(",")
    }
}

/// The items of a list with commas or lines; a comma in braces is a part of its pattern.
fn split(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut escaped = false;
    let items = list.split(|c: char| {
        let plain = !escaped;
        escaped = c == '\\' && plain;
        match c {
            '{' if plain => depth += 1,
            '}' if plain => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '\n' || (c == ',' && plain && depth == 0)
    });
    items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
fn patterns(list: &str) -> Patterns {
    Patterns::new(split(list)).unwrap()
}

#[test]
fn a_list_has_commas_and_lines_and_its_patterns_may_have_commas_too() {
    assert_eq!(split(" a, b,\n,c\n"), ["a", "b", "c"]);
    assert_eq!(split("release/{1,2}.x,main"), ["release/{1,2}.x", "main"]);
    assert_eq!(split(r"a\,b,\{c,d"), [r"a\,b", r"\{c", "d"]);
    assert_eq!(split(" , "), Vec::<String>::new());
}

#[test]
fn the_last_pattern_that_fits_decides() {
    for (list, taken, not) in [
        ("", &["main", "a/b", ""][..], &[][..]),
        ("main", &["main"], &["Main", "mainly", "a/main"]),
        ("release/*", &["release/1"], &["release", "release/1/x"]),
        ("release/**", &["release/1", "release/1/x"], &["release", "main"]),
        ("**", &["main", "a/b/c"], &[]),
        ("*,!wip", &["main"], &["wip", "a/b"]),
        ("!docs/**", &["src/lib.rs", "docs"], &["docs/a.md", "docs/a/b.md"]),
        ("!**/*.md,docs/keep.md", &["a.rs", "docs/keep.md"], &["a.md", "docs/b.md"]),
        ("src/**/*.{rs,toml}", &["src/a.rs", "src/a/b/c.toml"], &["src/a.md", "a.rs"]),
        ("v[0-9]*,!*-rc?", &["v1.0"], &["v1.0-rc1", "vx"]),
        (r"\!odd,\*", &["!odd", "*"], &["odd", "x"]),
    ] {
        let patterns = patterns(list);
        for name in taken {
            assert!(patterns.take(name), "{list:?} takes {name:?}");
        }
        for name in not {
            assert!(!patterns.take(name), "{list:?} does not take {name:?}");
        }
    }
}

#[test]
fn a_pattern_that_is_not_understood_is_named() {
    let read = |list: &str| {
        let error = Filters::read(
            |key| if key == "filters.paths" { list.to_owned() } else { String::new() },
            str::to_owned,
        );
        error.unwrap_err().to_string()
    };
    assert_eq!(
        read("src/**,[a"),
        "the filter filters.paths has the pattern \"[a\": unclosed character class; missing ']'"
    );
    assert!(read("{a,b").contains("unclosed alternate"), "{}", read("{a,b"));
    assert!(read(&"x".repeat(501)).ends_with("has a pattern of more than 500 bytes"));
    assert!(read(&"x,".repeat(201)).ends_with("has 201 patterns, and may have 200"));
    let deep = format!("{}a{}", "{".repeat(240), "}".repeat(240));
    let _read_or_refused = Patterns::new(vec![deep]);
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn no_list_and_no_name_make_it_panic(list in "[a-z*?!{},/\\\\\\[\\]\n-]{0,60}|.{0,60}", name in ".{0,20}") {
        let patterns = split(&list);
        if let Ok(patterns) = Patterns::new(patterns.clone()) {
            let _taken = patterns.take(&name);
            // What is written is what was read.
            assert_eq!(split(&patterns.text()), patterns.texts, "{list:?}");
        }
    }
}
