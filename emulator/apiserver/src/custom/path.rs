//! Where a value lies inside an object: a chain of steps that is written out only for an error.

use std::fmt::{Display, Formatter, Result};

/// A place in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
    /// A key of a map, in brackets.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl Display for Path<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => write!(formatter, "{name}"),
            Path::Field(parent, name) => write!(formatter, "{parent}.{name}"),
            Path::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(formatter, "{parent}[{key}]"),
        }
    }
}

/// The value at a simple JSON path such as `.spec.size`, with quoted parts and indices, if there is one.
pub(crate) fn find<'a>(value: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    let mut found = value;
    for step in steps(path) {
        found = match found {
            serde_json::Value::Object(map) => map.get(&step)?,
            serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(found)
}

/// The steps of a simple JSON path: names after dots, names in quotes or indices in brackets.
pub(crate) fn steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut step = String::new();
    let mut letters = path.trim_start_matches('{').trim_end_matches('}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => step.extend(letters.next()),
            '.' => take(&mut steps, &mut step),
            '[' => {
                take(&mut steps, &mut step);
                let quote = letters.next_if(|letter| matches!(letter, '\'' | '"'));
                let end = quote.unwrap_or(']');
                while let Some(letter) = letters.next_if(|letter| *letter != end) {
                    if letter == '\\' {
                        step.extend(letters.next());
                    } else {
                        step.push(letter);
                    }
                }
                letters.next();
                if quote.is_some() {
                    letters.next_if(|letter| *letter == ']');
                }
                take(&mut steps, &mut step);
            }
            letter => step.push(letter),
        }
    }
    take(&mut steps, &mut step);
    steps
}

fn take(steps: &mut Vec<String>, step: &mut String) {
    if !step.is_empty() {
        steps.push(std::mem::take(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_names_quoted_names_and_indices() {
        assert_eq!(steps(".spec.size"), ["spec", "size"]);
        assert_eq!(
            steps(".metadata.labels.app\\.kubernetes\\.io/name"),
            ["metadata", "labels", "app.kubernetes.io/name"]
        );
        assert_eq!(steps(".a['b.c'][0].d"), ["a", "b.c", "0", "d"]);
        assert!(steps(".").is_empty());
    }
}
