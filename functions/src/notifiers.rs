//! Tells people and programs what others post: each of Slack, Teams, GitHub, webhooks and email is a
//! function of its own, `notify-slack` and so on, which differ in nothing but whom they tell.
//!
//! - Route: `POST /notify/{kind}/{project}` with the project's id, or its name without a slash or with
//!   `%2F`, `/notify/{kind}/{org}/{repository}`; `kind` is `slack`, `teams`, `github`, `webhook` or
//!   `email`. `?notifier=<name>` chooses one of the project's notifiers. `OPTIONS` there is the
//!   handshake of CloudEvents, and Event Grid's validation is answered
//! - Proof: a token, which is the project's `genericGatewaySecret`, or its `sharedSecret` if there is
//!   no such one: in `Authorization`, as `X-Registry-Token`, `?token=`, `?access_token=` or the last
//!   part of the path, which a name without a slash has no place for. Or a signature,
//!   `webhook-signature` (Standard Webhooks) with the `genericGatewaySecret`; not of an event in
//!   binary mode, which is in headers that nobody signs
//! - Events: `notify` and `notify:<kind>`, from the provider `brigantine`. The project's own script
//!   does not hear them: the event brings a script of its own, which runs one job, and so makes one
//!   pod, `<kind>-notify-<id>`, whose container runs `worker notify <kind>`. Its settings are those
//!   of the project's first notifier of this kind, or of the one that is named, else the project's
//!   secrets of the same names. A project that has not what the kind needs is told so (422)
//! - Body: a CloudEvent 1.0, several of them or Event Grid's own; what a registry sends; what
//!   Alertmanager and Grafana send; `{message, title, color, fields, url}`; what one posts to Slack's
//!   incoming webhooks; and any other object, by the templates of the notifier that is named or as
//!   a list of its members (`translation`)
//! - Not everything is believed that is proved, since the token is in addresses of registries. GitHub
//!   is told of the project's own repository alone, and only if the project has a notifier of the
//!   kind `github` (422). A program is not given an event `dev.brigantine.build.<moment>` or `job`
//!   that claims to be this project's: only its workers send those (400)
//! - Identity: a CloudEvent's `source` and `id`; a registry's push as `receivers::registry` has it;
//!   else `Idempotency-Key` or `webhook-id`. An alert that comes again within four minutes is one
//!   that Alertmanager sends again because it was not answered; later it is one that Alertmanager
//!   means to repeat. Any other message is meant whenever it is posted. The kind and the name of the
//!   notifier are a part of it, so that the same may be told in two places
//! - Limits: 1 MiB, 256 events; what is told has 64 KiB, and is cut to that
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md>,
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://www.standardwebhooks.com>

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use runtime::build::{Build, Head};
use runtime::event::{Event, Identity};
use runtime::project::{Limits, Notifier, NotifierKind, Project};
use runtime::signature::scheme::STANDARD_WEBHOOKS;
use runtime::signature::{self, Secrets, SignatureError};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use self::translation::{Form, Key, Meaning, Said, translate};
use crate::address::Address;
use crate::answer::Answer;
use crate::app::App;
use crate::body;
use crate::builds;
use crate::cloudevent::handshake;
use crate::lenient::line;
use crate::proof;
use crate::receivers::registry::{self, harbor};
use crate::rejection::Rejection;

mod claim;
mod fit;
mod job;
mod translation;

/// The largest body that is read.
const LIMIT: usize = 1024 * 1024;

/// For how long an alert that comes again is one that was not answered, in seconds.
const SOON: i64 = 4 * 60;

/// Who all these events are from.
const PROVIDER: &str = "brigantine";

/// The event; its action is the kind of the notifier.
const EVENT: &str = "notify";

/// The routes of the function of this kind.
pub(crate) fn routes(kind: NotifierKind) -> Router<App> {
    let methods = || {
        post(move |app, address, request| receive(kind, app, address, request)).options(shake_hands)
    };
    Router::new()
        .route(&format!("/notify/{kind}/{{project}}"), methods())
        .route(&format!("/notify/{kind}/{{org}}/{{repository}}"), methods())
        .route(&format!("/notify/{kind}/{{org}}/{{repository}}/{{token}}"), methods())
}

#[derive(Default, Deserialize)]
struct Asked {
    access_token: Option<String>,
    notifier: Option<String>,
    token: Option<String>,
}

/// What a delivery is proved by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    /// The token: its headers are the sender's, too.
    Token,
    /// A signature over its name and its body.
    Signature,
}

async fn receive(
    kind: NotifierKind,
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let (deadline, soon) = (app.deadline(), app.deadline_within(registry::HARBOR));
    let asked = query(&request)?;
    let (parts, body) = body::read(request, LIMIT, deadline).await?;
    let deadline = if harbor::could_send(&body) { soon } else { deadline };
    let form = Form::of(&parts.headers)?;

    // Prove.
    let (project, proof) = prove(&app, address, &asked, &parts.headers, &body, deadline).await?;
    if proof == Proof::Signature && form == Form::Binary {
        return Err(Rejection::malformed(
            "a signature is over the body alone: send the event as application/cloudevents+json",
        ));
    }

    // A message is no build that waits for others, or that others wait for.
    let project = Project { limits: Limits::default(), ..project };

    // Translate.
    let named = match &asked.notifier {
        Some(name) => Some(named(&project, kind, name)?),
        None => None,
    };
    let name = proof::name(&parts.headers, names(proof))?;
    let said = match translate(form, &parts.headers, &body, kind, named)? {
        Meaning::Validation { code } => {
            let reason = "the endpoint is validated; nobody is told of that";
            let answer = Answer::passed("status", "OK", reason, Some(&project));
            return Ok(answer.saying(Json(json!({"validationResponse": code}))));
        }
        Meaning::Ignored { reason } => {
            return Ok(Answer::ignored(reason, Some(&project)).into_response());
        }
        Meaning::Said(said) => said,
    };
    let first = || project.notifiers.all().iter().find(|notifier| notifier.kind == kind);
    let script = job::script(&app.settings, &project, kind, named.or_else(first))?;
    let mut events = Vec::with_capacity(said.len());
    for said in said {
        let told = Told {
            kind,
            notifier: asked.notifier.as_deref().unwrap_or_default(),
            name: name.as_deref(),
        };
        let said = said.and_then(|said| {
            claim::check(&project, kind, &said.notification)?;
            Ok(said)
        });
        events.push(match said {
            Ok(said) => Ok(told.event(&app, deadline, &project, said, &script).await?),
            Err(rejection) => Err(rejection),
        });
    }

    // Act.
    let status = "Success. Notification created";
    Ok(builds::answer(&app, deadline, &project, status, events).await?.into_response())
}

async fn shake_hands(
    State(app): State<App>,
    Path(address): Path<Address>,
    request: Request,
) -> Result<Response, Rejection> {
    let deadline = app.deadline();
    let asked = query(&request)?;
    let (parts, _body) = request.into_parts();
    let (project, _) = prove(&app, address, &asked, &parts.headers, &[], deadline).await?;
    handshake::consent(&parts.headers, &project, "OPTIONS, POST")
}

fn query(request: &Request) -> Result<Asked, Rejection> {
    proof::query(request.uri(), "one `notifier`, and one `token` or one `access_token`")
}

/// The project, and what proves that the delivery is one of its own.
async fn prove(
    app: &App,
    address: Address,
    asked: &Asked,
    headers: &HeaderMap,
    body: &[u8],
    deadline: Instant,
) -> Result<(Project, Proof), Rejection> {
    let (name, in_path) = address.parts();
    let project = app.project(&name, deadline).await?;
    let asked: Vec<&str> = [&in_path, &asked.token, &asked.access_token]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    proved(&project, headers, &asked, body).map(|proof| (project, proof)).map_err(|error| {
        proof::refusal(
            error,
            "set the project's genericGatewaySecret",
            "the project's genericGatewaySecret must come in Authorization, as X-Registry-Token, as \
             token in the query or as the last part of the path, or sign the delivery as \
             webhook-signature",
        )
    })
}

/// One proof is looked at. A token in the address is one, so that nothing beside it makes it good.
fn proved(
    project: &Project,
    headers: &HeaderMap,
    asked: &[&str],
    body: &[u8],
) -> Result<Proof, SignatureError> {
    if asked.is_empty() && headers.contains_key(STANDARD_WEBHOOKS.header) {
        // What GitLab signs with the project's other secret is not meant for this address.
        let secrets = Secrets::of(&project.generic_gateway_secret);
        STANDARD_WEBHOOKS.verify(&secrets, headers, body, Timestamp::now())?;
        return Ok(Proof::Signature);
    }
    let token = proof::bare_token(headers, asked.iter().copied())?;
    signature::verify_token(&proof::tokens(project), token.as_deref())?;
    Ok(Proof::Token)
}

/// The headers that may name a delivery: those that only the sender can have written.
fn names(proof: Proof) -> &'static [&'static str] {
    match proof {
        Proof::Token => &["idempotency-key", "webhook-id"],
        Proof::Signature => &["webhook-id"],
    }
}

/// The notifier that the address names.
fn named<'a>(
    project: &'a Project,
    kind: NotifierKind,
    name: &str,
) -> Result<&'a Notifier, Rejection> {
    let all = project.notifiers.all().iter().filter(|notifier| notifier.kind == kind);
    let found = all.clone().find(|notifier| notifier.name == name);
    found.ok_or_else(|| {
        let there: Vec<&str> = all.map(|notifier| notifier.name.as_str()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let name = line(name, 50);
        Rejection::Unset {
            reason: format!(
                "the project has no notifier `{name}` of the kind {kind}; it has: {there}"
            ),
        }
    })
}

/// To whom something is told, and what the sender has named the delivery.
struct Told<'a> {
    kind: NotifierKind,
    notifier: &'a str,
    name: Option<&'a str>,
}

impl Told<'_> {
    /// The event that tells it. What is the same if it is sent again soon is the same as what was
    /// told in this span of time, or in the one before if that is not long ago.
    async fn event(
        &self,
        app: &App,
        deadline: Instant,
        project: &Project,
        said: Said,
        script: &str,
    ) -> Result<Event, Rejection> {
        let named = self.name.map(|name| Key::Content(format!("name {name}")));
        let key = match (&said.key, named) {
            (Key::Recent(_) | Key::None, Some(named)) => named,
            (key, _) => key.clone(),
        };
        let Key::Recent(content) = key else { return Ok(self.made(said, &key, None, script)) };
        let now = Timestamp::now();
        let span = now.as_second() / SOON;
        let in_span = |span: i64| {
            let key = Key::Content(format!("{span} {content}"));
            self.made(said.clone(), &key, Timestamp::from_second(span * SOON).ok(), script)
        };
        let before = in_span(span - 1);
        let id = Build::new(project, before.clone(), now).id;
        let head = app.cluster.with_deadline(deadline).head(&project.namespace, id).await?;
        let is_soon = |head: Head| now.as_second() - head.created.as_second() < SOON;
        Ok(if head.is_some_and(is_soon) { before } else { in_span(span) })
    }

    /// The event of this identity, at this time if not at that which is told.
    fn made(&self, said: Said, key: &Key, time: Option<Timestamp>, script: &str) -> Event {
        let Said { mut notification, image, .. } = said;
        let identity = match key {
            Key::Content(content) | Key::Recent(content) => {
                Some(format!("{} {}\n{content}", self.kind, self.notifier))
            }
            Key::None => None,
        };
        notification.id = match &identity {
            Some(identity) => body::digest(identity.as_bytes()),
            None => ulid::Ulid::generate().to_string(),
        };
        let json = fit::json(&mut notification);
        Event {
            action: Some(self.kind.name().to_owned()),
            short_title: line(&notification.headline(), 50),
            long_title: line(&format!("{}: {}", notification.headline(), notification.body()), 200),
            time: time.or(notification.time),
            identity: identity.map_or(Identity::Fresh, |content| Identity::Content(content.into())),
            image,
            script: Some(script.to_owned()),
            // Whatever the project's scripts depend on, this one does not.
            config: Some("{}".to_owned()),
            ..Event::new(PROVIDER, EVENT, json)
        }
    }
}
