//! What a mail server is told, and what its answers mean.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use runtime::project::Moment;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::{BuildReport, Field, JobReport, OutboxOptions, Tone};

/// A mail server that says yes, unless it is told what else to say to a line of a connection.
struct Post {
    port: u16,
    /// What each connection was told.
    heard: Arc<Mutex<Vec<String>>>,
}

type Answer = fn(&str, usize) -> Option<&'static str>;

async fn post(answer: Answer) -> Post {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = heard.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            all.lock().unwrap().push(String::new());
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 post ready\r\n").await.unwrap();
            let mut in_letter = false;
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
                all.lock().unwrap()[number] += &line;
                let is_end = in_letter && line == ".\r\n";
                let default = match line.split([' ', '\r']).next().unwrap() {
                    _ if is_end => "250 taken",
                    "EHLO" => "250-post\r\n250 AUTH PLAIN LOGIN",
                    "AUTH" => "235 welcome",
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    _ => "250 yes",
                };
                if !in_letter || is_end {
                    let said = answer(&line, number).unwrap_or(default);
                    in_letter = said.starts_with("354");
                    let _gone = stream.write_all(format!("{said}\r\n").as_bytes()).await;
                }
                line.clear();
            }
        }
    });
    Post { port, heard }
}

impl Post {
    fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn options() -> OutboxOptions {
    let allowed_hosts = vec!["127.0.0.1".to_owned()];
    OutboxOptions { allowed_hosts, ..OutboxOptions::default() }
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let usual = [("EMAIL_FROM", "Builds <builds@ocean.example>"), ("EMAIL_TO", "a@b.example")];
    Variables::of(NAMES, |name| {
        let mut all = pairs.iter().chain(&usual);
        all.find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

async fn tell_with(
    pairs: &[(&str, &str)],
    notification: &Notification,
    options: OutboxOptions,
) -> Result<Told, TellError> {
    tell(&variables(pairs), notification, None, &Outbox::new(options)).await
}

fn failed() -> Notification {
    let job = JobReport {
        name: "test".to_owned(),
        log: "running\nit <b>failed</b>\n".to_owned(),
        ..JobReport::default()
    };
    let report = BuildReport {
        build: "01build".to_owned(),
        project: "ocean/brig".to_owned(),
        repository: "ocean/brig".to_owned(),
        event: "push".to_owned(),
        provider: "github".to_owned(),
        commit: String::new(),
        reference: String::new(),
        title: String::new(),
        moment: Moment::Failed,
        phase: "Failed".to_owned(),
        reason: None,
        summary: None,
        url: None,
        started: None,
        finished: None,
        jobs: vec![job],
        log: String::new(),
    };
    Notification {
        id: "01build.failed".to_owned(),
        title: "ocean/brig: push of main has failed".to_owned(),
        message: "exit code 1 & more\n<script>alert(1)</script>".to_owned(),
        tone: Tone::Bad,
        fields: vec![Field { name: "Ref".to_owned(), value: "main".to_owned() }],
        url: Some("https://brig.example/b/1?a=1&b=\"".to_owned()),
        build: Some(Box::new(report)),
        ..Notification::default()
    }
}

/// The letter that a server was given, without when.
fn letter(heard: &str) -> String {
    let letter = heard.split_once("DATA\r\n").unwrap().1.split_once("\r\n.\r\n").unwrap().0;
    let lines = letter.lines().filter(|line| !line.starts_with("Date: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_letter_has_a_text_and_the_same_in_html() {
    let post = post(|_, _| None).await;
    let set = [("SMTP_URL", &*post.url()), ("EMAIL_CC", "C D <c@d.example>, e@f.example")];
    let told = tell_with(&set, &failed(), options()).await.unwrap();
    let heard = post.heard().remove(0);
    expect![[r#"
        EHLO localhost
        MAIL FROM:<builds@ocean.example>
        RCPT TO:<a@b.example>
        RCPT TO:<c@d.example>
        RCPT TO:<e@f.example>
    "#]]
    .assert_eq(&heard.split_once("DATA").unwrap().0.replace('\r', ""));
    expect![[r#"
        From: Builds <builds@ocean.example>
        Message-ID: <b72e96d0943bbc01e4351fcfbf3d4ea6@ocean.example>
        Subject: ocean/brig: push of main has failed
        Auto-Submitted: auto-generated
        X-Auto-Response-Suppress: All
        To: a@b.example
        Cc: "C D" <c@d.example>, e@f.example
        MIME-Version: 1.0
        Content-Type: multipart/alternative;
         boundary="brigantine-1ae5186f658261b9f3c99820"

        --brigantine-1ae5186f658261b9f3c99820
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: 7bit

        ocean/brig: push of main has failed

        exit code 1 & more
        <script>alert(1)</script>

        Ref: main

        test:

            running
            it <b>failed</b>

        https://brig.example/b/1?a=1&b="

        --brigantine-1ae5186f658261b9f3c99820
        Content-Type: text/html; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        <!DOCTYPE html>
        <html><body style=3D"font-family: sans-serif">
        <div style=3D"border-left: 4px solid #cf222e; padding-left: 12px">
        <h3>ocean/brig: push of main has failed</h3>
        <p style=3D"white-space: pre-wrap">exit code 1 &amp; more
        &lt;script&gt;alert(1)&lt;/script&gt;</p>
        <table>
        <tr><th align=3D"left">Ref</th><td>main</td></tr>
        </table>
        <h4>test</h4>
        <pre>running
        it &lt;b&gt;failed&lt;/b&gt;</pre>
        <p><a href=3D"https://brig.example/b/1?a=3D1&amp;b=3D&quot;">https://brig.e=
        xample/b/1?a=3D1&amp;b=3D&quot;</a></p>
        </div>
        </body></html>

        --brigantine-1ae5186f658261b9f3c99820--"#]]
    .assert_eq(&letter(&heard));
    let id = told.handle.unwrap()["last"].as_str().unwrap().to_owned();
    let said = format!("told 3 by email through 127.0.0.1:{} of ", post.port);
    assert!(
        told.said.starts_with(&said) && told.said.ends_with(&format!(": {id}")),
        "{}",
        told.said
    );
}

#[tokio::test]
async fn what_is_told_of_a_build_is_a_thread() {
    let post = post(|_, _| None).await;
    let (url, outbox) = (post.url(), Outbox::new(options()));
    let variables = variables(&[("SMTP_URL", &url)]);
    let mut handle = None;
    let mut ids = Vec::new();
    for moment in ["started", "failed", "failed", "cancelled"] {
        let id = format!("01build.{moment}");
        let notification = Notification { id, ..failed() };
        let told = tell(&variables, &notification, handle.as_ref(), &outbox).await.unwrap();
        handle = told.handle;
        ids.push(handle.as_ref().unwrap()["last"].as_str().unwrap().to_owned());
    }
    // The same is not sent twice.
    let heard = post.heard();
    assert_eq!((heard.len(), &ids[1]), (3, &ids[2]));
    let header = |number: usize, name: &str| {
        let letter = letter(&heard[number]).replace("\n ", " ");
        letter.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    assert_eq!(header(0, "In-Reply-To: "), None);
    assert_eq!(header(0, "Message-ID: ").as_ref(), Some(&ids[0]));
    assert_eq!(header(1, "In-Reply-To: ").as_ref(), Some(&ids[0]));
    assert_eq!(header(1, "References: ").as_ref(), Some(&ids[0]));
    assert_eq!(header(2, "In-Reply-To: ").as_ref(), Some(&ids[1]));
    assert_eq!(header(2, "References: "), Some(format!("{} {}", ids[0], ids[1])));
    // What was kept is no way to write headers.
    let evil = json!({"first": "<a>\r\nBcc: x@y.example", "last": "<b@c>\r\nX: y"});
    tell(&variables, &failed(), Some(&evil), &outbox).await.unwrap();
    assert!(!post.heard()[3].contains("Bcc") && !post.heard()[3].contains("In-Reply-To"));
}

#[tokio::test]
async fn strangers_write_no_headers_no_commands_and_no_markup() {
    let evil = "x\r\nBcc: all@ocean.example\r\n\r\n.\r\nMAIL FROM:<evil@x.example>\r\n\u{0}\u{1b}[1m<img src=x onerror=a> 😀 ";
    let post = post(|_, _| None).await;
    let mut notification = failed();
    notification.id = evil.to_owned();
    notification.title = format!("{evil}{}", "b".repeat(1_000_000));
    notification.message = evil.repeat(20_000);
    notification.color = Some("red;background:url(x)".to_owned());
    notification.url = Some(format!("javascript:{evil}"));
    notification.fields = vec![Field { name: evil.to_owned(), value: evil.repeat(10_000) }; 1000];
    notification.build.as_mut().unwrap().jobs[0].log = evil.repeat(10_000);
    tell_with(&[("SMTP_URL", &post.url())], &notification, options()).await.unwrap();
    let heard = post.heard().remove(0);
    assert!(heard.len() < 500_000, "{}", heard.len());
    // What looks like the end of it is no end.
    let (before, rest) = heard.split_once("DATA\r\n").unwrap();
    let after = rest.split_once("\r\n.\r\n").unwrap().1;
    let commands =
        "EHLO localhost\r\nMAIL FROM:<builds@ocean.example>\r\nRCPT TO:<a@b.example>\r\n";
    assert_eq!((before, after), (commands, "QUIT\r\n"));
    let headers = letter(&heard).split("\n\n").next().unwrap().to_owned();
    let named = headers.lines().filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = named.map(|line| line.split(':').next().unwrap()).collect();
    expect![[r#"
        From
        Message-ID
        Subject
        Auto-Submitted
        X-Auto-Response-Suppress
        To
        MIME-Version
        Content-Type"#]]
    .assert_eq(&names.join("\n"));
    let html = text::said(&notification).html();
    for markup in ["<img", "javascript", "url(", "\u{0}", "\u{1b}"] {
        assert!(!html.contains(markup), "{markup}");
    }
}

#[tokio::test]
async fn a_server_that_has_no_time_is_asked_again() {
    let busy: Answer =
        |line, number| (line.starts_with("MAIL") && number == 0).then_some("451 4.7.1 greylisted");
    let post = post(busy).await;
    tell_with(&[("SMTP_URL", &post.url())], &failed(), options()).await.unwrap();
    let heard = post.heard();
    assert_eq!(heard.len(), 2);
    assert!(!heard[0].contains("DATA") && heard[1].contains("DATA"));
    let post = self::post(|line, _| line.starts_with("MAIL").then_some("421 closing")).await;
    let options = OutboxOptions { budget: Duration::ZERO, ..options() };
    let error = tell_with(&[("SMTP_URL", &post.url())], &failed(), options).await.unwrap_err();
    let said = "the mail server at 127.0.0.1 did not take the message in 1 attempts: 421 closing";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn what_a_server_refuses_is_said_in_its_words() {
    let refusals: [(Answer, &str); 5] = [
        (
            |line, _| line.starts_with("RCPT").then_some("550 5.1.1 no such user"),
            "550 5.1.1 no such user; see EMAIL_FROM, EMAIL_TO and EMAIL_CC",
        ),
        (
            |line, _| line.starts_with("AUTH").then_some("535 5.7.8 wrong: s3cret\u{7}"),
            "535 5.7.8 wrong: ***; see whether the user and the password in SMTP_URL are right",
        ),
        (
            |line, _| line.starts_with("MAIL").then_some("530 5.7.0 authenticate"),
            "530 5.7.0 authenticate; it wants a user and a password in SMTP_URL",
        ),
        (|line, _| (line == ".\r\n").then_some("552 5.3.4 too big"), "552 5.3.4 too big"),
        (|line, _| line.starts_with("DATA").then_some("554 5.7.1 spam"), "554 5.7.1 spam"),
    ];
    for (answer, said) in refusals {
        let post = post(answer).await;
        let url = format!("smtp://me%40x:s3cret@127.0.0.1:{}", post.port);
        let error = tell_with(&[("SMTP_URL", &url)], &failed(), options()).await.unwrap_err();
        let all = format!("the mail server at 127.0.0.1 refused the message: {said}");
        assert_eq!(error.to_string(), all);
        assert_eq!(post.heard().len(), 1);
    }
}

#[tokio::test]
async fn a_password_is_only_said_where_nobody_else_hears_it() {
    let post = post(|_, _| None).await;
    // Whoever is allowed has it as it can be said.
    let url = format!("smtp://127.0.0.1:{}/brig.example", post.port);
    let set = [("SMTP_URL", &*url), ("SMTP_USERNAME", "me@x"), ("SMTP_PASSWORD", "s3cret\n")];
    tell_with(&set, &failed(), options()).await.unwrap();
    let heard = post.heard().remove(0);
    assert!(heard.starts_with("EHLO brig.example\r\nAUTH PLAIN AG1lQHgAczNjcmV0\r\n"), "{heard}");
    // Where it must be encrypted and cannot be, nothing is said at all.
    for url in [
        format!("smtp+starttls://me:s3cret@127.0.0.1:{}", post.port),
        format!("smtp://me:s3cret@127.0.0.1:{}?tls=required", post.port),
    ] {
        let error = tell_with(&[("SMTP_URL", &url)], &failed(), options()).await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("; use smtps://, or have its host be one of NOTIFY_ALLOWED_HOSTS"),
            "{error}"
        );
    }
    for heard in &post.heard()[1..] {
        assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
    }
}

#[tokio::test]
async fn smtps_is_encrypted_from_the_beginning() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtps://me:s3cret@127.0.0.1:{}", listener.local_addr().unwrap().port());
    let first = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    });
    let options = OutboxOptions { budget: Duration::ZERO, ..options() };
    let error = tell_with(&[("SMTP_URL", &url)], &failed(), options).await.unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    // A record of a handshake.
    assert_eq!(first.await.unwrap(), 0x16);
}

#[tokio::test]
async fn letters_go_to_public_servers_only() {
    for url in [
        "smtps://127.0.0.1",
        "smtps://localhost",
        "smtp+starttls://10.0.0.1",
        "smtp://169.254.169.254:80",
        "smtps://[::1]",
        "smtps://0x7f.1",
        "smtp://2130706433",
    ] {
        let outbox = OutboxOptions { budget: Duration::ZERO, ..OutboxOptions::default() };
        let error = tell_with(&[("SMTP_URL", url)], &failed(), outbox).await.unwrap_err();
        assert!(matches!(error, TellError::Forbidden { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn the_relay_is_given_all_letters_and_no_password() {
    let post = post(|_, _| None).await;
    let smtp_relay = Some(format!("127.0.0.1:{}", post.port));
    let options = OutboxOptions { smtp_relay, ..OutboxOptions::default() };
    let set = [("SMTP_URL", "smtps://me:s3cret@mail.invalid")];
    tell_with(&set, &failed(), options).await.unwrap();
    let heard = post.heard().remove(0);
    assert!(heard.contains("DATA") && !heard.contains("AUTH"), "{heard}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_sent() {
    let outbox = Outbox::new(OutboxOptions { dry_run: true, ..options() });
    let set = variables(&[("SMTP_URL", "smtps://me:s3cret@mail.example")]);
    tell(&set, &failed(), None, &outbox).await.unwrap();
    expect![[r#"
        SMTP mail.example:465
        From: Builds <builds@ocean.example>
        To: a@b.example
        Subject: ocean/brig: push of main has failed

        ocean/brig: push of main has failed

        exit code 1 & more
        <script>alert(1)</script>

        Ref: main

        test:

            running
            it <b>failed</b>

        https://brig.example/b/1?a=1&b="
    "#]]
    .assert_eq(&outbox.withheld().join("\n"));
}

#[tokio::test]
async fn what_is_not_understood_is_named_and_not_shown() {
    let url = ("SMTP_URL", "smtps://mail.example");
    for (set, name) in [
        (vec![("SMTP_URL", "")], "SMTP_URL is not set"),
        (vec![("SMTP_URL", "mail.example s3cret")], "SMTP_URL is no address of a server"),
        (vec![("SMTP_URL", "https://s3cret.example")], "SMTP_URL is no address of a server"),
        (vec![("SMTP_URL", "smtps:s3cret")], "SMTP_URL is no address of a server"),
        (vec![("SMTP_URL", "smtps://x/s3cret%20b")], "SMTP_URL has a path"),
        (vec![("SMTP_URL", "smtps://me@mail.example")], "SMTP_PASSWORD is not set"),
        (vec![("SMTP_URL", "smtps://:s3cret@mail.example")], "SMTP_USERNAME is not set"),
        (vec![url, ("EMAIL_FROM", "s3cret")], "EMAIL_FROM is no address"),
        (vec![url, ("EMAIL_FROM", "a@b.c\r\nBcc: s3cret@x.y")], "EMAIL_FROM is no address"),
        (vec![url, ("EMAIL_TO", "a@b.example, s3cret")], "EMAIL_TO is no list of addresses"),
        (vec![url, ("EMAIL_CC", "s3cret")], "EMAIL_CC is no list of addresses"),
        (vec![url, ("EMAIL_TO", &*"a@b.example,".repeat(51))], "EMAIL_TO and EMAIL_CC have more"),
    ] {
        let error = tell_with(&set, &failed(), options()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("the variable {name}")), "{name}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
