//! The server that takes letters, by SMTP.

use std::net::SocketAddr;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::letter::Letter;
use super::{SINK, wrong};
use crate::outbox::Unreached;
use crate::text::line;
use crate::{Outbox, TellError, Variables};

/// What an address must look like.
const ADDRESS: &str = "is no address of a server, such as smtps://user:password@mail.example.com";

/// How much longer than other sinks a mail server may take, which looks at who comes.
const SLOWNESS: u32 = 3;

/// A mail server.
pub(super) struct Server {
    host: String,
    port: u16,
    security: Security,
    user: Option<(String, SecretString)>,
    hello: ClientId,
}

/// How what is said to a server is kept from others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Security {
    /// Encrypted from the beginning.
    Tls,
    /// Encrypted before anything of worth is said.
    StartTls,
    /// As it can: whoever it is, the operator allows it.
    AsItCan,
    /// Not at all: it is the relay.
    None,
}

/// Why a letter was not taken.
enum Missed {
    /// It may be, later.
    Passing(String),
    /// It will not be.
    For(TellError),
}

impl Server {
    /// The server of `SMTP_URL`, or the relay instead.
    pub(super) fn of(variables: &Variables, outbox: &Outbox) -> Result<Server, TellError> {
        let url = variables.required("SMTP_URL")?.trim();
        let url = Url::parse(url).map_err(|_quoting| wrong("SMTP_URL", ADDRESS))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("SMTP_URL", ADDRESS))?.to_owned();
        let is_open = outbox.allows(&host, url.port().unwrap_or(25));
        let must = url.query_pairs().any(|(name, value)| name == "tls" && value == "required");
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Tls, 465),
            "smtp+starttls" => (Security::StartTls, 587),
            "smtp" if is_open && !must => (Security::AsItCan, 25),
            "smtp" => (Security::StartTls, 587),
            _ => return Err(wrong("SMTP_URL", ADDRESS)),
        };
        let port = url.port().unwrap_or(port);
        let user = user(&url, variables)?;
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::Domain("localhost".to_owned()),
            name if name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-')) => {
                ClientId::Domain(name.to_owned())
            }
            _ => return Err(wrong("SMTP_URL", "has a path that is no name to greet with")),
        };
        let server = Server { host, port, security, user, hello };
        match outbox.options().smtp_relay.as_deref().map(|relay| relay.rsplit_once(':')) {
            None => Ok(server),
            Some(Some((host, port))) if let Ok(port) = port.parse() => {
                let security = Security::None;
                Ok(Server { host: host.to_owned(), port, security, user: None, ..server })
            }
            // It was looked at when it was read.
            Some(_) => Err(TellError::Forbidden {
                sink: SINK.to_owned(),
                problem: "the relay for email is not host:port".to_owned(),
            }),
        }
    }

    /// Its name and its port, which are no secrets.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Gives it a letter, again and again where that may help.
    pub(super) async fn send(&self, letter: &Letter, outbox: &Outbox) -> Result<(), TellError> {
        let until = Instant::now() + outbox.options().budget;
        let patience = outbox.options().patience * SLOWNESS;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = timeout(patience, self.attempt(letter, outbox)).await;
            let words = match attempt {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Missed::For(error))) => return Err(error),
                Ok(Err(Missed::Passing(words))) => words,
                Err(_elapsed) => format!("no answer in {} s", patience.as_secs()),
            };
            if !outbox.waits(attempts, until).await {
                return Err(TellError::Away { sink: self.sink(), attempts, words });
            }
        }
    }

    async fn attempt(&self, letter: &Letter, outbox: &Outbox) -> Result<(), Missed> {
        let addresses = self.addresses(outbox).await?;
        let mut last = Missed::Passing("its name has no address".to_owned());
        for address in addresses {
            let mut connection = match self.connect(address).await {
                Ok(connection) => connection,
                Err(error) => {
                    last = self.missed(&error);
                    continue;
                }
            };
            let given = self.give(&mut connection, letter).await;
            return match given {
                Ok(()) => {
                    // It has the letter, whatever it says now.
                    connection.abort().await;
                    Ok(())
                }
                Err(error) => Err(self.missed(&error)),
            };
        }
        Err(last)
    }

    /// Where it is: only where messages may go.
    async fn addresses(&self, outbox: &Outbox) -> Result<Vec<SocketAddr>, Missed> {
        let found = match self.security {
            Security::None => outbox.relays(&self.host, self.port).await,
            _ => outbox.addresses(&self.host, self.port).await,
        };
        found.map_err(|error| match error {
            Unreached::Forbidden(problem) => {
                Missed::For(TellError::Forbidden { sink: self.sink(), problem })
            }
            Unreached::Unknown(words) => Missed::Passing(words),
        })
    }

    async fn connect(&self, address: SocketAddr) -> Result<AsyncSmtpConnection, Error> {
        // Installed once for the process; a second time changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let name = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match self.security {
            Security::Tls => Some(TlsParameters::new(name.clone())?),
            _ => None,
        };
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, tls, None);
        let mut connection = connected.await?;
        let encrypts = match self.security {
            Security::Tls | Security::None => false,
            Security::StartTls => true,
            // What is worth nothing to others may be said aloud.
            Security::AsItCan => self.user.is_some() && connection.can_starttls(),
        };
        if encrypts {
            connection.starttls(TlsParameters::new(name)?, &self.hello).await?;
        }
        Ok(connection)
    }

    async fn give(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter,
    ) -> Result<(), Error> {
        if let Some((user, password)) = &self.user {
            let password = password.expose_secret().to_owned();
            let credentials = Credentials::new(user.clone(), password);
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        let message = letter.message.formatted();
        connection.send(letter.message.envelope(), &message).await.map(drop)
    }

    /// What an error means.
    fn missed(&self, error: &Error) -> Missed {
        let mut words = line(&self.hidden(&error.to_string()), 300);
        // The code, as servers and those who look after them write it.
        for kind in ["transient error (", "permanent error ("] {
            if let Some((code, said)) =
                words.strip_prefix(kind).and_then(|all| all.split_once("): "))
            {
                words = format!("{code} {said}");
                break;
            }
        }
        let refused = |way_out: &str| {
            let (words, way_out) = (words.clone(), way_out.to_owned());
            Missed::For(TellError::Refused { sink: self.sink(), words, way_out })
        };
        if error.is_permanent() {
            let code = error.status().map(|code| code.to_string()).unwrap_or_default();
            return refused(match code.as_str() {
                "530" => "; it wants a user and a password in SMTP_URL",
                "534" | "535" | "538" => {
                    "; see whether the user and the password in SMTP_URL are right"
                }
                "550" | "551" | "553" | "556" => "; see EMAIL_FROM, EMAIL_TO and EMAIL_CC",
                _ => "",
            });
        }
        if error.is_client() {
            return refused(match words.contains("STARTTLS") {
                true => "; use smtps://, or have its host be one of NOTIFY_ALLOWED_HOSTS",
                false => "",
            });
        }
        Missed::Passing(words)
    }

    /// A text without the password.
    fn hidden(&self, text: &str) -> String {
        match &self.user {
            Some((_, password)) if password.expose_secret().len() >= 4 => {
                text.replace(password.expose_secret(), "***")
            }
            _ => text.to_owned(),
        }
    }

    fn sink(&self) -> String {
        format!("{SINK} at {}", self.host)
    }
}

/// Who the server is told that it is.
fn user(url: &Url, variables: &Variables) -> Result<Option<(String, SecretString)>, TellError> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(|text| text.into_owned()).map_err(|_quoting| wrong("SMTP_URL", ADDRESS))
    };
    let user = match variables.get("SMTP_USERNAME") {
        Some(user) => user.trim().to_owned(),
        None => decoded(url.username())?,
    };
    let password = match (variables.get("SMTP_PASSWORD"), url.password()) {
        (Some(password), _) => Some(password.trim_end_matches(['\r', '\n']).to_owned()),
        (None, Some(password)) => Some(decoded(password)?),
        (None, None) => None,
    };
    match (user.as_str(), password) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(wrong("SMTP_USERNAME", "is not set, and there is a password")),
        (_, None) => Err(wrong("SMTP_PASSWORD", "is not set, and there is a user")),
        (_, Some(password)) => Ok(Some((user, password.into()))),
    }
}
