//! Git's own server behind HTTP, which may want a password, fail or lead elsewhere; and sshd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A file of Git LFS that every repository has, and its id.
pub(super) const LARGE: &str = "large\n";
pub(super) const LARGE_ID: &str =
    "9bfce334a37bd1bc1d36b0370195b31fe9a9389dd43d0873891a3544ef1140a1";

/// How a server treats its visitors.
#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    /// The header `Authorization` that it wants.
    pub(super) authorization: Option<String>,
    /// Whether it speaks only the old protocol, in which it gives out no single commits.
    pub(super) old: bool,
    /// How many requests it answers with 503 before it does its work.
    pub(super) failures: usize,
    /// Where it sends everybody.
    pub(super) redirect: Option<String>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The requests: method, path with query, and the header `Authorization`.
    pub(super) requests: Arc<Mutex<Vec<(String, String)>>>,
    _running: DropGuard,
}

#[derive(Clone)]
struct Backend {
    root: PathBuf,
    manners: Manners,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    /// Serves the repositories below a folder.
    pub(super) async fn new(root: &Path, manners: Manners) -> Server {
        let requests = Arc::<Mutex<Vec<(String, String)>>>::default();
        let backend = Backend { root: root.to_owned(), manners, requests: Arc::clone(&requests) };
        let router = Router::new().fallback(serve).with_state(backend);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = CancellationToken::new();
        let stop = running.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = axum::serve(listener, router) => ended.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        Server { address, requests, _running: running.drop_guard() }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What visitors gave as `Authorization`, the empty text for nothing.
    pub(super) fn given(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, given)| given.clone()).collect()
    }
}

async fn serve(State(backend): State<Backend>, request: Request) -> Response<Body> {
    let (request, body) = request.into_parts();
    let text = |name: &str| {
        let value = request.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let given = text("authorization");
    let number = {
        let mut requests = backend.requests.lock().unwrap();
        requests.push((format!("{} {}", request.method, request.uri), given.clone()));
        requests.len()
    };
    let manners = &backend.manners;
    if number <= manners.failures {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(elsewhere) = &manners.redirect {
        let there = format!("{elsewhere}{}", request.uri);
        return (StatusCode::FOUND, [(header::LOCATION, there)]).into_response();
    }
    if manners.authorization.as_ref().is_some_and(|wanted| *wanted != given) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    if let Some(answer) = lfs(&text("host"), request.uri.path()) {
        return answer;
    }
    let protocol = if manners.old { String::new() } else { text("git-protocol") };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &backend.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", protocol)
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", request.uri.path())
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"))
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"));
    let body = to_bytes(body, usize::MAX).await.unwrap();
    answer(run(command, &body).await)
}

/// What Git LFS asks for: where its file is, and the file.
fn lfs(host: &str, path: &str) -> Option<Response<Body>> {
    const JSON: [(header::HeaderName, &str); 1] =
        [(header::CONTENT_TYPE, "application/vnd.git-lfs+json")];
    let object = format!("/lfs/{LARGE_ID}");
    if path == object {
        return Some(LARGE.into_response());
    }
    path.ends_with("/info/lfs/objects/batch").then(|| {
        let size = LARGE.len();
        let batch = format!(
            r#"{{"transfer":"basic","objects":[{{"oid":"{LARGE_ID}","size":{size},"authenticated":true,
            "actions":{{"download":{{"href":"http://{host}{object}","header":{{"Authorization":"GIVEN"}}}}}}}}]}}"#
        );
        (JSON, batch.replace("GIVEN", super::GIVEN)).into_response()
    })
}

async fn run(mut command: Command, body: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It need not read all of it.
    let write = async move { input.write_all(body).await.ok() };
    let (_written, output) = tokio::join!(write, child.wait_with_output());
    output.unwrap().stdout
}

/// What a CGI program prints, as an answer.
fn answer(printed: Vec<u8>) -> Response<Body> {
    let end = printed.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(printed[..end].to_vec()).unwrap();
    let mut answer = Response::builder();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(Body::from(printed[end + 4..].to_vec())).unwrap()
}

/// An SSH server that lets one key in; each visitor is served by a process of its own.
pub(super) struct Ssh {
    pub(super) address: SocketAddr,
    _running: DropGuard,
}

impl Ssh {
    /// Serves with this configuration.
    pub(super) async fn new(sshd: PathBuf, configuration: PathBuf) -> Ssh {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = CancellationToken::new();
        let stop = running.clone();
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = stream.into_std().unwrap();
                stream.set_nonblocking(false).unwrap();
                let (input, output) = (stream.try_clone().unwrap(), stream);
                let mut child = Command::new(&sshd)
                    .args(["-i", "-e", "-f"])
                    .arg(&configuration)
                    .stdin(std::os::fd::OwnedFd::from(input))
                    .stdout(std::os::fd::OwnedFd::from(output))
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                tokio::spawn(async move { child.wait().await });
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = serve => {}
                () = stop.cancelled() => {}
            }
        });
        Ssh { address, _running: running.drop_guard() }
    }
}
