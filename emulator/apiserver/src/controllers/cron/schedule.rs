//! Schedules of cron jobs: five fields, or a word that stands for them.

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// When something is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    Fields(Fields),
    /// Again and again after a pause.
    Every(SignedDuration),
}

/// The allowed minutes, hours, days and months, a bit for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether any day of the month, and any day of the week, will do.
    any_day: bool,
    any_weekday: bool,
}

/// The range of a field, and the names of its values.
struct Range {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTES: Range = Range { least: 0, most: 59, names: &[] };
const HOURS: Range = Range { least: 0, most: 23, names: &[] };
const DAYS: Range = Range { least: 1, most: 31, names: &[] };
const MONTHS: Range = Range {
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Range =
    Range { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// # Errors
    /// The message of the real server.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            let (zone, fields) = text.split_once(' ').unwrap_or((text, ""));
            let zone = zone.split_once('=').map(|(_, zone)| zone).unwrap_or_default();
            if TimeZone::get(zone).is_err() {
                return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            rest = fields.trim();
        }
        if rest.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let rest = match rest {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if rest.starts_with('@') => return every(rest),
            _ => rest,
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "expected exactly 5 fields, found {}: [{}]",
                fields.len(),
                fields.join(" ")
            ));
        };
        let (minutes, _) = field(minutes, &MINUTES)?;
        let (hours, _) = field(hours, &HOURS)?;
        let (days, any_day) = field(days, &DAYS)?;
        let (months, _) = field(months, &MONTHS)?;
        let (weekdays, any_weekday) = field(weekdays, &WEEKDAYS)?;
        Ok(Schedule::Fields(Fields {
            minutes,
            hours,
            days,
            months,
            weekdays,
            any_day,
            any_weekday,
        }))
    }

    /// The next time after another one; none within five years means never.
    pub(crate) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(pause) => {
                let after = Timestamp::from_second(after.as_second()).ok()?;
                after.checked_add(*pause).ok()
            }
            Schedule::Fields(fields) => fields.next(&after.to_zoned(zone.clone())),
        }
    }
}

impl Fields {
    fn next(&self, after: &Zoned) -> Option<Timestamp> {
        let last_year = after.year().checked_add(5)?;
        let start = after.timestamp();
        let mut date = after.date();
        while date.year() <= last_year {
            if !has(self.months, date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.fits(date)
                && let Some(found) = self.next_of_day(date, after.time_zone(), start)
            {
                return Some(found);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    /// The first time of a day after another time. What a change of the clock leaves out is left
    /// out here, too, and what it brings twice happens twice.
    fn next_of_day(&self, date: Date, zone: &TimeZone, start: Timestamp) -> Option<Timestamp> {
        let moments = self.times().flat_map(|time| {
            let ambiguous = zone.to_ambiguous_zoned(date.to_datetime(time));
            let moments = if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
                [None, None]
            } else {
                [ambiguous.clone().earlier().ok(), ambiguous.later().ok()]
            };
            moments.into_iter().flatten().map(|zoned| zoned.timestamp())
        });
        let mut moments = moments.filter(|moment| *moment > start);
        let noon = |date: Date| {
            Some(zone.to_offset(date.at(12, 0, 0, 0).to_zoned(zone.clone()).ok()?.timestamp()))
        };
        let even = date.yesterday().ok().and_then(noon) == date.tomorrow().ok().and_then(noon);
        if even { moments.next() } else { moments.min() }
    }

    /// The times of a day.
    fn times(&self) -> impl Iterator<Item = Time> {
        (0..24_i8).filter(|hour| has(self.hours, *hour)).flat_map(move |hour| {
            (0..60_i8)
                .filter(|minute| has(self.minutes, *minute))
                .filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        })
    }

    /// Whether a day fits. Where both fields name days, one of them is enough.
    fn fits(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }
}

fn has(bits: u64, number: i8) -> bool {
    bits >> number & 1 == 1
}

/// The values of a field, and whether it is a star.
fn field(text: &str, range: &Range) -> Result<(u64, bool), String> {
    let (mut bits, mut star) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (more, any) = part_of(part, range)?;
        bits |= more;
        star |= any;
    }
    Ok((bits, star))
}

fn part_of(part: &str, range: &Range) -> Result<(u64, bool), String> {
    let steps: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = steps[0].split('-').collect();
    let single = ends.len() == 1;
    let mut star = false;
    let (first, mut last) = match ends.as_slice() {
        ["*" | "?", ..] => {
            star = true;
            (range.least, range.most)
        }
        [one] => {
            let value = number_or_name(one, range)?;
            (value, value)
        }
        [first, last] => (number_or_name(first, range)?, number_or_name(last, range)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = match steps.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            // `5/10` is `5-59/10`.
            if single && !star {
                last = range.most;
            }
            if step > 1 {
                star = false;
            }
            step
        }
        _ => return Err(format!("too many slashes: {part}")),
    };
    if first < range.least {
        return Err(format!(
            "beginning of range ({first}) below minimum ({}): {part}",
            range.least
        ));
    }
    if last > range.most {
        return Err(format!("end of range ({last}) above maximum ({}): {part}", range.most));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    let bits = (first..=last).step_by(step as usize).fold(0, |bits, value| bits | 1 << value);
    Ok((bits, star))
}

fn number_or_name(text: &str, range: &Range) -> Result<u32, String> {
    let name = text.to_lowercase();
    match range.names.iter().position(|one| *one == name) {
        Some(at) => Ok(range.least + at as u32),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let value: i64 = text.parse().map_err(|_| {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")
    })?;
    if value < 0 {
        return Err(format!("negative number ({value}) not allowed: {text}"));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

/// `@every 1h30m`: hours, minutes and seconds, at least one second.
fn every(text: &str) -> Result<Schedule, String> {
    let Some(pause) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    let invalid = || format!("failed to parse duration {text}: time: invalid duration {pause:?}");
    let mut total = SignedDuration::ZERO;
    let mut rest = pause;
    while !rest.is_empty() {
        let at = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(invalid)?;
        let amount: i64 = rest[..at].parse().map_err(|_| invalid())?;
        let unit = rest[at..]
            .find(|letter: char| letter.is_ascii_digit())
            .map_or(&rest[at..], |end| &rest[at..at + end]);
        let milliseconds = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(invalid()),
        };
        let more = amount.checked_mul(milliseconds).map(SignedDuration::from_millis);
        total = more.and_then(|more| total.checked_add(more)).ok_or_else(invalid)?;
        rest = &rest[at + unit.len()..];
    }
    if pause.is_empty() {
        return Err(invalid());
    }
    Ok(Schedule::Every(SignedDuration::from_secs(total.as_secs().max(1))))
}

#[cfg(test)]
mod tests;
