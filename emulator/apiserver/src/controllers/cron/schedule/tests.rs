//! Schedules: what is understood, what is refused and how, and when the next time is.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::Schedule;

fn at(text: &str) -> Timestamp {
    text.parse().expect("the time is valid")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("the zone is known")
}

#[test]
fn the_next_time_is_found() {
    for (schedule, zone_name, after, expected) in [
        ("* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "UTC", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "UTC", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z"),
        ("5/20 * * * *", "UTC", "2026-01-01T00:26:00Z", "2026-01-01T00:45:00Z"),
        ("0 0 1 1 *", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("30 4 1,15 * 5", "UTC", "2026-01-01T05:00:00Z", "2026-01-02T04:30:00Z"),
        ("0 0 29 feb *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 9-17/4 * * MON-fri", "UTC", "2026-01-02T17:30:00Z", "2026-01-05T09:00:00Z"),
        ("@hourly", "UTC", "2026-01-01T00:10:00Z", "2026-01-01T01:00:00Z"),
        ("@weekly", "UTC", "2026-01-01T00:10:00Z", "2026-01-04T00:00:00Z"),
        ("@every 90m", "UTC", "2026-01-01T00:10:00.7Z", "2026-01-01T01:40:00Z"),
        ("0 9 * * *", "Asia/Tokyo", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"),
        // The clock jumps from 2 to 3, so that half past 2 is not there.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
        // The clock goes back from 3 to 2: the hour comes twice.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
    ] {
        let schedule_read = Schedule::parse(schedule).expect("the schedule is valid");
        let next = schedule_read.next(at(after), &zone(zone_name));
        assert_eq!(next, Some(at(expected)), "{schedule} after {after} in {zone_name}");
    }
    let never = Schedule::parse("0 0 30 2 *").unwrap();
    assert_eq!(never.next(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), None);
}

#[test]
fn what_is_no_schedule_is_refused_in_the_words_of_the_real_server() {
    for (schedule, expected) in [
        ("every day", "expected exactly 5 fields, found 2: [every day]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* 5-3 * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("@often", "unrecognized descriptor: @often"),
        (
            "TZ=Mars/Olympus 0 0 * * *",
            "provided bad location Mars/Olympus: unknown time zone Mars/Olympus",
        ),
    ] {
        assert_eq!(Schedule::parse(schedule), Err(expected.to_owned()), "{schedule}");
    }
    assert!(Schedule::parse("@every 99999999999999999999h").is_err());
    assert!(Schedule::parse("TZ=UTC 0 0 * * *").is_ok());
}

/// A field as text, and what it allows; a star allows everything up to the end of the range.
fn field(least: i8, most: i8, end: i8) -> impl Strategy<Value = (String, Vec<i8>)> {
    prop_oneof![
        Just(("*".to_owned(), (least..=end).collect::<Vec<i8>>())),
        (least..=most).prop_map(|one| (one.to_string(), vec![one])),
        (least..=most, least..=most).prop_map(|(a, b)| {
            let (first, last) = (a.min(b), a.max(b));
            (format!("{first}-{last}"), (first..=last).collect())
        }),
        (least..=most, 1..20_i8).prop_map(move |(first, step)| {
            let all = (first..=most).step_by(step as usize).collect();
            (format!("{first}-{most}/{step}"), all)
        }),
    ]
}

proptest! {
    #[test]
    fn the_next_time_matches_the_schedule_and_none_before_it_does(
        (minute, minutes) in field(0, 59, 59),
        (hour, hours) in field(0, 23, 23),
        (day, days) in field(1, 28, 31),
        (month, months) in field(1, 12, 12),
        start in 1_600_000_000_i64..2_000_000_000,
    ) {
        let schedule = Schedule::parse(&format!("{minute} {hour} {day} {month} *")).unwrap();
        let start = Timestamp::from_second(start).unwrap();
        let next = schedule.next(start, &TimeZone::UTC).expect("every year has such a day");
        prop_assert!(next > start);
        let fits = |time: Timestamp| {
            let time = time.to_zoned(TimeZone::UTC);
            minutes.contains(&time.minute())
                && hours.contains(&time.hour())
                && days.contains(&time.day())
                && months.contains(&time.month())
        };
        prop_assert!(fits(next));
        prop_assert_eq!(next.as_second() % 60, 0);
        let first = (start.as_second() / 60 + 1) * 60;
        let until = next.as_second().min(first + 60 * 3000);
        let mut between = (first..until).step_by(60);
        prop_assert!(!between.any(|second| fits(Timestamp::from_second(second).unwrap())));
    }
}
