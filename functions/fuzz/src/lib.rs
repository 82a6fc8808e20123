#![doc = include_str!("../README.md")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Options, Server};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use functions::fuzzing::{PROJECT, SECRET};
use functions::{App, Function, Workers, router};
use pipeline::script::Repository;
use runtime::cluster::Cluster;
use runtime::project::values;
use runtime::settings::{Inline, Settings};
use runtime::signature;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// After how many deliveries the cluster is made anew, so that what it holds stays small.
const FRESH: u32 = 1000;

/// A cluster in memory, and all functions before it.
struct World {
    runtime: Runtime,
    router: Router,
    sent: u32,
}

impl World {
    fn new() -> World {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let cluster = runtime.block_on(async {
            let server = Server::new(Options::default()).expect("a cluster");
            let cluster = Cluster::new(server.client(), "default");
            cluster.create_service_account("default", "brigade-worker").await.expect("an account");
            let yaml = format!(
                "project: {PROJECT}\nsharedSecret: {SECRET}\ngenericGatewaySecret: {SECRET}\n\
                 secrets: {{eventGridToken: {SECRET}, SLACK_WEBHOOK: x, TEAMS_WEBHOOK: x, \
                 GITHUB_TOKEN: x, WEBHOOK_URL: x, SMTP_URL: x, EMAIL_FROM: x, EMAIL_TO: x}}\n\
                 notifiers: [{{kind: github, on: []}}]\n\
                 kubernetes: {{eventFilters: [{{action: accept}}]}}\n"
            );
            let (project, _warnings) = values::read(&yaml, "default").expect("a project");
            cluster.put_project(&project).await.expect("a project");
            cluster
        });
        let app = App {
            cluster,
            settings: Arc::new(Settings {
                inline: Inline::Never,
                registry_allow_unsigned: true,
                request_budget: Duration::from_secs(60),
                ..Settings::default()
            }),
            repository: Arc::new(Repository::Ignore),
            workers: Workers::Pods,
        };
        World { runtime, router: router(app, Function::ALL), sent: 0 }
    }
}

/// Sends a request to all functions. The cluster is well, so whatever is 5xx is a defect of ours.
pub fn send(request: Request<Body>) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_some_and(|world| world.sent >= FRESH) {
            *world = None;
        }
        let world = world.get_or_insert_with(World::new);
        world.sent += 1;
        let router = world.router.clone();
        world.runtime.block_on(async {
            let response = router.oneshot(request).await.expect("a router answers");
            let status = response.status();
            let body = to_bytes(response.into_body(), usize::MAX).await.expect("the answer's body");
            assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&body));
        });
    });
}

/// A request as it is recorded: a line with method and path, headers, an empty line, the body.
/// Its placeholders are filled in, so that what is changed in the body is signed anew.
pub fn request(recorded: &[u8]) -> Option<Request<Body>> {
    let end = recorded.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&recorded[..end], &recorded[end + 2..]);
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let mut lines = head.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let path = String::from_utf8_lossy(words.next()?).replace("{{token}}", "aye%20aye");
    let mut request = Request::builder().method(method).uri(path.parse::<Uri>().ok()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let mut value = line[colon + 1..].trim_ascii().to_vec();
        if value.windows(2).any(|pair| pair == b"{{") {
            let text = String::from_utf8_lossy(&value);
            let signature = signature::sign_github(SECRET, body);
            let token = "{{secrets.eventGridToken}}";
            let text = text.replace("{{signature}}", &signature).replace(token, SECRET);
            value = text.replace("{{token}}", SECRET).into();
        }
        request = request.header(name, HeaderValue::from_bytes(&value).ok()?);
    }
    request.body(Body::from(body.to_vec())).ok()
}
