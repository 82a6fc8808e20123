//! Admission webhooks: what other programs may change in a write, or refuse, before it is made.
//!
//! A [`Gate`] stands in the way of one request.
//! Mutating webhooks are called one after the other with what the ones before made of the object,
//! validating ones at once with what is about to be written; a write that has to be tried again
//! because another one came first passes the gate again, so that webhooks see what is written.
//! Where no webhook is configured a gate costs the look at two counters.
//!
//! What the server's own controllers write does not pass here, nor do webhook configurations.

mod answer;
mod client;
mod conditions;
mod hooks;
mod matching;
mod review;
mod trust;

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use serde_json::{Value, json};

pub(crate) use conditions::compile;
pub(crate) use hooks::Admission;

use crate::api::{Call, Target};
use crate::failure::Failure;
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;
use crate::strategy;
use hooks::{Hook, Hooks};
use matching::Invocation;

/// More warnings of one webhook are not looked at.
const WARNINGS: usize = 64;

/// What a request does to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// One write (a request for a collection makes many) as webhooks are told of it.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) operation: Operation,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) old: Option<&'a Value>,
    pub(crate) dry_run: bool,
}

/// What stands between a request and the store.
pub(crate) struct Gate<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) target: &'a Target,
    pub(crate) call: &'a Call,
    hooks: Arc<Hooks>,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(shared: &'a Shared, target: &'a Target, call: &'a Call) -> Self {
        let hooks = if is_exempt(&target.resource) {
            Arc::default()
        } else {
            shared.admission.hooks(&shared.store)
        };
        Gate { shared, target, call, hooks, warnings: Mutex::default() }
    }

    /// Whether nobody wants to know.
    pub(crate) fn is_open(&self) -> bool {
        self.hooks.mutating.is_empty() && self.hooks.validating.is_empty()
    }

    /// What the webhooks wanted the client to be told.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        answer::bounded(std::mem::take(&mut *warnings))
    }

    /// Lets the mutating webhooks change an object as it is kept. `again` does what the server does
    /// itself to an object that was changed: defaults, and its own admission.
    ///
    /// # Errors
    /// What a webhook answered, or why it could not be called.
    pub(crate) async fn mutate(
        &self,
        step: &Step<'_>,
        kept: &Resource,
        object: Value,
        again: &(dyn Fn(&mut Value) -> Result<(), Failure> + Sync),
    ) -> Result<Value, Failure> {
        let mut rounds = Rounds::default();
        let mut object = Some(object);
        let changed = self.round(step, Some(kept), &mut object, &mut rounds, false).await?;
        let mut whole = object.take().unwrap_or_default();
        if !changed {
            return Ok(whole);
        }
        let before = whole.clone();
        again(&mut whole)?;
        if whole != before {
            rounds.require();
        }
        let mut object = Some(whole);
        if self.round(step, Some(kept), &mut object, &mut rounds, true).await?
            && let Some(object) = &mut object
        {
            again(object)?;
        }
        Ok(object.unwrap_or_default())
    }

    /// Lets the mutating webhooks change the body of a part of an object (a scale, a binding).
    ///
    /// # Errors
    /// As [`Gate::mutate`].
    pub(crate) async fn mutate_part(&self, step: &Step<'_>, part: Value) -> Result<Value, Failure> {
        let mut rounds = Rounds::default();
        let mut object = Some(part);
        if self.round(step, None, &mut object, &mut rounds, false).await? {
            self.round(step, None, &mut object, &mut rounds, true).await?;
        }
        Ok(object.unwrap_or_default())
    }

    /// Asks the webhooks about the end of an object: all of them, as there is nothing to change.
    ///
    /// # Errors
    /// As [`Gate::mutate`].
    pub(crate) async fn delete(&self, step: &Step<'_>, kept: &Resource) -> Result<(), Failure> {
        self.round(step, Some(kept), &mut None, &mut Rounds::default(), false).await?;
        self.validate(step, Some(kept), None).await
    }

    /// Asks the webhooks about something of which there is only the body: the options of a
    /// connection, a binding.
    ///
    /// # Errors
    /// As [`Gate::mutate`].
    pub(crate) async fn admit_part(&self, step: &Step<'_>, part: Value) -> Result<Value, Failure> {
        if self.is_open() {
            return Ok(part);
        }
        let part = self.mutate_part(step, part).await?;
        self.validate(step, None, Some(&part)).await?;
        Ok(part)
    }

    /// Asks about a connection to a pod.
    ///
    /// # Errors
    /// As [`Gate::mutate`].
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        if self.is_open() {
            return Ok(());
        }
        let step = self.step(Operation::Connect, None, false);
        let options = review::connect_options(self.target, self.call);
        self.admit_part(&step, options).await.map(drop)
    }

    /// A write of what the path names.
    pub(crate) fn step<'s>(
        &self,
        operation: Operation,
        old: Option<&'s Value>,
        dry_run: bool,
    ) -> Step<'s> {
        let key = self.target.key();
        Step { operation, name: key.name, namespace: key.namespace, old, dry_run }
    }

    /// One round of the mutating webhooks; whether one changed the object.
    async fn round(
        &self,
        step: &Step<'_>,
        kept: Option<&Resource>,
        object: &mut Option<Value>,
        rounds: &mut Rounds,
        second: bool,
    ) -> Result<bool, Failure> {
        let mut changed = false;
        for (index, hook) in self.hooks.mutating.iter().enumerate() {
            let Some(invocation) = self.should_call(hook, step, kept, object.as_ref())? else {
                continue;
            };
            if second && !rounds.again.contains(&index) {
                continue;
            }
            let answer = match self.call(hook, &invocation, step, object.as_ref()).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.forgive(hook, error)?;
                    continue;
                }
            };
            if let Some(operations) = answer.patch {
                let Some(current) = object.as_ref() else {
                    return Err(Failure::internal_error(&format!(
                        "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                        hook.name
                    )));
                };
                let mut new = review::patched(&invocation, kept, current, &operations)?;
                if let Some(kept) = kept {
                    strategy::defaults(kept, &mut new);
                }
                if new != *current {
                    changed = true;
                    rounds.require();
                    *object = Some(new);
                }
            }
            if hook.reinvoke {
                rounds.called.push(index);
            }
        }
        Ok(changed)
    }

    /// Asks the validating webhooks about what is about to be written.
    ///
    /// # Errors
    /// What the first of them that refuses answered, or why it could not be called.
    pub(crate) async fn validate(
        &self,
        step: &Step<'_>,
        kept: Option<&Resource>,
        object: Option<&Value>,
    ) -> Result<(), Failure> {
        let mut calls = Vec::new();
        for hook in &self.hooks.validating {
            if let Some(invocation) = self.should_call(hook, step, kept, object)? {
                calls.push(async move {
                    match self.call(hook, &invocation, step, object).await {
                        Ok(_) => Ok(()),
                        Err(error) => self.forgive(hook, error),
                    }
                });
            }
        }
        join_all(calls).await.into_iter().collect()
    }

    fn should_call(
        &self,
        hook: &Hook,
        step: &Step<'_>,
        kept: Option<&Resource>,
        object: Option<&Value>,
    ) -> Result<Option<Invocation>, Failure> {
        let Some(invocation) = matching::find(self, hook, step, kept, object)? else {
            return Ok(None);
        };
        if hook.conditions.is_empty() {
            return Ok(Some(invocation));
        }
        let request = review::request(self, &invocation, step, object, "");
        match conditions::hold(hook, &request) {
            Ok(true) => Ok(Some(invocation)),
            Ok(false) => Ok(None),
            Err(_) if hook.ignores_failures => Ok(None),
            Err(why) => Err(Failure::forbidden(&self.target.resource, &step.name, &why)),
        }
    }

    async fn call(
        &self,
        hook: &Hook,
        invocation: &Invocation,
        step: &Step<'_>,
        object: Option<&Value>,
    ) -> Result<answer::Answer, CallError> {
        if step.dry_run && !hook.runs_dry {
            return Err(CallError::Refused(Failure::bad_request(format!(
                "admission webhook {:?} does not support dry run",
                hook.name
            ))));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let request = review::request(self, invocation, step, object, &uid);
        let review = json!({
            "kind": "AdmissionReview",
            "apiVersion": hook.review.api_version(),
            "request": request,
        });
        let body = self
            .shared
            .admission
            .clients
            .post(&self.shared.store, hook, review.to_string())
            .await
            .map_err(|why| CallError::Failed(format!("failed to call webhook: {why}")))?;
        let answer = answer::read(hook, &uid, &body).map_err(CallError::Failed)?;
        if !answer.warnings.is_empty() {
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.extend(answer.warnings.iter().take(WARNINGS).cloned());
        }
        match answer.denied {
            Some(failure) => Err(CallError::Refused(*failure)),
            None => Ok(answer),
        }
    }

    /// A webhook that cannot be called stands in nobody's way where it says so.
    fn forgive(&self, hook: &Hook, error: CallError) -> Result<(), Failure> {
        match error {
            CallError::Refused(failure) => Err(failure),
            CallError::Failed(why) => {
                let open = hook.ignores_failures;
                let (webhook, configuration) = (&hook.name, &hook.configuration);
                tracing::warn!(webhook, configuration, why, open, "a webhook could not be called");
                if open {
                    return Ok(());
                }
                Err(Failure::internal_error(&format!("failed calling webhook {webhook:?}: {why}")))
            }
        }
    }
}

/// Which webhooks want to see an object again that was changed after they saw it.
#[derive(Debug, Default)]
struct Rounds {
    called: Vec<usize>,
    again: Vec<usize>,
}

impl Rounds {
    fn require(&mut self) {
        self.again.append(&mut self.called);
    }
}

/// Why a webhook did not let something pass.
enum CallError {
    /// It said no.
    Refused(Failure),
    /// It could not be asked, or its answer makes no sense.
    Failed(String),
}

/// What no webhook may stand in the way of, lest it be impossible to remove.
fn is_exempt(resource: &Resource) -> bool {
    resource.group == "admissionregistration.k8s.io"
}

/// The name of an object, for messages about what has none yet.
pub(crate) fn named(object: &Value) -> String {
    match (object::name(object), object::meta(object, "generateName")) {
        ("", "") => "Unknown".to_owned(),
        ("", prefix) => prefix.to_owned(),
        (name, _) => name.to_owned(),
    }
}
