//! The clients that messages are sent by.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use super::guard::{Forbidden, Guard, Names};

/// Why a request has no answer.
pub(super) enum Failure {
    /// Its host may not be told.
    Forbidden(String),
    /// Something that may pass.
    Passing(String),
}

/// A client that speaks to public addresses only, whatever these names resolve to; without names, to
/// all.
pub(super) fn client(names: Option<Names>) -> Option<Client> {
    // Installed once for the process; a second time changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(16)
        .redirect(Policy::none());
    if let Some(names) = names {
        client = client.dns_resolver(Arc::new(Guard(names)));
    }
    match client.build() {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::error!(error = &error as &dyn Error, "there is no client for messages");
            None
        }
    }
}

/// What an error means. The address is in no word of it.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        if let Some(forbidden) = source.downcast_ref::<Forbidden>() {
            return Failure::Forbidden(forbidden.to_string());
        }
        cause = source;
    }
    if error.is_builder() {
        return Failure::Forbidden("the address or a header is none that can be sent".to_owned());
    }
    // The first words of it would name the whole address.
    let words = if error.source().is_none() {
        "the connection failed".to_owned()
    } else {
        cause.to_string()
    };
    let words = crate::text::line(&words, 200);
    Failure::Passing(if error.is_timeout() && error.is_connect() {
        "it cannot be reached in 5 s".to_owned()
    } else if error.is_connect() {
        format!("it cannot be reached: {words}")
    } else {
        words
    })
}
