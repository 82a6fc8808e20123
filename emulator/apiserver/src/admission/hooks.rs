//! The webhooks of all configurations, read once for each change of one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::client::Clients;
use super::conditions::Condition;
use crate::object;
use crate::selectors::Labels;
use crate::store::Store;

const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/// What a server knows of its webhooks.
pub(crate) struct Admission {
    mutating: watch::Receiver<u64>,
    validating: watch::Receiver<u64>,
    known: RwLock<(u64, Arc<Hooks>)>,
    pub(super) clients: Clients,
}

/// The webhooks in the order in which they are called.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) mutating: Vec<Hook>,
    pub(super) validating: Vec<Hook>,
}

/// One webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) configuration: String,
    pub(super) mutating: bool,
    pub(super) rules: Vec<Rule>,
    pub(super) namespaces: Labels,
    pub(super) objects: Labels,
    /// Whether a rule for another version of the same objects counts, too.
    pub(super) equivalent: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) ignores_failures: bool,
    pub(super) timeout: Duration,
    /// Whether it can be asked about what is not going to happen.
    pub(super) runs_dry: bool,
    /// Whether it wants to see again what others change after it.
    pub(super) reinvoke: bool,
    pub(super) review: Review,
    pub(super) place: Place,
    /// The only certificates that are trusted, in PEM.
    pub(super) trusted: Bytes,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) operations: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) versions: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) scope: String,
}

/// The form of question and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Review {
    V1,
    Beta,
    /// None that is known here.
    Unknown,
}

impl Review {
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Review::Beta => "admission.k8s.io/v1beta1",
            Review::V1 | Review::Unknown => "admission.k8s.io/v1",
        }
    }
}

/// Where a webhook is.
#[derive(Debug)]
pub(super) enum Place {
    Url(String),
    Service { namespace: String, name: String, path: String, port: u16 },
}

impl Admission {
    pub(crate) fn new(store: &Store) -> Self {
        Admission {
            mutating: store.subscribe(MUTATING),
            validating: store.subscribe(VALIDATING),
            known: RwLock::new((u64::MAX, Arc::default())),
            clients: Clients::default(),
        }
    }

    /// The webhooks as they are now.
    pub(super) fn hooks(&self, store: &Store) -> Arc<Hooks> {
        // Taken before the configurations are read: a change meanwhile makes them be read again.
        let version = (*self.mutating.borrow()).max(*self.validating.borrow());
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == version {
                return Arc::clone(&known.1);
            }
        }
        let hooks = Arc::new(Hooks {
            mutating: read(store, MUTATING),
            validating: read(store, VALIDATING),
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = (version, Arc::clone(&hooks));
        hooks
    }
}

/// The webhooks of one kind, by the name of their configuration.
fn read(store: &Store, storage: &str) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for configuration in store.list(storage, None).1 {
        let value = &configuration.value;
        for webhook in object::list(value, &["webhooks"]) {
            hooks.push(hook(webhook, object::name(value), storage == MUTATING));
        }
    }
    hooks
}

fn hook(webhook: &Value, configuration: &str, mutating: bool) -> Hook {
    let text = |key: &str| webhook[key].as_str().unwrap_or_default();
    let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30);
    let conditions = object::list(webhook, &["matchConditions"]);
    let client = &webhook["clientConfig"];
    let bundle = client["caBundle"].as_str().unwrap_or_default();
    Hook {
        name: text("name").to_owned(),
        configuration: configuration.to_owned(),
        mutating,
        rules: object::list(webhook, &["rules"]).iter().map(rule).collect(),
        namespaces: Labels::of_selector(&webhook["namespaceSelector"]),
        objects: Labels::of_selector(&webhook["objectSelector"]),
        equivalent: text("matchPolicy") != "Exact",
        conditions: conditions.iter().map(Condition::new).collect(),
        ignores_failures: text("failurePolicy") == "Ignore",
        timeout: Duration::from_secs(seconds),
        runs_dry: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
        reinvoke: text("reinvocationPolicy") == "IfNeeded",
        review: review(webhook),
        place: place(client),
        trusted: STANDARD.decode(bundle).unwrap_or_default().into(),
    }
}

/// The first form that both sides know.
fn review(webhook: &Value) -> Review {
    object::list(webhook, &["admissionReviewVersions"])
        .iter()
        .find_map(|version| match version.as_str()? {
            "v1" => Some(Review::V1),
            "v1beta1" => Some(Review::Beta),
            _ => None,
        })
        .unwrap_or(Review::Unknown)
}

fn place(client: &Value) -> Place {
    if let Some(url) = client["url"].as_str() {
        return Place::Url(url.to_owned());
    }
    let service = &client["service"];
    let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
    Place::Service {
        namespace: text("namespace"),
        name: text("name"),
        path: text("path"),
        port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
    }
}

fn rule(rule: &Value) -> Rule {
    let texts = |key: &str| {
        let list = object::list(rule, &[key]).iter();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Rule {
        operations: texts("operations"),
        groups: texts("apiGroups"),
        versions: texts("apiVersions"),
        resources: texts("resources"),
        scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
    }
}
