//! What a project says about how much of it runs at once, and about what its scripts may use.
//!
//! Brigade has no keys for this: they are annotations of the project's Secret, `brigantine.dev/` and
//! a name, and in a values file the mapping `limits`. A value that is not understood makes the
//! project one that cannot be loaded: a limit that was lost without a word is none.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units;

/// What the annotations begin with.
const PREFIX: &str = "brigantine.dev/";

/// The limits, by the names of their annotations and by their keys in a values file.
pub(super) const NAMES: [(&str, &str); 8] = [
    ("max-builds", "maxBuilds"),
    ("max-jobs", "maxJobs"),
    ("supersede", "supersede"),
    ("script-memory", "scriptMemory"),
    ("script-time", "scriptTime"),
    ("script-output", "scriptOutput"),
    ("script-jobs", "scriptJobs"),
    ("script-timers", "scriptTimers"),
];

/// The least memory that JavaScript can begin with.
const LEAST_MEMORY: u64 = 8 << 20;

/// How much of a project runs at once, and what its scripts may use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// How many builds of the project run at once; the others wait in their order.
    pub builds: Option<usize>,
    /// How many jobs of a build run at once.
    pub jobs: Option<usize>,
    /// Whether a build ends the older ones of the same event type and ref.
    pub supersede: bool,
    /// What a script may use.
    pub script: ScriptLimits,
}

/// What a script may use, where that is said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScriptLimits {
    /// Memory of its engine, in bytes.
    pub memory: Option<u64>,
    /// How long JavaScript may run, waiting not counted.
    pub time: Option<Duration>,
    /// How many bytes it may print.
    pub output: Option<u64>,
    /// How many jobs it may run.
    pub jobs: Option<usize>,
    /// How many timers may be pending at once.
    pub timers: Option<usize>,
}

/// A limit that is not understood.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("the limit {name} is {value:?}, and must be {expected}")]
pub struct LimitError {
    name: String,
    value: String,
    expected: &'static str,
}

impl Limits {
    /// Whether builds of the project wait for each other, or end each other.
    pub fn line_up(&self) -> bool {
        self.builds.is_some() || self.supersede
    }

    /// Reads the limits; `value` tells the value of a limit by its name, and `named` how that is
    /// called where it was found.
    pub(super) fn read(
        value: impl Fn(&str) -> Option<String>,
        named: impl Fn(&str) -> String,
    ) -> Result<Limits, LimitError> {
        let mut limits = Limits::default();
        for (name, _) in NAMES {
            let Some(value) = value(name).map(|value| value.trim().to_owned()) else { continue };
            let wrong = |expected| LimitError { name: named(name), value: value.clone(), expected };
            match name {
                "max-builds" => limits.builds = Some(count(&value).map_err(wrong)?),
                "max-jobs" => limits.jobs = Some(count(&value).map_err(wrong)?),
                "supersede" => {
                    limits.supersede = match value.to_ascii_lowercase().as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(wrong("true or false")),
                    }
                }
                _ => {
                    let short = name.strip_prefix("script-").unwrap_or(name);
                    limits.script.set(short, &value).map_err(wrong)?;
                }
            }
        }
        Ok(limits)
    }

    /// Reads the limits from the annotations of a project's Secret.
    pub(super) fn of(annotations: &BTreeMap<String, String>) -> Result<Limits, LimitError> {
        let named = |name: &str| format!("{PREFIX}{name}");
        Limits::read(|name| annotations.get(&named(name)).cloned(), named)
    }

    /// Writes the limits as the annotations of a project's Secret.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let all = [
            ("max-builds".to_owned(), self.builds.map(|count| count.to_string())),
            ("max-jobs".to_owned(), self.jobs.map(|count| count.to_string())),
            ("supersede".to_owned(), self.supersede.then(|| "true".to_owned())),
        ];
        let script = self.script.texts().map(|(name, text)| (format!("script-{name}"), text));
        let all = all.into_iter().chain(script);
        all.filter_map(|(name, text)| Some((format!("{PREFIX}{name}"), text?))).collect()
    }
}

impl ScriptLimits {
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "memory" => {
                let memory = units::bytes(value).filter(|size| *size >= LEAST_MEMORY);
                self.memory = Some(memory.ok_or("a size like 128Mi, from 8Mi")?);
            }
            "time" => {
                let time = units::duration(value).filter(|time| !time.is_zero());
                self.time = Some(time.ok_or("a span of time like 30s, more than none")?);
            }
            "output" => self.output = Some(units::bytes(value).ok_or("a size like 8Mi")?),
            "jobs" => self.jobs = Some(count(value)?),
            "timers" => self.timers = Some(count(value)?),
            _ => return Err("one of memory, time, output, jobs and timers"),
        }
        Ok(())
    }

    fn texts(&self) -> [(&'static str, Option<String>); 5] {
        [
            ("memory", self.memory.map(|size| size.to_string())),
            ("time", self.time.map(|time| format!("{}ms", time.as_millis().max(1)))),
            ("output", self.output.map(|size| size.to_string())),
            ("jobs", self.jobs.map(|count| count.to_string())),
            ("timers", self.timers.map(|count| count.to_string())),
        ]
    }
}

/// As a list: `memory=256Mi,time=1m`.
impl FromStr for ScriptLimits {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<ScriptLimits, LimitError> {
        let mut limits = ScriptLimits::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let (name, value) = (name.trim(), value.trim());
            limits.set(name, value).map_err(|expected| LimitError {
                name: name.to_owned(),
                value: value.to_owned(),
                expected,
            })?;
        }
        Ok(limits)
    }
}

impl fmt::Display for ScriptLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.texts().into_iter();
        let all: Vec<String> =
            texts.filter_map(|(name, text)| Some(format!("{name}={}", text?))).collect();
        formatter.write_str(&all.join(","))
    }
}

fn count(value: &str) -> Result<usize, &'static str> {
    let count = value.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or("a whole number from 1 to 100000")
}
