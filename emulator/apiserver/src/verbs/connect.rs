//! `exec`, `attach` and `portforward` of a pod: the connection becomes a client's stream.

use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use http::header;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::log;
use crate::api::{Call, Target, typed};
use crate::failure::Failure;
use crate::object;
use crate::server::Shared;
use crate::store::Key;
use crate::streams::forward::{self, Forward};
use crate::streams::{self, Attachment, Output, Wanted, spdy, websocket};

const UNKNOWN: &str = "unable to upgrade: neither WebSocket nor SPDY/3.1 is asked for";

pub(crate) fn connect(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let key = target.key();
    let pod = shared
        .store
        .get(&target.resource.storage, &key)
        .ok_or_else(|| Failure::not_found(&target.resource, &key.name))?;
    let pod = &pod.value;
    let container = match target.subresource.as_str() {
        "portforward" => "",
        _ => log::container(pod, call.query.get("container").unwrap_or_default())?,
    };
    let node = object::text(pod, &["spec", "nodeName"]);
    if node.is_empty() {
        return Err(Failure::bad_request(format!(
            "pod {} does not have a host assigned",
            key.name
        )));
    }
    if shared.store.get("nodes", &Key::new(String::new(), node.to_owned())).is_none() {
        return Err(Failure::not_found(&target.resource, node));
    }
    if !is_upgrade(call) {
        return Err(Failure::bad_request("Upgrade request required"));
    }
    let upgrade = call.upgrade.clone().ok_or_else(|| {
        Failure::bad_request(
            "a client in the server's own process has no connection to upgrade: connect to its listener",
        )
    })?;
    let session = Session { shared, call, pod, upgrade };
    match target.subresource.as_str() {
        "exec" | "attach" => session.remote(container, target.subresource == "exec"),
        _ => session.forward(),
    }
}

fn is_upgrade(call: &Call) -> bool {
    let lines = call.headers.get_all(header::CONNECTION).iter();
    let words = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    words.into_iter().any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

/// A request for a stream that may have one.
struct Session<'a> {
    shared: &'a Shared,
    call: &'a Call,
    pod: &'a Value,
    upgrade: OnUpgrade,
}

impl Session<'_> {
    fn remote(self, container: &str, exec: bool) -> Result<Response, Failure> {
        let wanted = wanted(self.call);
        if !(wanted.stdin || wanted.stdout || wanted.stderr) {
            return Ok(refused(400, "you must specify at least 1 of stdin, stdout, stderr"));
        }
        let entrance = self.shared.streams.find(object::uid(self.pod), container);
        let command: Vec<String> = self.call.query.all("command").map(str::to_owned).collect();
        let start = entrance
            .map(|entrance| {
                move || match exec {
                    true => entrance.exec(command, wanted),
                    false => entrance.attach(wanted),
                }
            })
            .ok_or_else(|| format!("container not found ({container:?})"));
        let headers = &self.call.headers;
        if spdy::is_asked(headers) {
            let protocol = match spdy::negotiate(headers, spdy::remote::PROTOCOLS) {
                Ok(protocol) => protocol,
                Err(why) => return Ok(refused(403, &why)),
            };
            let start = match start {
                Ok(start) => start,
                Err(why) => return Ok(refused(500, &why)),
            };
            self.begin(move |upgraded| spdy::remote::serve(upgraded, protocol, wanted, start));
            return Ok(spdy::accept(protocol));
        }
        if !websocket::is_asked(headers) {
            return Ok(refused(400, UNKNOWN));
        }
        let protocol = match websocket::negotiate(headers, websocket::REMOTE) {
            Ok(protocol) => protocol,
            Err(why) => return Ok(refused(403, &why)),
        };
        let response = match websocket::accept(headers, protocol.name) {
            Ok(response) => response,
            Err(why) => return Ok(refused(400, why)),
        };
        let failure = match &start {
            // With the newest protocol the API server has accepted before it asks the kubelet.
            Err(why) if protocol.close => format!("unable to upgrade connection: {why}"),
            Err(why) => return Ok(refused(500, why)),
            Ok(_) => String::new(),
        };
        self.begin(move |upgraded| async move {
            let attachment = match start {
                Ok(start) => start(),
                Err(_) => failed(failure),
            };
            let socket = websocket::open(upgraded).await;
            websocket::serve(socket, protocol, wanted, attachment).await;
        });
        Ok(response)
    }

    fn forward(self) -> Result<Response, Failure> {
        let (name, uid) = (object::name(self.pod), object::uid(self.pod));
        let Some(entrance) = self.shared.streams.any(uid) else {
            return Ok(refused(500, &format!("pod not found ({name:?})")));
        };
        let forward = Forward { entrance, pod: name.to_owned(), uid: uid.to_owned() };
        let headers = &self.call.headers;
        if spdy::is_asked(headers) {
            let protocol = match spdy::negotiate(headers, &[spdy::forward::PROTOCOL]) {
                Ok(protocol) => protocol,
                Err(why) => return Ok(refused(403, &why)),
            };
            self.begin(move |upgraded| spdy::forward::serve(TokioIo::new(upgraded), forward));
            return Ok(spdy::accept(protocol));
        }
        if !websocket::is_asked(headers) {
            return Ok(refused(400, UNKNOWN));
        }
        if websocket::offered(headers).contains(&forward::TUNNEL) {
            let response = match websocket::accept(headers, forward::TUNNEL) {
                Ok(response) => response,
                Err(why) => return Ok(refused(400, why)),
            };
            self.begin(move |upgraded| async move {
                forward::tunnel(websocket::open(upgraded).await, forward).await;
            });
            return Ok(response);
        }
        let ports = match forward::parse_ports(self.call.query.all("ports")) {
            Ok(ports) => ports,
            Err(why) => return Ok(refused(400, &why)),
        };
        let protocol = match websocket::negotiate(headers, websocket::FORWARD) {
            Ok(protocol) => protocol,
            Err(why) => return Ok(refused(403, &why)),
        };
        let response = match websocket::accept(headers, protocol.name) {
            Ok(response) => response,
            Err(why) => return Ok(refused(400, why)),
        };
        self.begin(move |upgraded| async move {
            forward::serve(websocket::open(upgraded).await, protocol, ports, forward).await;
        });
        Ok(response)
    }

    /// Runs a session once the client has the answer; it ends with the server.
    fn begin<F, S>(self, session: F)
    where
        F: FnOnce(Upgraded) -> S + Send + 'static,
        S: Future<Output = ()> + Send,
    {
        let (upgrade, ended) = (self.upgrade, self.call.ended.clone());
        let stopped = self.shared.stop.clone();
        tokio::spawn(async move {
            let run = async {
                match upgrade.await {
                    Ok(upgraded) => session(upgraded).await,
                    Err(error) => tracing::debug!(%error, "a client went before its stream began"),
                }
            };
            tokio::select! {
                () = run => {}
                () = ended.cancelled() => {}
                () = stopped.cancelled() => {}
            }
        });
    }
}

/// An attachment that says only why there is none.
fn failed(why: String) -> Attachment {
    let (attachment, served) = streams::attachment();
    // A new channel has room.
    let _ = served.output.try_send(Output::Exit(Err(why)));
    attachment
}

/// The streams that a client asks for; outputs come unless they are declined.
fn wanted(call: &Call) -> Wanted {
    let output = |name: &str| call.query.get(name).is_none() || call.query.flag(name);
    let tty = call.query.flag("tty");
    Wanted {
        stdin: call.query.flag("stdin"),
        stdout: output("stdout"),
        // A terminal has one output.
        stderr: output("stderr") && !tty,
        tty,
    }
}

/// An answer of the kubelet, which the API server hands on: plain text.
fn refused(code: u16, why: &str) -> Response<Body> {
    typed(code, "text/plain; charset=utf-8", format!("{why}\n"))
}
