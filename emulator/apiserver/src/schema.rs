//! The types of the API: names, fields, and how lists and maps merge.
//!
//! `schema/types.txt` has a line per type, then a line per field: name, kind, and flags.
//! One table serves all that needs to know the types: decoding with the errors and warnings of the
//! real server, strategic merge, server-side apply, managed fields and OpenAPI.
//!
//! Flags of a field:
//! - `key=a`: a strategic merge patch merges the list by this key
//! - `keys=a,b`: server-side apply does so by these (where they differ from `key`; empty: atomic)
//! - `set`: a list without order or duplicates
//! - `atomic`: owned and replaced as a whole
//! - `req`: written although it is empty; `always`: a structure that is written although it is empty
//! - `ptr`: absent and zero are not the same, so zero is kept

pub(crate) mod normalize;
pub(crate) mod quantity;
pub(crate) mod scan;
mod time;

use std::collections::HashMap;
use std::sync::LazyLock;

/// The kind of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Int32,
    Int64,
    Bool,
    Double,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    /// Anything, as a whole.
    Any,
    /// Anything; what is a map in it has fields of its own.
    Deduced,
    /// A structure, by its place in the table.
    Struct(usize),
    List(Box<Kind>),
    Map(Box<Kind>),
}

/// A field of a structure.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    /// The key by which a strategic merge patch merges the list.
    pub(crate) merge_key: Option<String>,
    /// The keys by which server-side apply merges the list.
    pub(crate) list_keys: Vec<String>,
    pub(crate) set: bool,
    pub(crate) atomic: bool,
    pub(crate) required: bool,
    pub(crate) always: bool,
    pub(crate) pointer: bool,
}

/// A structure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Struct {
    /// The full name, for instance `core.v1.Pod`.
    pub(crate) name: String,
    pub(crate) atomic: bool,
    pub(crate) fields: HashMap<String, Field>,
    /// The names of the fields in the order of the table.
    pub(crate) order: Vec<String>,
    /// Whether it may have fields that are not declared (custom resources only).
    pub(crate) open: bool,
}

impl Struct {
    /// The name without package, as error messages have it.
    pub(crate) fn short(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Field {
    /// A field without flags.
    pub(crate) fn plain(kind: Kind) -> Self {
        Field {
            kind,
            merge_key: None,
            list_keys: Vec::new(),
            set: false,
            atomic: false,
            required: false,
            always: false,
            pointer: false,
        }
    }
}

/// All structures.
#[derive(Debug, Default)]
pub(crate) struct Types {
    pub(crate) structs: Vec<Struct>,
    names: HashMap<String, usize>,
}

impl Types {
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, index: usize) -> &Struct {
        &self.structs[index]
    }

    /// Adds a structure; gives its place.
    pub(crate) fn add(&mut self, structure: Struct) -> usize {
        self.names.insert(structure.name.clone(), self.structs.len());
        self.structs.push(structure);
        self.structs.len() - 1
    }

    /// Copies a structure of another table, with all that it is made of; gives its place.
    pub(crate) fn copy(&mut self, from: &Types, index: usize) -> usize {
        let original = from.get(index);
        if let Some(known) = self.find(&original.name) {
            return known;
        }
        // Its place is taken first: structures may hold themselves.
        let place = self.add(Struct { name: original.name.clone(), ..Struct::default() });
        let mut structure = original.clone();
        for field in structure.fields.values_mut() {
            field.kind = self.copy_kind(from, &field.kind);
        }
        self.structs[place] = structure;
        place
    }

    fn copy_kind(&mut self, from: &Types, kind: &Kind) -> Kind {
        match kind {
            Kind::Struct(index) => Kind::Struct(self.copy(from, *index)),
            Kind::List(item) => Kind::List(Box::new(self.copy_kind(from, item))),
            Kind::Map(item) => Kind::Map(Box::new(self.copy_kind(from, item))),
            other => other.clone(),
        }
    }
}

/// The built-in types.
pub(crate) static TYPES: LazyLock<Types> =
    LazyLock::new(|| parse(include_str!("schema/types.txt")));

fn parse(text: &'static str) -> Types {
    let mut types = Types::default();
    for line in text.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty()) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        types.add(Struct {
            name: name.to_owned(),
            atomic: words.any(|word| word == "atomic"),
            ..Struct::default()
        });
    }
    let mut current = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let Some(field) = line.strip_prefix(' ') else {
            current = types.names[line.split(' ').next().unwrap_or_default()];
            continue;
        };
        let mut words = field.split(' ');
        let name = words.next().unwrap_or_default();
        let kind = kind(&types.names, words.next().unwrap_or_default());
        let field = flags(kind, words);
        types.structs[current].fields.insert(name.to_owned(), field);
        types.structs[current].order.push(name.to_owned());
    }
    types
}

fn flags(kind: Kind, words: std::str::Split<'static, char>) -> Field {
    let mut field = Field::plain(kind);
    for word in words {
        match word {
            "set" => field.set = true,
            "atomic" => field.atomic = true,
            "req" => field.required = true,
            "always" => field.always = true,
            "ptr" => field.pointer = true,
            _ => {
                if let Some(key) = word.strip_prefix("key=") {
                    field.merge_key = Some(key.to_owned());
                    field.list_keys = vec![key.to_owned()];
                } else if let Some(keys) = word.strip_prefix("keys=") {
                    field.list_keys =
                        keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
                }
            }
        }
    }
    field
}

fn kind(names: &HashMap<String, usize>, text: &str) -> Kind {
    if let Some(item) = text.strip_prefix("[]") {
        return Kind::List(Box::new(kind(names, item)));
    }
    if let Some(item) = text.strip_prefix("map:") {
        return Kind::Map(Box::new(kind(names, item)));
    }
    match text {
        "string" => Kind::String,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "bool" => Kind::Bool,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "quantity" => Kind::Quantity,
        "intorstring" => Kind::IntOrString,
        "time" => Kind::Time,
        "microtime" => Kind::MicroTime,
        "deduced" => Kind::Deduced,
        name => names.get(name).map_or(Kind::Any, |index| Kind::Struct(*index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_names_a_known_kind() {
        for line in include_str!("schema/types.txt").lines().filter(|line| line.starts_with(' ')) {
            let kind_name = line.trim_start().split(' ').nth(1).unwrap();
            let item = kind_name.trim_start_matches("[]").trim_start_matches("map:");
            let item = item.trim_start_matches("[]");
            assert!(
                item == "any" || kind(&TYPES.names, item) != Kind::Any,
                "unknown kind in {line:?}"
            );
        }
    }

    #[test]
    fn every_stored_resource_has_a_type() {
        for resource in crate::resources::Catalogue::built_in().resources {
            assert!(TYPES.find(&resource.schema).is_some(), "no type {}", resource.schema);
        }
    }
}
