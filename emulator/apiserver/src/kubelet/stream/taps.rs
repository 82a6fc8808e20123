//! Copies of a container's output for the clients that are attached to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

/// What may wait for one client; one that is slower is let go, for the container does not wait.
const LIMIT: usize = 4 * 1024 * 1024;

/// The clients that are attached to one container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taps {
    list: Arc<Mutex<List>>,
}

#[derive(Debug, Default)]
struct List {
    open: Vec<Tap>,
    /// The container says nothing any more.
    closed: bool,
}

#[derive(Debug)]
struct Tap {
    sender: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// One client's copy.
#[derive(Debug)]
pub(crate) struct Tapped {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Taps {
    /// Everything that is said from now on.
    pub(crate) fn open(&self) -> Tapped {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut list = self.list();
        if !list.closed {
            list.open.push(Tap { sender, waiting: waiting.clone() });
        }
        Tapped { receiver, waiting }
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut list = self.list();
        if list.open.is_empty() || bytes.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        list.open.retain(|tap| {
            let waiting = tap.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            waiting + bytes.len() <= LIMIT && tap.sender.send(bytes.clone()).is_ok()
        });
    }

    /// The container has said its last.
    pub(crate) fn close(&self) {
        let mut list = self.list();
        list.closed = true;
        list.open.clear();
    }

    fn list(&self) -> std::sync::MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tapped {
    /// `None` when the container has ended, or this client was too slow.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.receiver.recv().await?;
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }

    /// Whether the end was this client's own slowness.
    pub(crate) fn is_overrun(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}
