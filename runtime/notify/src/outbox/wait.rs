//! How long it is until the next attempt.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;

use super::Answer;

/// The wait after the first attempt; it doubles with each that follows.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait that nobody asked for.
const LONGEST: Duration = Duration::from_secs(30);

/// The least wait after the first attempt, however little is asked for; it doubles too.
const LEAST: Duration = Duration::from_millis(10);

/// The longest of the least waits.
const MOST_OF_LEAST: Duration = Duration::from_secs(1);

/// Whether another attempt may have another answer.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How long a sink asks to wait, if it does.
pub(super) fn asked(answer: &Answer) -> Option<Duration> {
    let now = Timestamp::now();
    retry_after(&answer.headers, now)
        .or_else(|| rate_limit(&answer.headers, now))
        .or_else(|| in_body(&answer.body))
}

/// How long to wait after so many attempts: what was asked for, or ever longer; and never exactly,
/// so that those who were refused together do not come back together.
pub(super) fn before_next(attempts: u32, asked: Option<Duration>) -> Duration {
    let doubled = |first: Duration, most: Duration| {
        first
            .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(most)
    };
    match asked {
        Some(asked) => {
            let least = asked.max(doubled(LEAST, MOST_OF_LEAST));
            // Many workers are told the same, each by itself.
            least.saturating_add(least.min(Duration::from_secs(60)).mul_f64(chance()))
        }
        None => doubled(FIRST, LONGEST).mul_f64(0.5 + chance() / 2.0),
    }
}

fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return seconds_of(seconds);
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(until(date, now))
}

/// GitHub's, once nothing is left of what one may ask.
fn rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    if value("x-ratelimit-remaining")? != 0 {
        return None;
    }
    let reset = Timestamp::from_second(value("x-ratelimit-reset")?).ok()?;
    Some(until(reset, now))
}

/// Slack's, in a JSON body.
fn in_body(body: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Asks {
        retry_after: f64,
    }
    let asks: Asks = serde_json::from_slice(body).ok()?;
    seconds_of(asks.retry_after)
}

/// What is not finite or less than nothing was not asked for.
fn seconds_of(seconds: f64) -> Option<Duration> {
    let is_sane = seconds.is_finite() && seconds >= 0.0;
    is_sane.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[test]
fn what_a_sink_asks_for_is_understood() {
    let now: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
    for (value, seconds) in [
        ("0", Some(0.0)),
        ("30", Some(30.0)),
        (" 0.25 ", Some(0.25)),
        ("Wed, 21 Oct 2015 07:28:20 GMT", Some(20.0)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0.0)),
        ("-1", None),
        ("inf", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
    ] {
        let headers = [(http::header::RETRY_AFTER, value.parse().unwrap())].into_iter().collect();
        let expected = seconds.map(Duration::from_secs_f64);
        assert_eq!(retry_after(&headers, now), expected, "{value:?}");
    }
    let endless = [(http::header::RETRY_AFTER, "1e300".parse().unwrap())].into_iter().collect();
    assert_eq!(retry_after(&endless, now), Some(Duration::MAX));
    let limits = |remaining: &str, reset: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", remaining.parse().unwrap());
        headers.insert("x-ratelimit-reset", reset.parse().unwrap());
        rate_limit(&headers, now)
    };
    assert_eq!(limits("0", "1445412490"), Some(Duration::from_secs(10)));
    assert_eq!(limits("0", "1445412000"), Some(Duration::ZERO));
    assert_eq!(limits("7", "1445412490"), None);
    assert_eq!(limits("0", "tomorrow"), None);
    assert_eq!(in_body(br#"{"ok": false, "retry_after": 3}"#), Some(Duration::from_secs(3)));
    assert_eq!(in_body(b"ok"), None);
}

#[test]
fn waits_grow_and_are_never_less_than_was_asked_for() {
    let second = Duration::from_secs(1);
    for attempts in 1..100 {
        let wait = before_next(attempts, None);
        let whole = FIRST.saturating_mul(1 << (attempts - 1).min(20)).min(LONGEST);
        assert!(whole / 2 <= wait && wait <= whole, "{attempts}: {wait:?}");
        let wait = before_next(attempts, Some(second));
        assert!(second <= wait && wait <= second * 2, "{attempts}: {wait:?}");
        assert!(before_next(attempts, Some(Duration::ZERO)) >= LEAST);
        assert_eq!(before_next(attempts, Some(Duration::MAX)), Duration::MAX);
    }
}
