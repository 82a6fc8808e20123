//! Faults on demand, for the tests of others: answer the nth matching request with an error,
//! before or after it was carried out, and drop watches.

use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use tokio::sync::watch;

/// What happens to a request that a fault was laid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The request is not carried out.
    Before,
    /// The request is carried out, but the client gets the error instead of the answer.
    After,
}

/// One fault, laid with [`Faults::lay`].
#[derive(Debug, Clone)]
pub struct Fault {
    /// The method it waits for, in capitals; empty for any.
    pub method: String,
    /// A part of the path that it waits for, for instance `/pods`; empty for any.
    pub path: String,
    /// How many matching requests pass untouched first.
    pub skip: u32,
    /// How many requests fail then.
    pub times: u32,
    /// The status of the error: 409, 429, 500, 503, 504 come as the real server words them.
    pub code: u16,
    /// Whether the request is carried out.
    pub when: When,
}

impl Fault {
    /// Fails the next request of this method (capitals) whose path contains `path`.
    pub fn next(method: &str, path: &str, code: u16) -> Self {
        Fault {
            method: method.to_owned(),
            path: path.to_owned(),
            skip: 0,
            times: 1,
            code,
            when: When::Before,
        }
    }
}

/// The faults of a server; a clone lays faults for the same server.
#[derive(Debug, Clone)]
pub struct Faults {
    laid: Arc<Mutex<Vec<Fault>>>,
    watches: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { laid: Arc::default(), watches: watch::Sender::new(0) }
    }
}

impl Faults {
    /// Lays a fault; several may wait at once, the first that matches is used.
    pub fn lay(&self, fault: Fault) {
        self.laid.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Forgets all faults.
    pub fn clear(&self) {
        self.laid.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends every watch that is open now, as a lost connection would.
    pub fn drop_watches(&self) {
        self.watches.send_modify(|generation| *generation += 1);
    }

    /// Takes the fault for a request, if one was laid.
    pub(crate) fn take(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        let index = laid.iter().position(|fault| {
            (fault.method.is_empty() || fault.method == method.as_str())
                && path.contains(&fault.path)
        })?;
        let fault = &mut laid[index];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let taken = fault.clone();
        if taken.times == 0 {
            laid.remove(index);
        }
        Some(taken)
    }

    pub(crate) fn watch_drops(&self) -> watch::Receiver<u64> {
        self.watches.subscribe()
    }
}
