//! What the story needs besides the functions and the cluster: a registry, and those who are told.
//!
//! - `POST /registry`: an image was pushed. The registry sends the webhook that Azure Container
//!   Registry would, to the functions.
//! - `/tell/...`: what notifiers tell somebody ([`sinks`](crate::sinks)).
//!
//! Both are on an address of this machine that only stand-ins and notifiers are told.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use reqwest::Url;
use runtime::cluster::Cluster;
use runtime::project::Project;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use ulid::Ulid;

use crate::sinks::{Arrival, Sinks};

/// What happened backstage.
#[derive(Clone, Debug)]
pub enum News {
    /// An image was pushed, and its webhook was answered so.
    Pushed {
        /// The image's reference.
        image: String,
        /// Where its webhook went.
        path: String,
        /// The status of the answer.
        status: u16,
        /// The answer.
        answer: Value,
    },
    /// Somebody was told something.
    Arrived(Arrival),
    /// The functions have written a line, where they are a process of their own.
    Said(String),
}

/// The registry.
#[derive(Clone)]
pub struct Backstage {
    /// Where the functions are.
    pub functions: Url,
    /// Where pods are looked up.
    pub cluster: Cluster,
    /// The projects whose pods push images.
    pub projects: Arc<[Project]>,
    /// Who is told.
    pub news: broadcast::Sender<News>,
}

/// A push, as the stand-in for docker tells it.
#[derive(Debug, Deserialize)]
struct Push {
    registry: String,
    repository: String,
    tag: String,
    digest: String,
    user: String,
    pod: Option<String>,
}

/// The routes of the backstage.
pub fn routes(backstage: Backstage) -> Router {
    let sinks = Sinks::new(backstage.projects.clone(), backstage.news.clone());
    let registry = Router::new().route("/registry", post(registry)).with_state(backstage);
    registry.nest("/tell", sinks.routes())
}

async fn registry(
    State(backstage): State<Backstage>,
    Json(push): Json<Push>,
) -> (StatusCode, String) {
    let image = format!("{}/{}:{}", push.registry, push.repository, push.tag);
    let Some(project) = backstage.project_of(push.pod.as_deref()).await else {
        tracing::warn!(image.name = image, "an image was pushed by a pod of no project");
        return (StatusCode::OK, "no project has a webhook at this registry".to_owned());
    };
    let path = format!("/events/webhook/{}?commit=master", project.name);
    let body = acr_push(&push, Timestamp::now()).to_string();
    match backstage.deliver(&path, project, body).await {
        Ok((status, answer)) => {
            let said = format!("the registry sent its webhook, answered {status}");
            let _nobody_listens = backstage.news.send(News::Pushed { image, path, status, answer });
            (StatusCode::OK, said)
        }
        Err(error) => {
            tracing::warn!(image.name = image, error = %error, "the registry's webhook failed");
            (StatusCode::OK, "the registry's webhook found no functions".to_owned())
        }
    }
}

impl Backstage {
    /// The project whose build made this pod.
    async fn project_of(&self, pod: Option<&str>) -> Option<&Project> {
        let name = pod?;
        for project in self.projects.iter() {
            let pod = self.cluster.pod(&project.namespace, name).await.ok().flatten();
            let labels = pod.and_then(|pod| pod.metadata.labels).unwrap_or_default();
            if labels.get("project") == Some(&project.id) {
                return Some(project);
            }
        }
        None
    }

    async fn deliver(
        &self,
        path: &str,
        project: &Project,
        body: String,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = crate::replay::client()?
            .post(crate::replay::place(&self.functions, path)?)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "AzureContainerRegistry/1.0")
            .body(body);
        if let Some(token) = crate::request::token(project) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

/// The body of the webhook, as Azure Container Registry documents it.
fn acr_push(push: &Push, now: Timestamp) -> Value {
    json!({
        "id": Ulid::generate().to_string(),
        "timestamp": now.to_string(),
        "action": "push",
        "target": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 527,
            "digest": push.digest,
            "length": 527,
            "repository": push.repository,
            "tag": push.tag,
        },
        "request": {
            "id": Ulid::generate().to_string(),
            "host": push.registry,
            "method": "PUT",
            "useragent": format!("docker/stand-in user/{}", push.user),
        },
    })
}
