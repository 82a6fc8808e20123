//! An environment: one process of the program, with a Runtime API of its own.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Failure, Options, PAYLOAD};

/// The function's name.
pub(super) const NAME: &str = "function";

/// Its name with the account and the region.
const ARN: &str = "arn:aws:lambda:eu-north-1:123456789012:function:function";

/// A process, stopped unless it has an invocation.
pub(super) struct Environment {
    process: Child,
    invocations: mpsc::Sender<Invocation>,
    told: mpsc::UnboundedReceiver<Told>,
    api: JoinHandle<()>,
}

/// What the process is given.
struct Invocation {
    id: String,
    event: Bytes,
    deadline: SystemTime,
}

/// What the process says.
enum Told {
    /// It asks for an invocation.
    Next,
    /// What became of the one that it has.
    Ended(Result<Bytes, Failure>),
    /// It cannot begin.
    InitError(Failure),
}

/// What the Runtime API knows of the process.
struct Api {
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    told: mpsc::UnboundedSender<Told>,
    /// The id of the invocation that it has.
    current: Mutex<Option<String>>,
    begun: Mutex<bool>,
}

impl Environment {
    /// Starts a process, and waits until it asks for its first invocation.
    pub(super) async fn start(options: &Options) -> Result<Environment, Failure> {
        let broken = |error: std::io::Error| Failure::new("Runtime.StartError", error.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
        let address = listener.local_addr().map_err(broken)?;
        let (give, given) = mpsc::channel(1);
        let (tell, told) = mpsc::unbounded_channel();
        let api = Arc::new(Api {
            invocations: tokio::sync::Mutex::new(given),
            told: tell,
            current: Mutex::default(),
            begun: Mutex::default(),
        });
        let listener = listener.tap_io(|stream| {
            let _slower_without = stream.set_nodelay(true);
        });
        let api = tokio::spawn(async move {
            let _ends_with_the_environment = axum::serve(listener, router(api)).await;
        });
        let mut command = Command::new(&options.program);
        command
            .args(&options.arguments)
            .env_clear()
            .envs(lambda(options, &address.to_string()))
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if options.log.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut process = command.spawn().map_err(broken)?;
        if let Some(log) = &options.log {
            pass_on(process.stdout.take(), log);
            pass_on(process.stderr.take(), log);
        }
        let mut environment = Environment { process, invocations: give, told, api };
        environment.begin(options.init_timeout).await?;
        environment.signal(Signal::STOP);
        Ok(environment)
    }

    /// Waits for the process to be ready.
    async fn begin(&mut self, patience: Duration) -> Result<(), Failure> {
        let begun = async {
            tokio::select! {
                biased;
                told = self.told.recv() => match told {
                    Some(Told::InitError(failure)) => {
                        let _ends = self.process.wait().await;
                        Err(failure)
                    }
                    _ => Ok(()),
                },
                status = self.process.wait() => Err(exited("the start", status)),
            }
        };
        let limit = || Failure::new("Sandbox.Timedout", "the program did not begin in time");
        tokio::time::timeout(patience, begun).await.unwrap_or_else(|_elapsed| Err(limit()))
    }

    /// Has the process answer an event, and stops it when it asks for the next one.
    pub(super) async fn invoke(
        &mut self,
        event: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        let id = Uuid::new_v4().to_string();
        let end = Instant::now() + timeout;
        self.signal(Signal::CONT);
        let invocation =
            Invocation { id: id.clone(), event, deadline: SystemTime::now() + timeout };
        if self.invocations.send(invocation).await.is_err() {
            return Err(Failure::new("Service", "the Runtime API has ended"));
        }
        let mut answer = None;
        let ended = async {
            loop {
                tokio::select! {
                    biased;
                    told = self.told.recv() => match told {
                        Some(Told::Ended(result)) => answer = Some(result),
                        Some(Told::Next) if answer.is_some() => return None,
                        Some(Told::Next | Told::InitError(_)) => {}
                        None => return Some(Failure::new("Service", "the Runtime API has ended")),
                    },
                    status = self.process.wait() => return Some(exited(&id, status)),
                }
            }
        };
        let failure = match tokio::time::timeout_at(end, ended).await {
            Ok(None) => {
                self.signal(Signal::STOP);
                None
            }
            Ok(Some(failure)) => Some(failure),
            Err(_elapsed) => {
                let _gone = self.process.kill().await;
                let seconds = timeout.as_secs_f64();
                let message =
                    format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
                Some(Failure::new("Sandbox.Timedout", message))
            }
        };
        // An answer that was posted counts, whatever became of the process after it.
        match (answer, failure) {
            (Some(answer), _) => answer,
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(Failure::new("Service", "there was no answer")),
        }
    }

    /// Whether the process has not ended.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The process's id.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(id) = id {
            let _gone_already = kill_process(id, signal);
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.api.abort();
    }
}

/// The variables that Lambda sets.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
fn lambda(options: &Options, api: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_LAMBDA_RUNTIME_API", api),
        ("AWS_LAMBDA_FUNCTION_NAME", NAME),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &options.memory.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0123456789abcdef"),
        ("AWS_REGION", "eu-north-1"),
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("_HANDLER", "bootstrap"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ("TZ", ":UTC"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn exited(id: &str, status: std::io::Result<ExitStatus>) -> Failure {
    let how = match status {
        Ok(status) if status.success() => "Runtime exited without providing a reason".to_owned(),
        Ok(status) => format!("Runtime exited with error: {status}"),
        Err(error) => error.to_string(),
    };
    Failure::new("Runtime.ExitError", format!("RequestId: {id} Error: {how}"))
}

fn pass_on(
    output: Option<impl AsyncRead + Send + Unpin + 'static>,
    log: &mpsc::UnboundedSender<String>,
) {
    let Some(output) = output else { return };
    let log = log.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if log.send(line).is_err() {
                break;
            }
        }
    });
}

/// The Runtime API.
fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(api)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    api.begun(true);
    let _nobody_waits = api.told.send(Told::Next);
    let invocation = api.invocations.lock().await.recv().await;
    let Some(Invocation { id, event, deadline }) = invocation else {
        return api_error(StatusCode::INTERNAL_SERVER_ERROR, "Service", "there will be none");
    };
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (root, parent) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    let trace = format!("Root=1-{now:08x}-{};Parent={};Sampled=1", &root[..24], &parent[..16]);
    let headers = [
        ("lambda-runtime-aws-request-id", id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", ARN.to_owned()),
        ("lambda-runtime-trace-id", trace),
        ("content-type", "application/json".to_owned()),
    ];
    *api.current() = Some(id);
    let mut response = Body::from(event).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn response(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Body) -> Response {
    if !api.takes(&id) {
        return unknown_id();
    }
    let (answer, told) = match to_bytes(body, PAYLOAD).await {
        Ok(answer) => (Ok(answer), accepted()),
        Err(_too_large) => {
            let kind = "Function.ResponseSizeTooLarge";
            let failure = Failure::too_large(kind, PAYLOAD + 1);
            (Err(failure), api_error(StatusCode::PAYLOAD_TOO_LARGE, kind, "Exceeded maximum size"))
        }
    };
    let _nobody_waits = api.told.send(Told::Ended(answer));
    told
}

async fn error(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !api.takes(&id) {
        return unknown_id();
    }
    let _nobody_waits = api.told.send(Told::Ended(Err(failure(&headers, &body))));
    accepted()
}

async fn init_error(State(api): State<Arc<Api>>, headers: HeaderMap, body: Bytes) -> Response {
    if api.begun(false) {
        let reason = "State transition from Ready to InitError failed";
        return api_error(StatusCode::FORBIDDEN, "InvalidStateTransition", reason);
    }
    let _nobody_waits = api.told.send(Told::InitError(failure(&headers, &body)));
    accepted()
}

impl Api {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the invocation that the process has, which it then has no more.
    fn takes(&self, id: &str) -> bool {
        let mut current = self.current();
        let is_it = current.as_deref() == Some(id);
        if is_it {
            *current = None;
        }
        is_it
    }

    /// Notes that the process has begun, if it has; whether it had.
    fn begun(&self, now: bool) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *begun;
        *begun |= now;
        before
    }
}

/// What the program says that went wrong.
fn failure(headers: &HeaderMap, body: &[u8]) -> Failure {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get("lambda-runtime-function-error-type");
    let header = header.and_then(|kind| kind.to_str().ok());
    let kind = said["errorType"].as_str().or(header).unwrap_or("Runtime.Unknown");
    Failure::new(kind, said["errorMessage"].as_str().unwrap_or_default())
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({"status": "OK"}))).into_response()
}

fn unknown_id() -> Response {
    api_error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn api_error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = Failure::new(kind, message).json();
    (status, axum::Json(body)).into_response()
}
