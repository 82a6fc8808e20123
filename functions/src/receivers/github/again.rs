//! Runs a build again that somebody asks for where GitHub shows it.
//!
//! It is the same event of the same revision, and a build of its own. GitHub says that it was asked
//! for by somebody who may write to the repository.

use bytes::Bytes;
use runtime::build::Build;
use runtime::event::Event;
use runtime::project::Project;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::checks::{Completed, complete};
use super::translation::{Again, Need, Translated};
use crate::answer::Answer;
use crate::app::App;
use crate::filter::Seen;
use crate::rejection::Rejection;

/// What is said to who asks for a build to be run again; nothing if there is none in this project.
pub(super) async fn run(
    app: &App,
    deadline: Instant,
    project: &Project,
    again: Again,
) -> Result<Option<Answer>, Rejection> {
    let cluster = app.cluster.with_deadline(deadline);
    let Some(build) = cluster.build(&project.namespace, again.build).await? else {
        return Ok(None);
    };
    if build.project != project.id {
        return Ok(None);
    }
    let Build { id, event, .. } = build;
    let event = Event { identity: again.identity, time: again.time, ..event };
    // A token that was put into the payload has ended.
    let (event, need) = match unwrapped(&event) {
        Some(payload) => (Event { payload, ..event }, Need::Token { pull: None }),
        None => (event, Need::Nothing),
    };
    let installation = again.installation;
    let translated = Translated { event, seen: Seen::default(), need, installation };
    let Completed { event, note } = complete(app, deadline, project, translated).await?;
    let notes = [Some(format!("the build {id} is run again")), note];
    let note = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    super::make(app, deadline, project, vec![event], Some(note)).await.map(Some)
}

/// The body that a payload was wrapped around with a token.
fn unwrapped(event: &Event) -> Option<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wrapped<'a> {
        #[serde(rename = "token")]
        _token: String,
        #[serde(rename = "tokenExpires")]
        _expires: String,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let family = event.kind.split(':').next().unwrap_or_default();
    let is_wrapped = matches!(family, "check_run" | "check_suite" | "issue_comment");
    let payload = (is_wrapped && event.provider == "github").then_some(&event.payload)?;
    let wrapped: Wrapped<'_> = serde_json::from_slice(payload).ok()?;
    Some(payload.slice_ref(wrapped.body.get().as_bytes()))
}
