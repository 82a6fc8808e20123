//! What an outbox is to those who do not send over HTTP: where messages may go, and when again.

use std::net::SocketAddr;

use reqwest::dns::Resolve;
use tokio::time::Instant;

use super::guard::{Forbidden, Guard};
use super::{Outbox, guard, wait};

/// Why a host has no address that messages may go to.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// It may not be told.
    Forbidden(String),
    /// Its name is not known, as it seems.
    Unknown(String),
}

impl Outbox {
    /// Whether the operator allows a host, whatever its address is.
    pub(crate) fn allows(&self, host: &str, port: u16) -> bool {
        let target = guard::target(&url(host, port), &self.options().allowed_hosts);
        target.is_ok_and(|target| target.is_open)
    }

    /// The addresses of a host: only those that messages may go to.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Unreached> {
        let forbidden = |why: Forbidden| Unreached::Forbidden(why.to_string());
        let target = guard::target(&url(host, port), &self.options().allowed_hosts);
        if target.map_err(forbidden)?.is_open {
            return self.relays(host, port).await;
        }
        let Ok(name) = host.parse() else { return Err(forbidden(Forbidden::Unread)) };
        // An address that is one already was looked at.
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        match Guard(self.shared.names.clone()).resolve(name).await {
            Ok(found) => Ok(found.map(|found| SocketAddr::new(found.ip(), port)).collect()),
            Err(error) => Err(match error.downcast_ref::<Forbidden>() {
                Some(why) => Unreached::Forbidden(why.to_string()),
                None => unknown(&error),
            }),
        }
    }

    /// The addresses of a host that the operator has named.
    pub(crate) async fn relays(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, port)).await;
        found.map(Iterator::collect).map_err(|error| unknown(&error))
    }

    /// Waits until the next attempt; false if there is no time left for it.
    pub(crate) async fn waits(&self, attempts: u32, until: Instant) -> bool {
        let wait = wait::before_next(attempts, None);
        if wait >= until.saturating_duration_since(Instant::now()) {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "this is the wait between two attempts")]
        tokio::time::sleep(wait).await;
        true
    }
}

fn unknown(error: &dyn std::fmt::Display) -> Unreached {
    Unreached::Unknown(crate::text::line(&format!("its name has no address: {error}"), 200))
}

/// A host as the guard reads it. It is told by another protocol, and looked at in the same way.
fn url(host: &str, port: u16) -> String {
    format!("https://{host}:{port}/")
}
