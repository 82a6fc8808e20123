//! The settings of a notifier: named values, which are a pod's environment where a notifier runs in
//! a pod of its own, and a project's secrets where a worker tells of its build.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::TellError;

/// Named values. Each may be a secret, so that none is ever shown.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, SecretString>);

impl Variables {
    /// Those of these names.
    pub fn of(names: &[&str], value: impl Fn(&str) -> Option<String>) -> Variables {
        let values = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), SecretString::from(value(name)?))));
        Variables(values.collect())
    }

    /// One of them, if it is set; an empty one is one that is not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret).filter(|value| !value.trim().is_empty())
    }

    /// Whether one is there and empty, which is a mistake where it is for safety.
    pub fn is_empty(&self, name: &str) -> bool {
        self.0.contains_key(name) && self.get(name).is_none()
    }

    /// One that the notifier cannot do without.
    pub fn required(&self, name: &'static str) -> Result<&str, TellError> {
        let missing = || TellError::Variable { name, problem: "is not set".to_owned() };
        self.get(name).ok_or_else(missing)
    }
}
