//! Brings a decoded object into the form the real server stores: known fields only, nulls and
//! empty values gone, quantities and times in their canonical form; with its errors and warnings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::quantity::{self, Quantity};
use super::{Kind, Struct, Types, time};
use crate::object;

/// What was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The paths of fields that no type declares, in order.
    pub(crate) unknown: Vec<String>,
}

/// Normalizes an object of a type in place. `kind` and `apiVersion` at the top are left alone.
///
/// # Errors
/// The text of the decoding error, as the real server words it.
pub(crate) fn normalize(types: &Types, root: usize, value: &mut Value) -> Result<Findings, String> {
    let mut walk = Walk { types, findings: Findings::default(), warn: String::new() };
    let mut kind = None;
    let mut api_version = None;
    if let Value::Object(map) = value {
        kind = map.remove("kind");
        api_version = map.remove("apiVersion");
    }
    walk.structure(types.get(root), value, "", "")?;
    if let Value::Object(map) = value {
        map.extend(kind.map(|value| ("kind".to_owned(), value)));
        map.extend(api_version.map(|value| ("apiVersion".to_owned(), value)));
    }
    Ok(walk.findings)
}

/// Normalizes a part of an object, whose fields are named from there on.
///
/// # Errors
/// The text of the decoding error.
pub(crate) fn normalize_part(
    types: &Types,
    root: usize,
    value: &mut Value,
) -> Result<Findings, String> {
    let mut walk = Walk { types, findings: Findings::default(), warn: String::new() };
    walk.structure(types.get(root), value, "", "")?;
    Ok(walk.findings)
}

struct Walk<'a> {
    types: &'a Types,
    findings: Findings,
    /// The path of the object at hand, with indices.
    warn: String,
}

impl Walk<'_> {
    /// `owner` and `path` name the field in errors: `Container.spec.containers.image`.
    fn structure(
        &mut self,
        structure: &Struct,
        value: &mut Value,
        owner: &str,
        path: &str,
    ) -> Result<(), String> {
        let Value::Object(map) = value else {
            let of = format!("v1.{}", structure.short());
            return Err(mismatch(value, owner, path, &of));
        };
        let mut gone = Vec::new();
        for (name, child) in map.iter_mut() {
            let Some(field) = structure.fields.get(name.as_str()) else {
                if structure.open {
                    continue;
                }
                self.findings.unknown.push(joined(&self.warn, name));
                gone.push(name.clone());
                continue;
            };
            if child.is_null() {
                if !(field.required
                    && matches!(field.kind, Kind::List(_) | Kind::Time | Kind::MicroTime))
                {
                    gone.push(name.clone());
                }
                continue;
            }
            let length = self.warn.len();
            if length > 0 {
                self.warn.push('.');
            }
            self.warn.push_str(name);
            let below = joined(path, name);
            self.value(&field.kind, child, structure.short(), &below)?;
            self.warn.truncate(length);
            if !(field.pointer || field.required || field.always) && is_empty(&field.kind, child) {
                gone.push(name.clone());
            }
        }
        for name in gone {
            map.remove(&name);
        }
        for name in &structure.order {
            let field = &structure.fields[name];
            if (field.always || field.required) && !map.contains_key(name) {
                let zero = match &field.kind {
                    Kind::Struct(index) => self.zero(self.types.get(*index)),
                    Kind::String | Kind::Quantity => Value::String(String::new()),
                    Kind::Int32 | Kind::Int64 => Value::Number(Number::from(0)),
                    Kind::Bool => Value::Bool(false),
                    Kind::List(_) | Kind::Time | Kind::MicroTime => Value::Null,
                    _ => continue,
                };
                map.insert(name.clone(), zero);
            }
        }
        Ok(())
    }

    fn zero(&self, structure: &Struct) -> Value {
        zero(self.types, structure)
    }

    fn value(
        &mut self,
        kind: &Kind,
        value: &mut Value,
        owner: &str,
        path: &str,
    ) -> Result<(), String> {
        match kind {
            Kind::Any | Kind::Deduced => {}
            Kind::Struct(index) => {
                let types = self.types;
                return self.structure(types.get(*index), value, owner, path);
            }
            Kind::List(item) => {
                let Value::Array(items) = value else {
                    return Err(mismatch(value, owner, path, &go_type(self.types, kind)));
                };
                for (index, one) in items.iter_mut().enumerate() {
                    let length = self.warn.len();
                    self.warn.push_str(&format!("[{index}]"));
                    if one.is_null() {
                        *one = match **item {
                            Kind::Struct(index) => self.zero(self.types.get(index)),
                            Kind::String => Value::String(String::new()),
                            _ => continue,
                        };
                    }
                    self.value(item, one, owner, path)?;
                    self.warn.truncate(length);
                }
            }
            Kind::Map(item) => {
                let Value::Object(map) = value else {
                    return Err(mismatch(value, owner, path, &go_type(self.types, kind)));
                };
                for one in map.values_mut() {
                    if one.is_null() {
                        *one = match **item {
                            Kind::String | Kind::Bytes => Value::String(String::new()),
                            Kind::Quantity => Value::String("0".into()),
                            _ => continue,
                        };
                    }
                    self.value(item, one, owner, path)?;
                }
            }
            Kind::String => {
                if !value.is_string() {
                    return Err(mismatch(value, owner, path, "string"));
                }
            }
            Kind::Bool => {
                if !value.is_boolean() {
                    return Err(mismatch(value, owner, path, "bool"));
                }
            }
            Kind::Int32 => {
                integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX), owner, path, "int32")?
            }
            Kind::Int64 => integer(value, i64::MIN..=i64::MAX, owner, path, "int64")?,
            Kind::Double => {
                if !value.is_number() {
                    return Err(mismatch(value, owner, path, "float64"));
                }
            }
            Kind::Bytes => {
                let Value::String(text) = value else {
                    return Err(mismatch(value, owner, path, "[]uint8"));
                };
                text.retain(|letter| letter != '\n' && letter != '\r');
                if STANDARD.decode(text.as_bytes()).is_err() {
                    let at = illegal_byte(text);
                    return Err(format!("illegal base64 data at input byte {at}"));
                }
            }
            Kind::Quantity => {
                let text = match &*value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err(quantity::FORMAT.to_owned()),
                };
                let parsed = Quantity::parse(text.trim()).ok_or(quantity::FORMAT)?;
                *value = Value::String(parsed.canonical());
            }
            Kind::IntOrString => match value {
                Value::String(_) => {}
                Value::Number(number) if number.is_i64() => {}
                _ => return Err(mismatch(value, owner, path, "int32")),
            },
            Kind::Time | Kind::MicroTime => {
                let Value::String(text) = value else {
                    return Err(mismatch(value, owner, path, "string"));
                };
                let time = time::parse(text, matches!(kind, Kind::MicroTime))?;
                *text = match kind {
                    Kind::Time => object::seconds(time),
                    _ => object::microseconds(time),
                };
            }
        }
        Ok(())
    }
}

/// The object a type has before anything is set.
pub(crate) fn zero(types: &Types, structure: &Struct) -> Value {
    let mut map = Map::new();
    for name in &structure.order {
        let field = &structure.fields[name];
        if !(field.always || field.required) {
            continue;
        }
        let zero = match &field.kind {
            Kind::Struct(index) => zero(types, types.get(*index)),
            Kind::String => Value::String(String::new()),
            Kind::Int32 | Kind::Int64 => Value::Number(Number::from(0)),
            Kind::Bool => Value::Bool(false),
            Kind::List(_) | Kind::Time | Kind::MicroTime => Value::Null,
            _ => continue,
        };
        map.insert(name.clone(), zero);
    }
    Value::Object(map)
}

fn is_empty(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::String | Kind::Bytes, Value::String(text)) => text.is_empty(),
        (Kind::Bool, Value::Bool(flag)) => !flag,
        (Kind::Int32 | Kind::Int64, Value::Number(number)) => number.as_i64() == Some(0),
        (Kind::List(_), Value::Array(items)) => items.is_empty(),
        (Kind::Map(_), Value::Object(map)) => map.is_empty(),
        _ => false,
    }
}

fn integer(
    value: &mut Value,
    range: std::ops::RangeInclusive<i64>,
    owner: &str,
    path: &str,
    of: &str,
) -> Result<(), String> {
    let Value::Number(number) = &*value else { return Err(mismatch(value, owner, path, of)) };
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
    });
    match whole {
        Some(whole) if range.contains(&whole) => {
            *value = Value::Number(Number::from(whole));
            Ok(())
        }
        _ => Err(format!(
            "json: cannot unmarshal number {number} into Go struct field {owner}.{path} of type {of}"
        )),
    }
}

fn mismatch(value: &Value, owner: &str, path: &str, of: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if owner.is_empty() {
        return format!("json: cannot unmarshal {found} into Go value of type {of}");
    }
    format!("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {of}")
}

/// The name a type has in the real server's messages.
fn go_type(types: &Types, kind: &Kind) -> String {
    match kind {
        Kind::String => "string".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Bool => "bool".into(),
        Kind::Double => "float64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::Quantity => "resource.Quantity".into(),
        Kind::IntOrString => "intstr.IntOrString".into(),
        Kind::Time => "v1.Time".into(),
        Kind::MicroTime => "v1.MicroTime".into(),
        Kind::Any | Kind::Deduced => "interface {}".into(),
        Kind::Struct(index) => format!("v1.{}", types.get(*index).short()),
        Kind::List(item) => format!("[]{}", go_type(types, item)),
        Kind::Map(item) => format!("map[string]{}", go_type(types, item)),
    }
}

fn illegal_byte(text: &str) -> usize {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'/';
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| !valid(byte)) {
        Some(at) if bytes[at] != b'=' => at,
        _ => bytes.len() / 4 * 4,
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
