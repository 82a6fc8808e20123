//! What a sender is told whose delivery was taken: what was made of it, or why nothing was.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runtime::project::Project;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::delivery::Record;
use crate::rejection::Rejection;

/// The answer to a delivery that was taken. All of them are 200, unless some of several events are
/// still to be made.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is a build, made now or before.
    Made {
        /// Brigade's word for success at this address.
        status: &'static str,
        /// What there is.
        made: Box<Made>,
    },
    /// There are several events in it, of which each was made or refused by itself.
    Several {
        /// The word for success at this address.
        status: &'static str,
        /// What became of each, in their order.
        results: Vec<Result<Made, Rejection>>,
    },
    /// There is none, and there should not be.
    Passed {
        /// Where Brigade puts its word: `status` or `message`.
        key: &'static str,
        /// Brigade's word.
        word: &'static str,
        /// The rule, and the value that it saw.
        reason: String,
        /// The name of the project, if the delivery was proved to be one's.
        project: Option<String>,
    },
}

/// What became of an event. It is kept as an annotation of the build, too.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Made {
    /// The id of the build.
    pub(crate) build: String,
    /// The name of the project.
    pub(crate) project: String,
    /// The names that the event fires, in order.
    pub(crate) events: Vec<String>,
    /// The names that the script has handlers for, if it was evaluated in the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handlers: Option<Vec<String>>,
    /// The pods of the jobs that were created, or met, before the answer.
    pub(crate) jobs: Vec<String>,
    /// Whether nobody goes on with the build, because its state is that of its jobs.
    pub(crate) detached: bool,
    /// Who goes on with the build: the name of its worker pod, or [`HERE`].
    pub(crate) worker: Option<String>,
    /// How the build ended, if it did before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    /// Whether the build was there before this delivery.
    pub(crate) duplicate: bool,
    /// The end of what the script printed, if it failed: a sender that is proved may know why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) log: Vec<String>,
    /// Why it went on, or ended, as it did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// How long an explanation may be, in bytes: all annotations of an object share 256 KiB.
const EXPLANATION: usize = 32 * 1024;

/// How many jobs an explanation names that would be too long with all of them.
const JOBS: usize = 100;

/// The worker of a build that goes on in the process that answers.
pub(crate) const HERE: &str = "this process";

impl Answer {
    /// A delivery that nobody could care about, in Brigade's words.
    pub(crate) fn ignored(reason: impl Into<String>, project: Option<&Project>) -> Answer {
        Answer::passed("message", "Ignored", reason, project)
    }

    /// A delivery of which nothing is to be built, in Brigade's words.
    pub(crate) fn passed(
        key: &'static str,
        word: &'static str,
        reason: impl Into<String>,
        project: Option<&Project>,
    ) -> Answer {
        let project = project.map(|project| project.name.clone());
        Answer::Passed { key, word, reason: reason.into(), project }
    }

    /// This answer in a sender's own form: the given response, and the same line in the log.
    pub(crate) fn saying(self, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if let Some(record) = self.into_response().extensions_mut().remove::<Record>() {
            response.extensions_mut().insert(record);
        }
        response
    }
}

impl Made {
    /// The annotation that keeps it. A script may have any number of jobs, and of handlers with
    /// names of any length; an annotation has no room for them.
    pub(crate) fn explanation(&self) -> String {
        let json = |made: &Made| {
            serde_json::to_string(made).expect("an answer is texts and lists of them")
        };
        let whole = json(self);
        if whole.len() <= EXPLANATION {
            return whole;
        }
        let jobs = self.jobs.iter().take(JOBS).cloned().collect();
        json(&Made { handlers: None, jobs, ..self.clone() })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (body, record) = match self {
            Answer::Made { status, made } => {
                let record = Record {
                    outcome: if made.duplicate { "duplicate" } else { "made" },
                    build: Some(made.build.clone()),
                    jobs: made.jobs.len(),
                    reason: made.reason.clone(),
                    ..Record::default()
                };
                let mut body = json!(made);
                body["status"] = json!(status);
                (body, record)
            }
            Answer::Several { status, results } => return several(status, results),
            Answer::Passed { key, word, reason, project } => {
                let mut body = json!({key: word, "reason": reason});
                if let Some(project) = project {
                    body["project"] = json!(project);
                }
                (body, Record { outcome: "ignored", reason, ..Record::default() })
            }
        };
        let mut response = (StatusCode::OK, Json(body)).into_response();
        response.extensions_mut().insert(record);
        response
    }
}

/// Several events are made one by one, and what is made is not made again: so the sender is told to
/// deliver again if that helps any of them, and else what became of each.
fn several(status: &'static str, results: Vec<Result<Made, Rejection>>) -> Response {
    let worst = results.iter().filter_map(|result| result.as_ref().err()).max_by_key(|rejection| {
        let code = rejection.code();
        (code == StatusCode::SERVICE_UNAVAILABLE, code.is_server_error())
    });
    let made: Vec<&Made> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    let told: Vec<Value> = results
        .iter()
        .map(|result| match result {
            Ok(made) => json!(made),
            Err(rejection) => {
                let (status, reason) = rejection.words();
                json!({"status": status, "reason": reason})
            }
        })
        .collect();
    let record = Record {
        outcome: match made.as_slice() {
            [] => "refused",
            made if made.iter().all(|made| made.duplicate) => "duplicate",
            _ => "made",
        },
        build: made.first().map(|made| made.build.clone()),
        jobs: made.iter().map(|made| made.jobs.len()).sum(),
        reason: format!("{} of {} events are builds", made.len(), results.len()),
        error: worst.and_then(Rejection::error),
        unproved: false,
    };
    let helps = worst.is_some_and(|worst| worst.code().is_server_error());
    let mut response = match worst {
        Some(worst) if helps || made.is_empty() => {
            let mut body = worst.body();
            body["builds"] = json!(told);
            worst.response(body)
        }
        _ => (StatusCode::OK, Json(json!({"status": status, "builds": told}))).into_response(),
    };
    response.extensions_mut().insert(record);
    response
}
