//! From JSON to the values that rules see, by the schema.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cel::objects::{Key, Map, OptionalValue};
use cel::{Context, ExecutionError, Value as CelValue};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::custom::schema::Schema;
use crate::custom::validate::formats;
use crate::schema::quantity::Quantity;

/// A value as a rule sees it; fields that the schema does not declare are not there.
pub(crate) fn value(schema: &Schema, value: &Value, root: bool) -> CelValue {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter_map(|(name, one)| {
                let below = schema.properties.get(name).or(schema.additional.as_deref());
                let converted = match below {
                    Some(below) => self::value(below, one, below.embedded),
                    None if root && matches!(name.as_str(), "apiVersion" | "kind") => plain(one),
                    None if root && name == "metadata" => metadata(one),
                    None => return None,
                };
                // Names of properties are written so that they are identifiers; keys are not.
                let name = match schema.properties.contains_key(name) {
                    true => escaped(name),
                    false => name.clone(),
                };
                Some((Key::from(name), converted))
            });
            CelValue::Map(Map { map: Arc::new(fields.collect::<HashMap<Key, CelValue>>()) })
        }
        Value::Array(items) => {
            let free = Schema::default();
            let below = schema.items.as_deref().unwrap_or(&free);
            let items = items.iter().map(|item| self::value(below, item, below.embedded));
            CelValue::List(Arc::new(items.collect()))
        }
        Value::Number(number) if schema.kind == "number" => {
            CelValue::Float(number.as_f64().unwrap_or_default())
        }
        Value::String(text) => match schema.format.replace('-', "").as_str() {
            "datetime" | "date" => time(text).map_or_else(|| plain(value), CelValue::Int),
            "duration" => duration(text).map_or_else(|| plain(value), CelValue::Int),
            _ => plain(value),
        },
        other => plain(other),
    }
}

/// A time as nanoseconds: times and durations are numbers here, so they compare and add.
fn time(text: &str) -> Option<i64> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    i64::try_from(time.as_nanosecond()).ok()
}

/// A duration as Go writes it, in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|one: char| one.is_ascii_digit()).unwrap_or(rest.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        total += number * size;
        rest = &rest[end..];
    }
    let total = sign * total;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (total.abs() < 9.2e18 && !text.is_empty()).then_some(total as i64)
}

/// Of the metadata rules see the name, and nothing else.
fn metadata(value: &Value) -> CelValue {
    let seen = ["name", "generateName"].into_iter().filter_map(|key| {
        let one = value.get(key)?;
        Some((Key::from(key), plain(one)))
    });
    CelValue::Map(Map { map: Arc::new(seen.collect()) })
}

fn plain(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => CelValue::Int(whole),
            None => CelValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(map) => {
            let fields = map.iter().map(|(name, one)| (Key::from(name.as_str()), plain(one)));
            CelValue::Map(Map { map: Arc::new(fields.collect()) })
        }
    }
}

/// The old value of a rule that also runs where there is none.
pub(crate) fn optional(value: Option<CelValue>) -> CelValue {
    CelValue::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// A property's name as an identifier.
fn escaped(name: &str) -> String {
    const RESERVED: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['-', '.', '/']) && !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// The functions of Kubernetes beside those of the language.
pub(crate) fn add_functions(context: &mut Context) {
    use cel::extractors::This;
    let added = [
        context.add_function("isSorted", |This(list): This<Arc<Vec<CelValue>>>| {
            list.windows(2)
                .all(|pair| pair[0].partial_cmp(&pair[1]).is_some_and(|order| order.is_le()))
        }),
        context.add_function("sum", |This(list): This<Arc<Vec<CelValue>>>| sum(&list)),
        context.add_function("find", |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let found = crate::custom::schema::compile(&pattern).ok();
            let found = found.and_then(|pattern| Some(pattern.find(&text)?.as_str().to_owned()));
            found.unwrap_or_default()
        }),
        context.add_function("findAll", |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let found: Vec<CelValue> = crate::custom::schema::compile(&pattern)
                .map(|pattern| pattern.find_iter(&text).map(|one| one.as_str().into()).collect())
                .unwrap_or_default();
            CelValue::List(Arc::new(found))
        }),
        context.add_function("isQuantity", |text: Arc<String>| Quantity::parse(&text).is_some()),
        context.add_function("quantity", |text: Arc<String>| {
            let parsed = Quantity::parse(&text).map(Quantity::approximate);
            parsed.ok_or_else(|| ExecutionError::function_error("quantity", "not a quantity"))
        }),
        context.add_function("isGreaterThan", |This(one): This<f64>, other: f64| one > other),
        context.add_function("isLessThan", |This(one): This<f64>, other: f64| one < other),
        context.add_function("compareTo", |This(one): This<f64>, other: f64| {
            one.partial_cmp(&other).map_or(0, |order| order as i64)
        }),
        context.add_function("timestamp", |value: CelValue| {
            let found = moment(&value, time);
            found.ok_or_else(|| ExecutionError::function_error("timestamp", "not a time"))
        }),
        context.add_function("duration", |value: CelValue| {
            let found = moment(&value, duration);
            found.ok_or_else(|| ExecutionError::function_error("duration", "not a duration"))
        }),
        context.add_function("isURL", |text: Arc<String>| {
            text.starts_with('/')
                || text.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some())
        }),
        context.add_function("isIP", |text: Arc<String>| text.parse::<IpAddr>().is_ok()),
        context.add_function("isCIDR", |text: Arc<String>| formats::fits("cidr", &text)),
    ];
    for result in added {
        if let Err(error) = result {
            tracing::debug!(%error, "a function for validation rules is the language's own");
        }
    }
}

/// A time or duration that is a number already, or a text that is one.
fn moment(value: &CelValue, read: impl Fn(&str) -> Option<i64>) -> Option<i64> {
    match value {
        CelValue::Int(number) => Some(*number),
        CelValue::String(text) => read(text),
        _ => None,
    }
}

fn sum(list: &[CelValue]) -> CelValue {
    let mut whole = 0_i64;
    let mut real = 0.0_f64;
    let mut is_real = false;
    for one in list {
        match one {
            CelValue::Int(number) => whole = whole.saturating_add(*number),
            CelValue::Float(number) => {
                real += number;
                is_real = true;
            }
            _ => {}
        }
    }
    if is_real { CelValue::Float(real) } else { CelValue::Int(whole) }
}
