//! Into running containers: `exec`, `attach` and `port-forward`.
//!
//! A kubelet offers a way into each container that runs; the API server finds it here and speaks a
//! client's protocol on the other side. Both hold the same [`Streams`], as they hold the same logs.

pub(crate) mod forward;
pub(crate) mod remote;
pub(crate) mod spdy;
pub(crate) mod websocket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::kubelet::stream::Entrance;

/// Pieces of data that wait on their way in either direction; whoever has more waits himself.
pub(crate) const WAITING: usize = 8;

/// The ways into the running containers of a node.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    doors: Arc<Mutex<HashMap<Place, Door>>>,
    count: Arc<AtomicU64>,
}

/// A pod's uid and a container's name.
type Place = (String, String);

#[derive(Debug)]
struct Door {
    /// Tells the runs of a container apart.
    number: u64,
    entrance: Entrance,
}

/// A way in, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Offered {
    streams: Streams,
    place: Place,
    number: u64,
}

impl Streams {
    /// Offers a way into a container that runs.
    pub(crate) fn offer(&self, pod: &str, container: &str, entrance: Entrance) -> Offered {
        let place = (pod.to_owned(), container.to_owned());
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.doors().insert(place.clone(), Door { number, entrance });
        Offered { streams: self.clone(), place, number }
    }

    /// The way into a container, if it runs.
    pub(crate) fn find(&self, pod: &str, container: &str) -> Option<Entrance> {
        let place = (pod.to_owned(), container.to_owned());
        self.doors().get(&place).map(|door| door.entrance.clone())
    }

    /// The way into any container of a pod: all share its network.
    pub(crate) fn any(&self, pod: &str) -> Option<Entrance> {
        let doors = self.doors();
        let door = doors.iter().find(|((uid, _), _)| uid == pod);
        door.map(|(_, door)| door.entrance.clone())
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let mut doors = self.streams.doors();
        if doors.get(&self.place).is_some_and(|door| door.number == self.number) {
            doors.remove(&self.place);
        }
    }
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Size {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// What goes to a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Data(Bytes),
    /// There is no more input.
    End,
    Resize(Size),
}

/// What comes from a process; after the exit there is nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    /// The exit code, or why there is none.
    Exit(Result<i32, String>),
}

/// A process of a container, as a client sees it. What was started for it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) input: mpsc::Sender<Input>,
    pub(crate) output: mpsc::Receiver<Output>,
}

/// The side of an [`Attachment`] that a runtime serves.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) input: mpsc::Receiver<Input>,
    pub(crate) output: mpsc::Sender<Output>,
}

/// Both sides of a new attachment.
pub(crate) fn attachment() -> (Attachment, Served) {
    let (input, received) = mpsc::channel(WAITING);
    let (sender, output) = mpsc::channel(WAITING);
    (Attachment { input, output }, Served { input: received, output: sender })
}
