//! What the sweeper deletes.

use std::time::Duration;

use super::{SettingsError, truth, wrong};

/// What the environment says of sweeping, in the variables of Brigade's vacuum.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    // # What is deleted (sweep)
    /// `VACUUM_AGE`: builds that are older are deleted. Default: no limit.
    pub age: Option<Duration>,
    /// `VACUUM_MAX_BUILDS`: so many builds of a namespace are kept. Default: no limit, as 0 and -1.
    pub max_builds: Option<i64>,
    /// `VACUUM_SKIP_RUNNING_BUILDS`: whether running builds are kept. Default: true.
    pub skip_running: bool,
}

impl SweepSettings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<SweepSettings, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        SweepSettings::read(|name| std::env::var(name).ok())
    }

    /// Reads variables. An empty one is one that is not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<SweepSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let age = |text: String| {
            crate::units::duration(&text).ok_or(wrong("VACUUM_AGE", "a span of time like 720h"))
        };
        let count = |text: String| {
            let count = text.trim().parse().ok().filter(|count| *count >= -1);
            count.ok_or(wrong("VACUUM_MAX_BUILDS", "a whole number; 0 and -1 are no limit"))
        };
        let skip = "VACUUM_SKIP_RUNNING_BUILDS";
        Ok(SweepSettings {
            age: get("VACUUM_AGE").map(age).transpose()?,
            max_builds: get("VACUUM_MAX_BUILDS").map(count).transpose()?,
            skip_running: truth(skip, get(skip).or_else(|| Some("true".to_owned())))?,
        })
    }
}
