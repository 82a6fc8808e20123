//! `GET` of a collection with `watch=true`: what changes, as a stream of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::{HeaderValue, header};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::list::{Selection, too_large};
use crate::api::{Call, Target, View};
use crate::failure::{Failure, FieldError};
use crate::server::Shared;
use crate::store::{Change, Object, Store};

/// How often a client that wants bookmarks gets one when nothing else happens.
const BOOKMARK: Duration = Duration::from_secs(55);

/// How long a watch lasts when the client does not say.
const LONGEST: Duration = Duration::from_secs(40 * 60);

pub(crate) fn watch(
    shared: &Arc<Shared>,
    target: &Target,
    call: &Call,
) -> Result<Response, Failure> {
    let view = View::of(call, &target.resource, false)?;
    let mut target = target.clone();
    let name = target.name.take();
    let selection = Selection::of(&target.resource, call)?;
    let timeout = call.query.number("timeoutSeconds")?;
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let initial = call.query.get("sendInitialEvents").map(|_| call.query.flag("sendInitialEvents"));
    initial_rules(initial, call.query.get("resourceVersionMatch").unwrap_or_default())?;
    let version = call.query.get("resourceVersion").unwrap_or_default();
    let since: u64 = match version {
        "" => 0,
        text => text.parse().map_err(|_| {
            Failure::internal(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?,
    };
    let news = shared.store.subscribe(&target.resource.storage);
    let current = shared.store.revision();
    if since > current {
        return Err(too_large(&target.resource, since, current));
    }
    let mut watcher = Watcher {
        shared: Arc::clone(shared),
        view,
        name,
        selection,
        since,
        news,
        drops: shared.faults.watch_drops(),
        stop: shared.stop.clone(),
        ended: call.ended.clone(),
        changed: target
            .resource
            .custom
            .as_ref()
            .map_or_else(CancellationToken::new, |custom| custom.ended.clone()),
        last: false,
        deadline: Instant::now()
            + timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST)),
        bookmarks,
        over: false,
        first: None,
        columns_sent: false,
        target,
    };
    watcher.drops.mark_unchanged();
    if initial == Some(true) || (initial.is_none() && since == 0) {
        watcher.first = Some(watcher.existing(initial == Some(true)));
    }
    let frames = stream::unfold(watcher, |mut watcher| async move {
        let frame = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), watcher))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

fn initial_rules(initial: Option<bool>, matching: &str) -> Result<(), Failure> {
    let mut errors = Vec::new();
    match initial {
        None if !matching.is_empty() => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        Some(_) if matching != "NotOlderThan" => {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
            if !matching.is_empty() {
                errors.push(FieldError::unsupported(
                    "resourceVersionMatch",
                    &json!(matching),
                    &["NotOlderThan"],
                ));
            }
        }
        _ => {}
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid_kind("meta.k8s.io", "ListOptions", "", &errors))
}

/// One open watch.
struct Watcher {
    shared: Arc<Shared>,
    view: View,
    target: Target,
    name: Option<String>,
    selection: Selection,
    /// The version up to which the client knows everything.
    since: u64,
    news: watch::Receiver<u64>,
    drops: watch::Receiver<u64>,
    stop: CancellationToken,
    ended: CancellationToken,
    /// Ends it when the definition of a custom resource changes or goes.
    changed: CancellationToken,
    /// Whether it ends when what is known has been sent.
    last: bool,
    deadline: Instant,
    bookmarks: bool,
    over: bool,
    /// What exists already, to be sent first.
    first: Option<Bytes>,
    /// Only the first row of a table carries its columns.
    columns_sent: bool,
}

impl Watcher {
    fn store(&self) -> &Store {
        &self.shared.store
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let bookmark = Instant::now() + BOOKMARK;
        while !self.over {
            self.news.mark_unchanged();
            match self.store().changes(&self.target.resource.storage, self.since) {
                Err(expired) => {
                    self.over = true;
                    let failure = Failure::expired(format!(
                        "too old resource version: {} ({})",
                        self.since, expired.0
                    ));
                    let mut frame = BytesMut::new();
                    event(&mut frame, "ERROR", failure.status().to_string().as_bytes());
                    return Some(frame.freeze());
                }
                Ok((revision, changes)) => {
                    self.since = self.since.max(revision);
                    let mut frames: Vec<Bytes> = Vec::new();
                    for change in &changes {
                        frames.extend(self.encode(change));
                    }
                    match frames.len() {
                        0 => {}
                        1 => return frames.pop(),
                        _ => return Some(Bytes::from(frames.concat())),
                    }
                }
            }
            let until = if self.bookmarks { bookmark.min(self.deadline) } else { self.deadline };
            tokio::select! {
                changed = self.news.changed() => self.over = changed.is_err(),
                _ = self.drops.changed() => self.over = true,
                () = self.stop.cancelled() => self.over = true,
                () = self.ended.cancelled() => self.over = true,
                () = self.changed.cancelled() => {
                    self.over = self.last;
                    self.last = true;
                }
                () = tokio::time::sleep_until(until) => {
                    if until >= self.deadline {
                        self.over = true;
                    } else {
                        let mut frame = BytesMut::new();
                        self.bookmark(&mut frame, false);
                        return Some(frame.freeze());
                    }
                }
            }
        }
        None
    }

    /// What exists now, as ADDED, and the bookmark that ends it where the client asked for it.
    fn existing(&mut self, marked: bool) -> Bytes {
        let (revision, objects) =
            self.store().list(&self.target.resource.storage, self.target.namespace.as_deref());
        self.since = revision;
        let mut frame = BytesMut::new();
        for object in objects.iter().filter(|object| self.selects(object)).collect::<Vec<_>>() {
            self.push(&mut frame, "ADDED", object);
        }
        if marked && self.bookmarks {
            self.bookmark(&mut frame, true);
        }
        frame.freeze()
    }

    fn selects(&self, object: &Object) -> bool {
        let target = &self.target;
        target.namespace.as_deref().is_none_or(|one| crate::object::namespace(&object.value) == one)
            && self.name.as_deref().is_none_or(|one| crate::object::name(&object.value) == one)
            && self.selection.matches(&target.resource, &object.value)
    }

    /// The change as this watch sends it; nothing if it is not to be seen here.
    fn encode(&mut self, change: &Change) -> Option<Bytes> {
        if self.target.namespace.as_ref().is_some_and(|one| *one != change.key.namespace) {
            return None;
        }
        let before = change.old.as_ref().is_some_and(|old| self.selects(old));
        let after = !change.deleted && self.selects(&change.new);
        let kind = match (before, after) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        if kind == change.kind() && self.view.is_common(&self.target.resource) {
            let make = || self.frame(kind, &change.new, false);
            return Some(change.frame.get_or_init(make).clone());
        }
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        let frame = match &change.old {
            // What leaves the selection is sent as it was, at the version of the change.
            Some(old) if !change.deleted && kind == "DELETED" => {
                let mut value = old.value.clone();
                crate::object::metadata_mut(&mut value)
                    .insert("resourceVersion".into(), json!(change.revision.to_string()));
                self.frame(kind, &Object::new(value, change.revision), columns)
            }
            _ => self.frame(kind, &change.new, columns),
        };
        Some(frame)
    }

    fn frame(&self, kind: &str, object: &Object, columns: bool) -> Bytes {
        let body = self.view.event(&self.target.resource, object, columns);
        let mut frame = BytesMut::with_capacity(body.len() + 40);
        event(&mut frame, kind, &body);
        frame.freeze()
    }

    fn push(&mut self, frame: &mut BytesMut, kind: &str, object: &Object) {
        let body = self.view.event(&self.target.resource, object, !self.columns_sent);
        self.columns_sent = true;
        event(frame, kind, &body);
    }

    fn bookmark(&mut self, frame: &mut BytesMut, end: bool) {
        let mut metadata = json!({"resourceVersion": self.since.to_string()});
        if end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let body = self.view.bookmark(&self.target.resource, &metadata, !self.columns_sent);
        self.columns_sent = true;
        event(frame, "BOOKMARK", &body);
    }
}

fn event(frame: &mut BytesMut, kind: &str, object: &[u8]) {
    frame.put_slice(b"{\"type\":\"");
    frame.put_slice(kind.as_bytes());
    frame.put_slice(b"\",\"object\":");
    frame.put_slice(object);
    frame.put_slice(b"}\n");
}
