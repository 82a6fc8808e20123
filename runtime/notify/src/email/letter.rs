//! A letter: its headers, its place in a thread, and its two bodies.

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::text::{Said, said};
use super::wrong;
use crate::{Notification, TellError, Variables};

/// How many addresses a letter may go to.
const MOST: usize = 50;

/// What an address must look like.
const ADDRESSES: &str =
    "is no list of addresses, such as team@example.com, Someone <one@example.com>";

/// A letter that is ready to be sent.
pub(super) struct Letter {
    /// Its `Message-ID`.
    pub(super) id: String,
    pub(super) message: Message,
    /// The thread, with this letter as its last.
    pub(super) handle: Value,
    /// Whether it was the last that was sent.
    pub(super) is_sent: bool,
    said: Said,
}

impl Letter {
    /// What it says, for who looks before it is sent.
    pub(super) fn shown(&self) -> String {
        let headers = self.message.headers();
        let header = |name| headers.get_raw(name).map(|value| format!("{name}: {value}\n"));
        let headers: String = ["From", "To", "Cc"].into_iter().filter_map(header).collect();
        format!("{headers}Subject: {}\n\n{}", self.said.title, self.said.plain())
    }
}

pub(super) fn letter(
    variables: &Variables,
    notification: &Notification,
    before: Option<&Value>,
) -> Result<Letter, TellError> {
    let from = variables.required("EMAIL_FROM")?.trim().parse::<Mailbox>();
    let from = from.map_err(|_quoting| {
        wrong("EMAIL_FROM", "is no address, such as Builds <builds@example.com>")
    })?;
    let to = mailboxes("EMAIL_TO", variables.required("EMAIL_TO")?)?;
    let copies = variables.get("EMAIL_CC").map(|list| mailboxes("EMAIL_CC", list)).transpose()?;
    let copies = copies.unwrap_or_default();
    if to.len() + copies.len() > MOST {
        return Err(wrong("EMAIL_TO", "and EMAIL_CC have more than 50 addresses together"));
    }
    let id = message_id(notification, &from);
    let known = |name: &str| {
        let id = before.and_then(|before| before[name].as_str()).filter(|id| is_id(id));
        id.map(str::to_owned)
    };
    let (first, last) = (known("first"), known("last"));
    let is_sent = last.as_ref() == Some(&id);
    let said = said(notification);
    let mut builder = Message::builder()
        .from(from)
        .message_id(Some(id.clone()))
        .subject(said.title.clone())
        .raw_header(raw("Auto-Submitted", "auto-generated"))
        .raw_header(raw("X-Auto-Response-Suppress", "All"));
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    for mailbox in copies {
        builder = builder.cc(mailbox);
    }
    if let (Some(first), Some(last)) = (&first, &last) {
        let both = if first == last { first.clone() } else { format!("{first} {last}") };
        builder = builder.in_reply_to(last.clone()).references(both);
    }
    let bodies = MultiPart::alternative()
        .boundary(format!("brigantine-{}", &digest(&[&id])[..24]))
        .singlepart(SinglePart::plain(said.plain()))
        .singlepart(SinglePart::html(said.html()));
    let message = builder
        .multipart(bodies)
        .map_err(|_why| wrong("EMAIL_TO", "and EMAIL_FROM make no letter together"))?;
    let handle = json!({"first": first.unwrap_or_else(|| id.clone()), "last": id});
    Ok(Letter { id, message, handle, is_sent, said })
}

fn mailboxes(name: &'static str, list: &str) -> Result<Vec<Mailbox>, TellError> {
    let mailboxes = list.trim().trim_end_matches(',').parse::<Mailboxes>();
    let mailboxes = mailboxes.map_err(|_quoting| wrong(name, ADDRESSES))?;
    Ok(mailboxes.into_iter().collect())
}

/// The id of a letter: the same for the same notification.
fn message_id(notification: &Notification, from: &Mailbox) -> String {
    let domain = from.email.domain();
    let domain = if domain.is_ascii() { domain } else { "brigantine.invalid" };
    let said = format!("{}\n{}", notification.title, notification.message);
    // What has no id is what it says.
    let name = if notification.id.is_empty() { &said } else { &notification.id };
    format!("<{}@{domain}>", &digest(&[name, from.email.as_ref()])[..32])
}

/// Whether a text is an id that we have written.
fn is_id(text: &str) -> bool {
    text.len() <= 400
        && text.starts_with('<')
        && text.ends_with('>')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
