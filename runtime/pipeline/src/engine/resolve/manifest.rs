//! What a `package.json` says of where a package's modules are.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Asked, join};
use crate::engine::files::Files;

/// How deep conditions may be nested.
const DEEPEST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) main: Option<String>,
    pub(super) module: Option<String>,
    pub(super) exports: Option<Target>,
    imports: Option<Target>,
}

/// What `exports` or `imports` says: its conditions count in the order in which they are written.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    Path(String),
    Choice(Vec<(String, Target)>),
    /// The first that can be used.
    List(Vec<Target>),
    /// `null`: there is no such module.
    Nothing,
}

impl Manifest {
    /// That of a folder; an empty one where there is none, or where it cannot be read.
    pub(super) fn of(files: &Files, folder: &str) -> Manifest {
        #[derive(serde::Deserialize)]
        struct Wire {
            main: Option<serde_json::Value>,
            module: Option<serde_json::Value>,
            exports: Option<Target>,
            imports: Option<Target>,
        }
        let text = files.text(&join(folder, "package.json")).unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let Ok(wire) = serde_json::from_str::<Wire>(text) else { return Manifest::default() };
        let string = |value: Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        Manifest {
            main: string(wire.main),
            module: string(wire.module),
            exports: wire.exports.filter(|exports| *exports != Target::Nothing),
            imports: wire.imports,
        }
    }

    /// What the package itself means by a name that begins with `#`.
    pub(super) fn import(&self, name: &str, asked: Asked) -> Option<String> {
        self.imports.as_ref()?.matching(name, asked)
    }
}

impl Target {
    /// The path of what is asked for: `.` or `./x`.
    pub(super) fn find(&self, asks: &str, asked: Asked) -> Option<String> {
        let by_path =
            matches!(self, Target::Choice(all) if all.iter().any(|(key, _)| key.starts_with('.')));
        if by_path {
            return self.matching(asks, asked);
        }
        if asks == "." { self.chosen(asked, "") } else { None }
    }

    /// Looks among the keys of an object: by name, or by the longest pattern.
    fn matching(&self, asks: &str, asked: Asked) -> Option<String> {
        let Target::Choice(all) = self else { return None };
        if let Some((_, target)) = all.iter().find(|(key, _)| key == asks && !key.contains('*')) {
            return target.chosen(asked, "");
        }
        let mut best: Option<(usize, &str, &Target)> = None;
        for (key, target) in all {
            let star = match key.split_once('*') {
                Some((before, after)) => asks
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .filter(|star| !star.is_empty())
                    .map(|star| (before.len(), star)),
                // What older packages have for a folder.
                None if key.ends_with('/') => asks
                    .strip_prefix(key.as_str())
                    .filter(|rest| !rest.is_empty())
                    .map(|rest| (key.len(), rest)),
                None => None,
            };
            if let Some((length, star)) = star
                && best.is_none_or(|(longest, _, _)| length > longest)
            {
                best = Some((length, star, target));
            }
        }
        let (_, star, target) = best?;
        let folder = target.chosen(asked, star)?;
        Some(if folder.ends_with('/') { format!("{folder}{star}") } else { folder })
    }

    /// The path under the conditions that hold here. What can only be imported can be required too,
    /// where there is nothing better.
    fn chosen(&self, asked: Asked, star: &str) -> Option<String> {
        let conditions: &[&[&str]] = match asked {
            Asked::Require => &[&["require", "node", "default"], &["import", "node", "default"]],
            Asked::Import => &[&["import", "node", "default"], &["require", "node", "default"]],
        };
        conditions.iter().find_map(|conditions| self.under(conditions, star, 0))
    }

    fn under(&self, conditions: &[&str], star: &str, depth: usize) -> Option<String> {
        if depth > DEEPEST {
            return None;
        }
        match self {
            Target::Path(path) => Some(path.replace('*', star)),
            Target::Choice(all) => all
                .iter()
                .filter(|(key, _)| conditions.contains(&key.as_str()))
                .find_map(|(_, target)| target.under(conditions, star, depth + 1)),
            Target::List(all) => {
                all.iter().find_map(|target| target.under(conditions, star, depth + 1))
            }
            Target::Nothing => None,
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Target;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path, conditions, or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Target, E> {
        Ok(Target::Path(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Target, E> {
        Ok(Target::Nothing)
    }

    fn visit_bool<E>(self, _no: bool) -> Result<Target, E> {
        Ok(Target::Nothing)
    }

    fn visit_i64<E>(self, _no: i64) -> Result<Target, E> {
        Ok(Target::Nothing)
    }

    fn visit_u64<E>(self, _no: u64) -> Result<Target, E> {
        Ok(Target::Nothing)
    }

    fn visit_f64<E>(self, _no: f64) -> Result<Target, E> {
        Ok(Target::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Target, A::Error> {
        let mut all = Vec::new();
        while let Some(target) = list.next_element()? {
            all.push(target);
        }
        Ok(Target::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Target, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = map.next_entry()? {
            all.push(entry);
        }
        Ok(Target::Choice(all))
    }
}

#[test]
fn conditions_count_in_the_order_of_the_file() {
    let target: Target = serde_json::from_str(
        r#"{
            ".": {"types": "./t.d.ts", "node": {"import": "./n.mjs", "require": "./n.cjs"}, "default": "./d.js"},
            "./deep/*": "./lib/*.js",
            "./deep/private/*": null,
            "./data/": "./data/",
            "./first": {"default": "./default.js", "require": "./require.js"},
            "./list": [{"browser": "./b.js"}, "./l.js"]
        }"#,
    )
    .unwrap();
    for (asks, asked, expected) in [
        (".", Asked::Require, Some("./n.cjs")),
        (".", Asked::Import, Some("./n.mjs")),
        ("./deep/a/b", Asked::Require, Some("./lib/a/b.js")),
        ("./deep/private/x", Asked::Require, None),
        ("./data/x.json", Asked::Require, Some("./data/x.json")),
        ("./first", Asked::Require, Some("./default.js")),
        ("./list", Asked::Import, Some("./l.js")),
        ("./other", Asked::Import, None),
        ("./deep/", Asked::Import, None),
    ] {
        assert_eq!(target.find(asks, asked).as_deref(), expected, "{asks}");
    }
    let one: Target = serde_json::from_str(r#"{"import": "./only.mjs"}"#).unwrap();
    assert_eq!(one.find(".", Asked::Require).as_deref(), Some("./only.mjs"));
    assert_eq!(one.find("./x", Asked::Require), None);
}
