//! A program that is told of builds, for tests, and the deaths of those who tell it.

use std::future::pending;
use std::sync::{Arc, Mutex};

use apiserver::Server;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::any;
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

/// Takes what is posted to it.
#[derive(Clone)]
pub(crate) struct Sink {
    address: String,
    taken: Arc<Mutex<Vec<Value>>>,
    /// What it answers instead of taking something.
    refusal: Arc<Mutex<Option<StatusCode>>>,
    /// The death of who posts.
    death: Arc<Mutex<Option<Death>>>,
}

impl Sink {
    pub(crate) async fn new() -> Sink {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Sink {
            address: format!("http://{}", listener.local_addr().unwrap()),
            taken: Arc::default(),
            refusal: Arc::default(),
            death: Arc::default(),
        };
        let router = Router::new().fallback(any(take)).with_state(sink.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        sink
    }

    /// The types of the events that were taken, in their order.
    pub(crate) fn types(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        let kind = |event: &Value| {
            let kind = event["type"].as_str().unwrap_or_default();
            kind.strip_prefix("dev.brigantine.").unwrap_or(kind).to_owned()
        };
        taken.iter().map(kind).collect()
    }

    /// The builds that were told of, with the types of the events.
    pub(crate) fn taken(&self) -> Vec<(String, String)> {
        let build = |event: &Value| event["data"]["build"].as_str().unwrap().to_owned();
        let builds: Vec<String> = self.taken.lock().unwrap().iter().map(build).collect();
        builds.into_iter().zip(self.types()).collect()
    }

    /// Answers so from now on, or takes what is posted.
    pub(crate) fn refuse(&self, refusal: Option<StatusCode>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// Has who posts die.
    pub(crate) fn die(&self, death: Option<Death>) {
        *self.death.lock().unwrap() = death;
    }

    pub(crate) fn last(&self) -> Value {
        self.taken.lock().unwrap().last().cloned().unwrap()
    }

    /// The values of a project that has a webhook here, with these other keys.
    pub(crate) fn values(&self, keys: &str) -> String {
        let url = &self.address;
        format!("notifiers: [{{kind: webhook, settings: {{WEBHOOK_URL: '{url}'}}{keys}}}]")
    }
}

async fn take(State(sink): State<Sink>, body: String) -> (StatusCode, &'static str) {
    if let Some(refusal) = *sink.refusal.lock().unwrap() {
        return (refusal, "no");
    }
    let death = sink.death.lock().unwrap().clone();
    let taking = async { sink.taken.lock().unwrap().push(serde_json::from_str(&body).unwrap()) };
    match death {
        Some(death) => death.call(taking).await,
        None => taking.await,
    }
    (StatusCode::OK, "ok")
}

/// A worker's death: at the call after so many others, which is carried out or is not.
#[derive(Clone)]
pub(crate) struct Death {
    left: Arc<Mutex<usize>>,
    carried_out: bool,
    comes: Arc<Notify>,
}

impl Death {
    pub(crate) fn new(after: usize, carried_out: bool) -> Death {
        Death { left: Arc::new(Mutex::new(after)), carried_out, comes: Arc::default() }
    }

    /// Waits for it.
    pub(crate) async fn came(&self) {
        self.comes.notified().await;
    }

    /// Makes a call of the worker, if it still lives.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let comes = {
            let mut left = self.left.lock().unwrap();
            let comes = *left == 0;
            *left = left.saturating_sub(1);
            comes
        };
        if comes && !self.carried_out {
            self.comes.notify_one();
            pending::<()>().await;
        }
        let answer = call.await;
        if comes {
            self.comes.notify_one();
            pending::<()>().await;
        }
        answer
    }

    pub(crate) fn client(&self, server: &Server) -> kube::Client {
        let (death, router) = (self.clone(), server.router());
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (death, router) = (death.clone(), router.clone());
            async move { death.call(router.oneshot(request.map(Body::new))).await }
        });
        kube::Client::new(service, "default")
    }
}
