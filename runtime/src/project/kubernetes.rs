//! Which Kubernetes events a project takes: the filters of Brigade's gateway for them.
//!
//! They are the key `kubernetes.eventFilters` of the project's Secret, JSON in the form of that
//! gateway's configuration, and in a values file the same under `kubernetes`. What is not understood
//! makes the project one that cannot be loaded: a filter that lost a member would take too much.

use serde::Deserialize;

/// The key of a project's Secret.
pub(super) const KEY: &str = "kubernetes.eventFilters";

/// Which Kubernetes events a project takes: none, unless a filter accepts them.
#[derive(Clone, Debug, Default)]
pub struct EventFilters {
    /// As they are written.
    text: String,
    list: Vec<EventFilter>,
}

/// A filter: what it is about, and whether that is accepted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// The namespace of the object that the event is about; every one if empty or `*`.
    pub namespace: String,
    /// The kind of that object; every one if empty or `*`.
    pub kind: String,
    /// The reasons of the event; every one if empty.
    pub reasons: Vec<String>,
    /// `accept`; anything else rejects.
    pub action: String,
}

/// Filters that are not understood.
#[derive(Debug, thiserror::Error)]
#[error("the key {KEY} must be JSON like {EXAMPLE}: {problem}")]
pub struct EventFilterError {
    problem: String,
}

/// What the filters look like.
const EXAMPLE: &str =
    r#"{"filters":[{"namespace":"","kind":"Pod","reasons":["Killing"],"action":"accept"}]}"#;

impl EventFilters {
    /// Reads the filters: the gateway's configuration, or only its list.
    pub(super) fn read(text: String) -> Result<EventFilters, EventFilterError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Configuration {
            #[serde(default)]
            filters: Option<Vec<EventFilter>>,
            /// In that gateway, the project; here the filters are in it.
            #[serde(default, rename = "project")]
            _project: Option<String>,
        }
        let problem = |error: serde_json::Error| EventFilterError { problem: error.to_string() };
        let list = match text.trim() {
            "" => Vec::new(),
            list if list.starts_with('[') => serde_json::from_str(list).map_err(problem)?,
            whole => {
                let read: Configuration = serde_json::from_str(whole).map_err(problem)?;
                read.filters.unwrap_or_default()
            }
        };
        Ok(EventFilters { text, list })
    }

    /// The filters as they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The filter that decides about an event, the first that fits, and its number from 1.
    pub fn decide(
        &self,
        namespace: &str,
        kind: &str,
        reason: &str,
    ) -> Option<(usize, &EventFilter)> {
        let any = |wanted: &str, found: &str| matches!(wanted, "" | "*") || wanted == found;
        let fits = |filter: &&EventFilter| {
            any(&filter.namespace, namespace)
                && any(&filter.kind, kind)
                && (filter.reasons.is_empty() || filter.reasons.iter().any(|each| each == reason))
        };
        (1..).zip(&self.list).find(|(_, filter)| fits(filter))
    }
}

impl EventFilter {
    /// Whether what it is about is taken.
    pub fn accepts(&self) -> bool {
        self.action == "accept"
    }
}

#[cfg(test)]
fn taken(filters: &str, namespace: &str, kind: &str, reason: &str) -> bool {
    let filters = EventFilters::read(filters.to_owned()).unwrap();
    filters.decide(namespace, kind, reason).is_some_and(|(_, filter)| filter.accepts())
}

#[test]
fn the_first_filter_that_fits_decides_and_none_rejects() {
    let filters = r#"{"project": "acme/app", "filters": [
        {"namespace": "kube-system", "action": "reject"},
        {"kind": "Node", "action": "reject"},
        {"kind": "Pod", "reasons": ["Killing", "BackOff"], "action": "reject"},
        {"namespace": "*", "kind": "Pod", "action": "accept"},
        {"kind": "Job", "action": "Accept"},
        {"kind": "Job", "action": "accept"}
    ]}"#;
    assert!(taken(filters, "default", "Pod", "Started"));
    assert!(!taken(filters, "default", "Pod", "Killing"));
    assert!(!taken(filters, "kube-system", "Pod", "Started"));
    assert!(!taken(filters, "", "Node", "Rebooted"));
    assert!(!taken(filters, "default", "ReplicaSet", "SuccessfulCreate"));
    assert!(!taken(filters, "default", "Job", "Completed"), "another word rejects");
    assert!(taken(r#"[{"action": "accept"}]"#, "", "Node", "Rebooted"));
    for none in ["", "[]", "{}", r#"{"filters": null}"#] {
        assert!(!taken(none, "default", "Pod", "Started"), "{none}");
    }
}

#[test]
fn a_filter_that_is_not_understood_is_told_of() {
    for text in ["accept", "[1]", "[", r#"[{"reason": "Killing"}]"#, r#"{"filter": []}"#] {
        let error = EventFilters::read(text.to_owned()).unwrap_err().to_string();
        assert!(error.starts_with("the key kubernetes.eventFilters must be JSON like"), "{error}");
    }
}
