//! Tokens that prove to a cluster who asks, and are renewed before they end.

use std::sync::Arc;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::ConnectError;
use super::once::{Once, Worth};
use super::source::Source;

/// For how long before its end a token is not shown any more: it must arrive before that.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// For how long before its end it is renewed, at most.
const EARLY: SignedDuration = SignedDuration::from_mins(5);

/// A token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    text: SecretString,
    header: HeaderValue,
    begins: Timestamp,
    ends: Timestamp,
}

/// Where tokens are from, and the one that is shown now.
pub(super) struct Tokens {
    source: Arc<Source>,
    now: Once<Token>,
}

impl Token {
    /// A token that is good until then.
    pub(super) fn new(text: &str, ends: Timestamp) -> Option<Token> {
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Token { text: text.into(), header, begins: Timestamp::now(), ends })
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }

    /// What it is worth at a moment.
    fn worth(&self, now: Timestamp) -> Worth {
        let left = now.duration_until(self.ends);
        let early = EARLY.min(self.begins.duration_until(self.ends) / 4);
        match () {
            () if left <= LATE => Worth::Nothing,
            () if left <= early => Worth::Old,
            () => Worth::Good,
        }
    }
}

impl Tokens {
    pub(super) fn new(source: Source) -> Tokens {
        Tokens { source: Arc::new(source), now: Once::default() }
    }

    /// A token that is good now.
    pub(super) async fn get(&self) -> Result<Token, Arc<ConnectError>> {
        let source = self.source.clone();
        let make = async move || {
            let made = source.token().await;
            if let Err(error) = &made {
                // Whoever has an old one that is still good is not told otherwise.
                tracing::debug!(%error, "there is no new token for the cluster");
            }
            made
        };
        self.now.get(|token| token.worth(Timestamp::now()), make).await
    }

    /// Shows this token no more.
    pub(super) fn forget(&self, token: &Token) {
        self.now.forget(|other| other.text() == token.text());
    }
}

#[test]
fn a_token_is_renewed_before_it_ends_and_not_shown_when_it_is_about_to() {
    let now = Timestamp::now();
    let token = |minutes: i64| Token::new("t", now + SignedDuration::from_mins(minutes)).unwrap();
    let after = |minutes: i64| now + SignedDuration::from_mins(minutes);
    assert_eq!(token(60).worth(after(54)), Worth::Good);
    assert_eq!(token(60).worth(after(56)), Worth::Old);
    assert_eq!(token(60).worth(after(60)), Worth::Nothing);
    // One of EKS lives for 14 minutes, and is good for the first ten.
    assert_eq!(token(14).worth(after(10)), Worth::Good);
    assert_eq!(token(14).worth(after(11)), Worth::Old);
    assert_eq!(token(0).worth(now), Worth::Nothing);
    for text in ["", "a b", "a\nb", "é"] {
        assert!(Token::new(text, now).is_none(), "{text:?}");
    }
    assert!(!format!("{:?}", Token::new("s3cret", now)).contains("s3cret"));
}
