//! Reads what senders spell in more than one way: moments as texts or numbers, numbers as texts.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A value that is a moment for one sender and something else for another. What is neither a text nor
/// a number is passed over, and takes no memory however large it is.
enum Scalar {
    Text(String),
    Whole(i64),
    Fraction(f64),
    Other,
}

/// From here on a number counts milliseconds; as seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// A member that is a text, or a number as its text; whatever else it is, it is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Text(String);

/// A member that is a moment; whatever else it is, it is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Moment(pub(crate) Option<Timestamp>);

impl Text {
    /// The text, unless it is empty.
    pub(crate) fn get(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }

    /// The text, unless it is empty, to be kept.
    pub(crate) fn owned(&self) -> Option<String> {
        self.get().map(str::to_owned)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        Ok(Text(text(deserializer)?.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        moment(deserializer).map(Moment)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(Scalars)
    }
}

/// Reads a [`Scalar`].
struct Scalars;

impl<'de> Visitor<'de> for Scalars {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Fraction(number as f64), Scalar::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Fraction(number))
    }

    fn visit_bool<E: Error>(self, _flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Scalar, A::Error> {
        IgnoredAny.visit_seq(items).map(|_ignored| Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Scalar, A::Error> {
        IgnoredAny.visit_map(members).map(|_ignored| Scalar::Other)
    }
}

/// A moment, as RFC 3339 or as seconds or milliseconds since 1970; whatever else it is is none.
pub(crate) fn moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let moment = match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => match text.parse::<Timestamp>() {
            Ok(moment) => Some(moment),
            Err(_not_a_date) => match text.parse() {
                Ok(number) => since_1970(number),
                Err(_not_a_number) => with_spaces(&text),
            },
        },
        Scalar::Whole(number) => since_1970(number as f64),
        Scalar::Fraction(number) => since_1970(number),
        Scalar::Other => None,
    };
    Ok(moment.filter(|moment| *moment >= Timestamp::UNIX_EPOCH))
}

/// A text, or a number as its text; whatever else it is is none.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => Some(text),
        Scalar::Whole(number) => Some(number.to_string()),
        Scalar::Fraction(number) => Some(number.to_string()),
        Scalar::Other => None,
    })
}

/// An object; whatever else it is is none. Only what `T` has takes memory, since some are read before
/// anything proves their sender. A `T` must not hold one of its own kind: how deep it is is not
/// counted here.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let json = Box::<RawValue>::deserialize(deserializer)?;
    let json = json.get();
    Ok(json.starts_with('{').then(|| serde_json::from_str(json).ok()).flatten())
}

/// A list; whatever else it is is none.
pub(crate) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Value>>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => Some(items),
        _ => None,
    })
}

/// A text without control characters, cut after so many characters: fit for a list or a log.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().filter(|c| !c.is_control()).take(limit + 1).collect();
    if line.chars().count() > limit {
        line.pop();
        line.pop();
        line.push('…');
    }
    line
}

/// A moment as GitLab spells it: `2026-03-01 10:00:00 UTC`, or with `+0100` at its end.
fn with_spaces(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split(' ').collect();
    let [date, time, zone] = words[..] else { return None };
    let zone = if zone == "UTC" { "Z" } else { zone };
    format!("{date}T{time}{zone}").parse().ok()
}

fn since_1970(number: f64) -> Option<Timestamp> {
    let milliseconds = if number >= MILLISECONDS { number } else { number * 1000.0 };
    // A cast of a number that is too large gives the largest; that is no timestamp either.
    Timestamp::from_millisecond(milliseconds as i64).ok().filter(|_| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "moment")]
        at: Option<Timestamp>,
        #[serde(default, deserialize_with = "text")]
        name: Option<String>,
    }

    fn at(json: &str) -> Option<String> {
        let sample: Sample = serde_json::from_str(&format!(r#"{{"at": {json}}}"#)).unwrap();
        sample.at.map(|at| at.to_string())
    }

    #[test]
    fn moments_are_read_however_they_are_spelt() {
        let same = Some("2014-12-03T00:22:41Z".to_owned());
        for json in [
            r#""2014-12-03T00:22:41Z""#,
            r#""2014-12-02T19:22:41-05:00""#,
            r#""2014-12-03T00:22:41.000000000+00:00""#,
            "1417566161",
            "1417566161000",
            "1.417566161e+09",
            r#""1417566161""#,
            r#""2014-12-03 00:22:41 UTC""#,
            r#""2014-12-03 02:22:41 +0200""#,
            r#""2014-12-02T19:22:41-0500""#,
        ] {
            assert_eq!(at(json), same, "{json}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for json in ["null", "true", "{}", "[1]", r#""""#, r#""soon""#, "-5", "1e300", "-1e300"] {
            assert_eq!(at(json), None, "{json}");
        }
    }

    #[test]
    fn a_number_may_stand_for_a_text() {
        let name = |json: &str| {
            let sample: Sample = serde_json::from_str(&format!(r#"{{"name": {json}}}"#)).unwrap();
            sample.name
        };
        assert_eq!(name(r#""7""#).as_deref(), Some("7"));
        assert_eq!(name("7").as_deref(), Some("7"));
        assert_eq!(name("[7]"), None);
        assert_eq!(name("null"), None);
    }

    /// Values in memory cannot be this deep, so one that was kept would be an error.
    #[test]
    fn what_is_passed_over_is_not_kept() {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Outer {
            #[serde(deserialize_with = "object")]
            sample: Option<Inner>,
            text: Text,
            moment: Moment,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Inner {
            #[serde(rename = "_")]
            name: Text,
        }
        let deep = format!("{}0{}", "[{\"a\":".repeat(5000), "}]".repeat(5000));
        let json =
            format!(r#"{{"sample": {{"x": {deep}, "_": "a"}}, "text": {deep}, "moment": {deep}}}"#);
        let read: Outer = serde_json::from_str(&json).unwrap();
        assert_eq!(read.sample.unwrap().name.get(), Some("a"));
        assert_eq!((read.text.get(), read.moment.0), (None, None));
        let other: Outer = serde_json::from_str(r#"{"sample": [{"_": "a"}]}"#).unwrap();
        assert!(other.sample.is_none());
    }

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(line("a\r\nb\u{1b}[31mc\u{0}", 50), "ab[31mc");
        assert_eq!(line("ääää", 4), "ääää");
        assert_eq!(line("ääääää", 4), "äää…");
    }
}
