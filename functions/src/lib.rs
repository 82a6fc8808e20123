#![doc = include_str!("../README.md")]

use axum::response::Response;
use axum::{Router, middleware};

pub use crate::app::{App, Tasks, Workers};
pub use crate::builds::resume;
pub use crate::program::play;
use crate::rejection::Rejection;
use runtime::project::NotifierKind;

mod address;
mod answer;
mod app;
mod body;
mod builds;
mod cloudevent;
mod delivery;
mod filter;
mod health;
mod host;
mod lenient;
mod metrics;
mod notifiers;
mod program;
mod proof;
mod receivers;
mod rejection;
mod revision;
mod sweeping;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, expect(dead_code, reason = "the tests need more of it than the fuzzer"))]
mod sources;
#[cfg(test)]
mod tests;

/// The functions, by their names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Function {
    Azuredevops,
    Bitbucket,
    Cloudevents,
    Cron,
    Eventgrid,
    Generic,
    Gitea,
    Github,
    Gitlab,
    Hook,
    Kubernetes,
    Notify(NotifierKind),
    Registry,
    Slack,
}

impl Function {
    /// All of them.
    pub const ALL: &[Function] = &[
        Function::Azuredevops,
        Function::Bitbucket,
        Function::Cloudevents,
        Function::Cron,
        Function::Eventgrid,
        Function::Generic,
        Function::Gitea,
        Function::Github,
        Function::Gitlab,
        Function::Hook,
        Function::Kubernetes,
        Function::Notify(NotifierKind::Email),
        Function::Notify(NotifierKind::Github),
        Function::Notify(NotifierKind::Slack),
        Function::Notify(NotifierKind::Teams),
        Function::Notify(NotifierKind::Webhook),
        Function::Registry,
        Function::Slack,
    ];

    /// The function of this name.
    pub fn parse(name: &str) -> Option<Function> {
        Function::ALL.iter().copied().find(|function| function.name() == name)
    }

    /// Its name, as `FUNCTIONS` lists it.
    pub fn name(self) -> &'static str {
        match self {
            Function::Azuredevops => "azuredevops",
            Function::Bitbucket => "bitbucket",
            Function::Cloudevents => "cloudevents",
            Function::Cron => "cron",
            Function::Eventgrid => "eventgrid",
            Function::Generic => "generic",
            Function::Gitea => "gitea",
            Function::Github => "github",
            Function::Gitlab => "gitlab",
            Function::Hook => "hook",
            Function::Kubernetes => "kubernetes",
            Function::Notify(NotifierKind::Email) => "notify-email",
            Function::Notify(NotifierKind::Github) => "notify-github",
            Function::Notify(NotifierKind::Slack) => "notify-slack",
            Function::Notify(NotifierKind::Teams) => "notify-teams",
            Function::Notify(NotifierKind::Webhook) => "notify-webhook",
            Function::Registry => "registry",
            Function::Slack => "slack",
        }
    }

    fn routes(self) -> Router<App> {
        match self {
            Function::Azuredevops => receivers::azuredevops::routes(),
            Function::Bitbucket => receivers::bitbucket::routes(),
            Function::Cloudevents => receivers::cloudevents::routes(),
            Function::Cron => receivers::cron::routes(),
            Function::Eventgrid => receivers::eventgrid::routes(),
            Function::Generic => receivers::generic::routes(),
            Function::Gitea => receivers::gitea::routes(),
            Function::Github => receivers::github::routes(),
            Function::Gitlab => receivers::gitlab::routes(),
            Function::Hook => receivers::hook::routes(),
            Function::Kubernetes => receivers::kubernetes::routes(),
            Function::Notify(kind) => notifiers::routes(kind),
            Function::Registry => receivers::registry::routes(),
            Function::Slack => receivers::slack::routes(),
        }
    }
}

/// The routes of these functions, and those of every host: `/livez`, `/readyz`, `/healthz`.
pub fn router(app: App, which: &[Function]) -> Router {
    let wanted = Function::ALL.iter().filter(|function| which.contains(function));
    let functions = wanted.fold(Router::new(), |router, function| {
        let answered = delivery::Answered(function.name());
        let mark = middleware::map_response(move |mut response: Response| async move {
            response.extensions_mut().insert(answered);
            response
        });
        router.merge(function.routes().route_layer(mark))
    });
    functions
        .merge(health::routes())
        .merge(sweeping::routes())
        .fallback(async || Rejection::NotFound)
        .method_not_allowed_fallback(async || Rejection::MethodNotAllowed)
        .layer(middleware::from_fn(cloudevent::reply::none))
        .layer(middleware::from_fn(delivery::record))
        .with_state(app)
}
