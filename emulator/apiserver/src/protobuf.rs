//! Decodes the protobuf bodies that kubectl sends for built-in kinds. Answers are always JSON.
//!
//! A body is `k8s\0` and an envelope that names version and kind; the object follows inside.
//! The types are those of the schema, `protobuf/fields.txt` adds the number of each field; `+` says
//! that what has the number is a structure whose fields are the holder's in JSON.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use crate::object;
use crate::schema::{Kind, Struct, TYPES};

/// How deep structures may nest.
const DEPTH: usize = 32;

/// What a number stands for.
#[derive(Debug)]
enum Numbered {
    /// A field of the type.
    Field(&'static str),
    /// A structure of this type that is nested on the wire; in JSON its fields are the holder's.
    Inline(&'static str),
}

/// By type: by number: what it stands for.
static FIELDS: LazyLock<HashMap<&str, HashMap<u64, Numbered>>> = LazyLock::new(|| {
    include_str!("protobuf/fields.txt")
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let numbers = words
                .filter_map(|word| word.split_once('='))
                .filter_map(|(field, number)| {
                    let numbered = match field.strip_prefix('+') {
                        Some(inner) => Numbered::Inline(inner),
                        None => Numbered::Field(field),
                    };
                    Some((number.parse().ok()?, numbered))
                })
                .collect();
            Some((name, numbers))
        })
        .collect()
});

/// Decodes a body into the JSON that it stands for.
///
/// # Errors
/// What is wrong with the bytes.
pub(crate) fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope = body.strip_prefix(b"k8s\0").ok_or("the magic number is missing")?;
    let (mut api_version, mut kind, mut raw): (String, String, &[u8]) = Default::default();
    for field in fields(envelope)? {
        match (field.number, field.value) {
            (1, Wire::Bytes(meta)) => {
                for field in fields(meta)? {
                    match (field.number, field.value) {
                        (1, Wire::Bytes(text)) => api_version = string(text),
                        (2, Wire::Bytes(text)) => kind = string(text),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let mut value = structure(&schema(&api_version, &kind), raw, 0)?;
    let map = object::map_mut(&mut value);
    map.insert("apiVersion".into(), json!(api_version));
    map.insert("kind".into(), json!(kind));
    Ok(value)
}

/// The name of a kind's type: `batch/v1`, `Job` is `batch.v1.Job`.
fn schema(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next().unwrap_or_default();
    format!("{package}.{version}.{kind}")
}

fn structure(schema: &str, bytes: &[u8], depth: usize) -> Result<Value, String> {
    let Some(holder) = TYPES.find(schema).filter(|_| FIELDS.contains_key(schema)) else {
        return Err(format!("protobuf bodies of {schema} are not understood; send JSON"));
    };
    let mut map = Map::new();
    fill(&mut map, TYPES.get(holder), schema, bytes, depth)?;
    Ok(Value::Object(map))
}

/// Puts the fields of a structure on the wire, which is of type `schema`, into those of its holder.
fn fill(
    map: &mut Map<String, Value>,
    holder: &Struct,
    schema: &str,
    bytes: &[u8],
    depth: usize,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err("the object is nested too deeply".to_owned());
    }
    let Some(numbers) = FIELDS.get(schema) else { return Ok(()) };
    for field in fields(bytes)? {
        let name = match (numbers.get(&field.number), field.value) {
            (None, _) => continue,
            (Some(Numbered::Field(name)), _) => name,
            (Some(Numbered::Inline(inner)), Wire::Bytes(bytes)) => {
                fill(map, holder, inner, bytes, depth + 1)?;
                continue;
            }
            (Some(Numbered::Inline(inner)), Wire::Number(_)) => {
                return Err(format!("{inner} is not a structure on the wire"));
            }
        };
        let Some(declared) = holder.fields.get(*name) else { continue };
        match &declared.kind {
            Kind::List(item) => {
                let one = value(item, field.value, depth)?;
                let list = map.entry((*name).to_owned()).or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.push(one);
                }
            }
            Kind::Map(item) => {
                let (key, one) = entry(item, field.value, depth)?;
                object::child_mut(map, name).insert(key, one);
            }
            kind => {
                map.insert((*name).to_owned(), value(kind, field.value, depth)?);
            }
        }
    }
    Ok(())
}

fn value(kind: &Kind, wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (kind, wire) {
        (Kind::String, Wire::Bytes(bytes)) => json!(string(bytes)),
        (Kind::Bytes, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (Kind::Bool, Wire::Number(number)) => json!(number != 0),
        (Kind::Int32 | Kind::Int64, Wire::Number(number)) => {
            Value::Number(Number::from(number.cast_signed()))
        }
        (Kind::Struct(index), Wire::Bytes(bytes)) => {
            structure(&TYPES.get(*index).name, bytes, depth + 1)?
        }
        (Kind::Quantity, Wire::Bytes(bytes)) => json!(first_text(bytes)?),
        (Kind::Double, Wire::Number(number)) => json!(f64::from_bits(number)),
        (Kind::Time, Wire::Bytes(bytes)) => time(bytes, object::seconds)?,
        (Kind::MicroTime, Wire::Bytes(bytes)) => time(bytes, object::microseconds)?,
        (Kind::Any, Wire::Bytes(bytes)) => raw(bytes)?,
        // A list inside a map is a structure with one field.
        (Kind::List(item), Wire::Bytes(bytes)) => {
            let items = fields(bytes)?.into_iter().filter(|field| field.number == 1);
            items.map(|field| value(item, field.value, depth + 1)).collect::<Result<_, _>>()?
        }
        (Kind::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        (kind, _) => return Err(format!("a field of kind {kind:?} has another form on the wire")),
    })
}

fn entry(item: &Kind, wire: Wire<'_>, depth: usize) -> Result<(String, Value), String> {
    let Wire::Bytes(bytes) = wire else { return Err("a map entry is not a structure".into()) };
    let mut key = String::new();
    let mut found = match item {
        Kind::Quantity => json!("0"),
        _ => json!(""),
    };
    for field in fields(bytes)? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => key = string(bytes),
            (2, wire) => found = value(item, wire, depth)?,
            _ => {}
        }
    }
    Ok((key, found))
}

fn first_text(bytes: &[u8]) -> Result<String, String> {
    for field in fields(bytes)? {
        if let (1, Wire::Bytes(text)) = (field.number, field.value) {
            return Ok(string(text));
        }
    }
    Ok("0".to_owned())
}

/// JSON inside protobuf.
fn raw(bytes: &[u8]) -> Result<Value, String> {
    for field in fields(bytes)? {
        if let (1, Wire::Bytes(text)) = (field.number, field.value) {
            return serde_json::from_slice(text).map_err(|error| error.to_string());
        }
    }
    Ok(Value::Null)
}

fn time(bytes: &[u8], shown: fn(jiff::Timestamp) -> String) -> Result<Value, String> {
    let (mut seconds, mut nanoseconds) = (0, 0);
    for field in fields(bytes)? {
        match (field.number, field.value) {
            (1, Wire::Number(number)) => seconds = number.cast_signed(),
            (2, Wire::Number(number)) => nanoseconds = i32::try_from(number).unwrap_or_default(),
            _ => {}
        }
    }
    // The time of the year 1 is none.
    match jiff::Timestamp::new(seconds, nanoseconds) {
        Ok(time) if seconds > -62_000_000_000 && !bytes.is_empty() => Ok(json!(shown(time))),
        _ => Ok(Value::Null),
    }
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in fields(bytes)? {
        match (field.number, field.value) {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => text = string(bytes),
            _ => {}
        }
    }
    Ok(if is_text { json!(text) } else { json!(number) })
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A field on the wire.
struct WireField<'a> {
    number: u64,
    value: Wire<'a>,
}

#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut bytes: &[u8]) -> Result<Vec<WireField<'_>>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => Wire::Number(fixed(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| CUT)?;
                let (head, rest) = bytes.split_at_checked(length).ok_or(CUT)?;
                bytes = rest;
                Wire::Bytes(head)
            }
            5 => Wire::Number(fixed(&mut bytes, 4)?),
            other => return Err(format!("unknown wire type {other}")),
        };
        fields.push(WireField { number: tag >> 3, value });
    }
    Ok(fields)
}

const CUT: &str = "the body is cut off";

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(CUT)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number is too long".to_owned())
}

fn fixed(bytes: &mut &[u8], size: usize) -> Result<u64, String> {
    let (head, rest) = bytes.split_at_checked(size).ok_or(CUT)?;
    *bytes = rest;
    Ok(head.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = match number {
            0..16 => vec![number << 3 | 2],
            _ => vec![number << 3 | 0x82, number >> 4],
        };
        field.push(u8::try_from(bytes.len()).unwrap());
        field.extend(bytes);
        field
    }

    fn secret() -> Vec<u8> {
        let metadata = [field(1, b"s"), field(8, b"")].concat();
        let entry = [field(1, b"key"), field(2, b"value")].concat();
        let object = [field(1, &metadata), field(2, &entry), field(3, b"Opaque")].concat();
        let meta = [field(1, b"v1"), field(2, b"Secret")].concat();
        [b"k8s\0".to_vec(), field(1, &meta), field(2, &object)].concat()
    }

    #[test]
    fn a_secret_is_decoded() {
        let decoded = decode(&secret()).unwrap();
        assert_eq!(decoded["metadata"]["name"], "s");
        assert_eq!(decoded["data"]["key"], "dmFsdWU=");
        assert_eq!(decoded["type"], "Opaque");
    }

    #[test]
    fn a_body_that_is_cut_off_is_refused_and_never_panics() {
        let whole = secret();
        for length in 0..whole.len() {
            let cut = &whole[..length];
            if let Ok(value) = decode(cut) {
                assert_ne!(value["type"], "Opaque", "{length} bytes cannot hold everything");
            }
        }
    }

    #[test]
    fn every_type_that_is_known_has_its_numbers() {
        for resource in crate::resources::Catalogue::built_in().resources {
            let known = TYPES.find(&resource.schema).is_some_and(|index| {
                TYPES.get(index).fields.values().all(|field| field.kind != Kind::Deduced)
            });
            if known && resource.group != "apiextensions.k8s.io" {
                assert!(FIELDS.contains_key(resource.schema.as_str()), "{}", resource.schema);
            }
        }
    }

    #[test]
    fn what_is_nested_on_the_wire_lies_flat_in_json() {
        let probe = field(1, &field(2, &field(1, b"/healthz")));
        let decoded = structure("core.v1.Probe", &probe, 0).unwrap();
        assert_eq!(decoded, json!({"httpGet": {"path": "/healthz"}}));
        let token = field(1, &field(4, &field(3, b"token")));
        let source = field(2, &field(26, &token));
        let decoded = structure("core.v1.Volume", &source, 0).unwrap();
        let sources = json!([{"serviceAccountToken": {"path": "token"}}]);
        assert_eq!(decoded, json!({"projected": {"sources": sources}}));
    }

    #[test]
    fn lists_in_maps_are_read() {
        let value = [field(1, b"a"), field(1, b"b")].concat();
        let extra = field(5, &[field(1, b"key"), field(2, &value)].concat());
        let decoded = structure("authorization.v1.SubjectAccessReviewSpec", &extra, 0).unwrap();
        assert_eq!(decoded, json!({"extra": {"key": ["a", "b"]}}));
    }

    #[test]
    fn every_numbered_field_is_one_of_a_type() {
        for (name, numbers) in FIELDS.iter() {
            for numbered in numbers.values() {
                match (numbered, TYPES.find(name)) {
                    (Numbered::Field(field), Some(index)) => {
                        let known = TYPES.get(index).fields.contains_key(*field);
                        assert!(known, "{name} has no field {field}");
                    }
                    (Numbered::Inline(inner), _) => {
                        assert!(FIELDS.contains_key(inner), "{inner} has no numbers");
                    }
                    (Numbered::Field(_), None) => {}
                }
            }
        }
    }
}
