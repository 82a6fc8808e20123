//! What is logged while a test runs.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

use super::*;

/// The lines of the requests whose ids [`listen`] gave, on whatever thread they were logged.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What the ids of these requests begin with.
const MARK: &str = "heard-";

/// Writes those lines of the log that are listened to.
struct Log;

impl Write for Log {
    /// A line is written at once.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains(MARK) {
            LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has a request's log lines kept; another name keeps them apart from those of others.
pub(super) fn listen(request: &mut Request<Body>, name: &str) {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // For all threads, and everything that anybody says.
        let lines = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(lines).unwrap();
    });
    request.headers_mut().insert("x-request-id", format!("{MARK}{name}").parse().unwrap());
}

/// The lines of the request of this name; they are forgotten here.
pub(super) fn lines(name: &str) -> Vec<String> {
    let id = format!("\"{MARK}{name}\"");
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let (found, others) = lines.drain(..).partition(|line| line.contains(&id));
    *lines = others;
    found
}

/// The lines of this request that say what became of it.
pub(super) fn told(lines: &[String]) -> Vec<Value> {
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["outcome"].is_string()).collect()
}
