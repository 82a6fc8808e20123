//! A mail server, as far as it takes mail and shows who is written to about what.
//!
//! <https://www.rfc-editor.org/rfc/rfc5321>

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Arrival;
use crate::backstage::News;

/// The largest message, and the longest line.
const LIMIT: usize = 10 * 1024 * 1024;
const LINE: u64 = 2048;

/// How many are written to at once.
const RECIPIENTS: usize = 100;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes mail until it is told to end.
pub async fn serve(
    listener: TcpListener,
    news: broadcast::Sender<News>,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (news, shutdown) = (news.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                _gone = converse(stream, &news) => {}
            }
        });
    }
}

/// The letter that is being taken.
#[derive(Default)]
struct Letter {
    sender: Option<String>,
    recipients: Vec<String>,
}

async fn converse(stream: TcpStream, news: &broadcast::Sender<News>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut letter = Letter::default();
    let mut answer = "220 emulator ESMTP".to_owned();
    loop {
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        let Some(line) = line(&mut stream).await? else { return Ok(()) };
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => format!("250-emulator\r\n250-SIZE {LIMIT}\r\n250-8BITMIME\r\n250 SMTPUTF8"),
            "HELO" => "250 emulator".to_owned(),
            "MAIL" => {
                letter = Letter { sender: address(rest), ..Letter::default() };
                said(letter.sender.is_some())
            }
            "RCPT" if letter.sender.is_none() => "503 MAIL is missing".to_owned(),
            "RCPT" if letter.recipients.len() >= RECIPIENTS => "452 too many recipients".to_owned(),
            "RCPT" => {
                let recipient = address(rest).filter(|address| address.contains('@'));
                let known = said(recipient.is_some());
                letter.recipients.extend(recipient);
                known
            }
            "DATA" if letter.recipients.is_empty() => "503 RCPT is missing".to_owned(),
            "DATA" => {
                stream.write_all(b"354 end with a line that is a dot\r\n").await?;
                match data(&mut stream).await? {
                    Some(text) => {
                        show(&std::mem::take(&mut letter), &text, news);
                        "250 taken".to_owned()
                    }
                    None => "552 the message is too large".to_owned(),
                }
            }
            "RSET" | "NOOP" => {
                letter = Letter::default();
                "250 ok".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 goodbye\r\n").await?;
                return Ok(());
            }
            _ => "502 this is not known here".to_owned(),
        };
    }
}

fn said(is_address: bool) -> String {
    (if is_address { "250 ok" } else { "553 this is no address" }).to_owned()
}

/// What is between the angle brackets.
fn address(rest: &str) -> Option<String> {
    let (_, after) = rest.split_once('<')?;
    let (address, _) = after.split_once('>')?;
    Some(address.to_owned())
}

/// The next line, unless the client is gone.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut limited = stream.take(LINE);
    tokio::time::timeout(PATIENCE, limited.read_until(b'\n', &mut bytes)).await??;
    if !bytes.ends_with(b"\n") {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// The message, if it is not too large.
async fn data(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut text = String::new();
    let mut fits = true;
    loop {
        let Some(line) = line(stream).await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if line == "." {
            return Ok(fits.then_some(text));
        }
        fits = fits && text.len() + line.len() < LIMIT;
        if fits {
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
    }
}

fn show(letter: &Letter, text: &str, news: &broadcast::Sender<News>) {
    let head = text.split("\n\n").next().unwrap_or_default();
    // A header may go on in the next line.
    let head = head.replace("\n ", " ").replace("\n\t", " ");
    let subject = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("subject").then(|| value.trim().to_owned())
    });
    let text = format!(
        "{} writes to {}: {}",
        letter.sender.as_deref().unwrap_or_default(),
        letter.recipients.join(", "),
        subject.unwrap_or_else(|| "no subject".to_owned()),
    );
    let arrival = Arrival { sink: "email", text, color: None, taken: true };
    let _nobody_listens = news.send(News::Arrived(arrival));
}
