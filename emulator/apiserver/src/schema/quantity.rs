//! Quantities such as `500m` and `1Gi`: reading, comparing, and their canonical form.

use std::cmp::Ordering;

/// The message of the real server for a text that is no quantity.
pub(crate) const FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A quantity as a decimal: `digits * 10^-9`, rounded up as the real server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity {
    nanos: i128,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.nanos.partial_cmp(&other.nanos)
    }
}

const BINARY: &[(&str, u32)] =
    &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

impl Quantity {
    pub(crate) fn parse(text: &str) -> Option<Quantity> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let split = unsigned
            .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30
        {
            return None;
        }
        let (form, numerator, exponent) = unit(suffix)?;
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let power = 9 + exponent - i32::try_from(fraction.len()).ok()?;
        let scaled = digits.checked_mul(numerator)?;
        let nanos = if power >= 0 {
            scaled.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?
        } else {
            let divisor = 10_i128.checked_pow(power.unsigned_abs())?;
            scaled / divisor + i128::from(scaled % divisor != 0)
        };
        Some(Quantity { nanos: if negative { -nanos } else { nanos }, form })
    }

    /// Its value, as near as a float comes.
    #[expect(clippy::cast_precision_loss, reason = "what compares quantities can bear it")]
    pub(crate) fn approximate(self) -> f64 {
        self.nanos as f64 / 1e9
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// The form in which the real server writes it.
    pub(crate) fn canonical(&self) -> String {
        if self.nanos == 0 {
            return "0".to_owned();
        }
        const UNIT: i128 = 1_000_000_000;
        if self.form == Form::Binary && self.nanos % UNIT == 0 && self.nanos.abs() >= 1024 * UNIT {
            let whole = self.nanos / UNIT;
            for (suffix, bits) in BINARY.iter().rev() {
                if whole % (1_i128 << bits) == 0 {
                    return format!("{}{suffix}", whole >> bits);
                }
            }
            return whole.to_string();
        }
        for (suffix, power) in DECIMAL.iter().rev() {
            let divisor = 10_i128.pow((power + 9).unsigned_abs());
            if self.nanos % divisor == 0 {
                let number = self.nanos / divisor;
                return match self.form {
                    Form::Exponent if *power != 0 => format!("{number}e{power}"),
                    _ => format!("{number}{suffix}"),
                };
            }
        }
        self.nanos.to_string()
    }
}

fn unit(suffix: &str) -> Option<(Form, i128, i32)> {
    if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Form::Binary, 1_i128 << bits, 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Form::Decimal, 1, *power));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-18..=18).contains(&exponent).then_some((Form::Exponent, 1, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_written_in_its_canonical_form() {
        for (text, canonical) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1500", "1500"),
            ("1000", "1k"),
            ("64Mi", "64Mi"),
            ("1e3", "1e3"),
            ("0", "0"),
            ("-1", "-1"),
            ("0.1Gi", "107374182400m"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_quantity_is_refused() {
        for text in ["", "x", "1x", "--1", "1.2.3", "1e99", "99999999999999999999999999999999"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }
}
