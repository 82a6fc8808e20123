//! What leaves, what does not, and how often it is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Answer, HeaderValue, Message, Method, Names, Outbox, OutboxOptions, StatusCode};
use crate::TellError;
use crate::sample::{Got, outbox, relayed, sink};

mod burst;

fn message(url: &str) -> Message<'_> {
    let headers = [(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let headers = headers.into_iter().collect();
    Message { sink: "Slack", method: Method::POST, url, headers, body: b"{\"a\":1}".to_vec() }
}

async fn send(outbox: &Outbox, url: &str) -> Result<Answer, TellError> {
    outbox.send(message(url), |_answer| false).await
}

#[tokio::test]
async fn an_answer_comes_back_with_its_beginning() {
    let url = sink(|got: &Got| {
        assert_eq!((got.line.as_str(), &got.body[..]), ("POST /a?b=%2F", &b"{\"a\":1}"[..]));
        (StatusCode::NOT_FOUND, [("x-a", "b")], "x".repeat(2_000_000))
    });
    let url = format!("{}/a?b=%2F", url.await);
    let answer = send(&outbox(OutboxOptions::default()), &url).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.attempts), (404, 1));
    assert_eq!((answer.headers["x-a"].as_bytes(), answer.body.len()), (&b"b"[..], 1024 * 1024));
    assert_eq!(answer.words().chars().count(), 4 + 300);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_nothing_else() {
    for (status, again) in [
        (200, false),
        (202, false),
        (400, false),
        (403, false),
        (404, false),
        (410, false),
        (422, false),
        (501, false),
        (408, true),
        (425, true),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
        (504, true),
    ] {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let url = sink(move |_got| {
            let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
            let status = if first { status } else { 200 };
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")])
        });
        let answer = send(&outbox(OutboxOptions::default()), &url.await).await.unwrap();
        assert_eq!(answer.attempts, if again { 2 } else { 1 }, "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), answer.attempts, "{status}");
    }
}

#[tokio::test]
async fn a_sink_may_say_itself_that_it_passes() {
    let url = sink(|_got| "{\"retry_after\":0}").await;
    let outbox = outbox(OutboxOptions::default());
    let answer = outbox.send(message(&url), |answer| answer.attempts < 3).await.unwrap();
    assert_eq!(answer.attempts, 3);
}

#[tokio::test]
async fn more_than_is_left_is_not_waited_for() {
    let url =
        sink(|_got| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")], "slow\u{7}down"));
    let error = send(&outbox(OutboxOptions::default()), &format!("{}/hook", url.await)).await;
    let error = error.unwrap_err().to_string();
    let said = "Slack at 127.0.0.1 did not take the message in 1 attempts: 429 slowdown; it asks for \
                3600 s, and ";
    assert!(error.starts_with(said) && error.ends_with(" s were left"), "{error}");
}

#[tokio::test]
async fn who_never_answers_is_away_when_the_budget_is_spent() {
    // Connections are made, and nobody reads them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let patience = Duration::from_millis(50);
    let budget = Duration::from_millis(200);
    let options = OutboxOptions { budget, patience, ..OutboxOptions::default() };
    let error = send(&outbox(options), &url).await.unwrap_err();
    assert!(
        matches!(&error, TellError::Away { words, .. } if words == "no answer in 1 s"),
        "{error}"
    );
    // Nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    drop(listener);
    let error = send(&outbox(OutboxOptions { budget, ..OutboxOptions::default() }), &url).await;
    let error = error.unwrap_err().to_string();
    // A machine that is busy enough does not even say so.
    let said = error.contains("it cannot be reached: ") || error.contains("no answer in ");
    assert!(said && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_message_follows_within_its_host_and_nowhere_else() {
    for (path, to, led) in [
        ("/301", "/here", true),
        ("/307", "/here", true),
        ("/308", "/here", true),
        ("/302", "/here", false),
        ("/303", "/here", false),
        ("/300", "/here", false),
        ("/308", "/308", false),
        ("/308", "https://127.0.0.1/here", false),
        ("/308", "http://127.0.0.2/here", false),
        ("/308", "http://evil.example/here", false),
        ("/308", "//evil.example/here", false),
        ("/308", "file:///etc/passwd", false),
        ("/308", "", false),
    ] {
        let url = sink(move |got: &Got| {
            let (_method, from) = got.line.split_once(' ').unwrap();
            let status = from[1..].parse().unwrap_or(200);
            assert_eq!(&got.body[..], b"{\"a\":1}");
            (StatusCode::from_u16(status).unwrap(), [("location", to)], got.line.clone())
        });
        let answer = send(&outbox(OutboxOptions::default()), &(url.await + path)).await;
        match answer {
            Ok(answer) => {
                assert!(led, "{path} {to}");
                assert_eq!(answer.body, b"POST /here");
            }
            Err(TellError::Refused { way_out, .. }) => {
                assert!(!led && way_out.contains("it leads elsewhere"), "{path} {to}: {way_out}");
            }
            Err(other) => panic!("{path} {to}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_relay_is_given_all_messages_as_they_are() {
    let relay = sink(|got: &Got| got.line.clone()).await;
    let outbox = relayed(&(relay + "/sinks/"));
    for (url, way) in [
        ("https://hooks.slack.com/services/T/B/X", "https/hooks.slack.com/services/T/B/X"),
        ("https://a.example:8443/w?sig=a%2Bb+c%3D&x", "https/a.example:8443/w?sig=a%2Bb+c%3D&x"),
        ("https://a.example:443/../x/../y", "https/a.example/y"),
        ("https://[2606:4700::1]/", "https/[2606:4700::1]/"),
        ("https://a.example", "https/a.example/"),
    ] {
        let answer = send(&outbox, url).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("POST /sinks/{way}"));
    }
    // What its sink leads to is given to the relay, too.
    let moved = sink(|got: &Got| {
        let to = [("location", "https://api.github.com/repositories/1/x")];
        let code = if got.line.ends_with("/repos/a/b/x") { 301 } else { 200 };
        (StatusCode::from_u16(code).unwrap(), to, got.line.clone())
    });
    let answer = send(&relayed(&moved.await), "https://api.github.com/repos/a/b/x").await.unwrap();
    assert_eq!(answer.body, b"POST /https/api.github.com/repositories/1/x");
    // What may not be told is not told by a relay either.
    for url in ["http://a.example/", "https://127.0.0.1/"] {
        assert!(matches!(send(&outbox, url).await, Err(TellError::Forbidden { .. })), "{url}");
    }
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_says_what() {
    let outbox = Outbox::new(OutboxOptions { dry_run: true, ..OutboxOptions::default() });
    let mut message = message("https://hooks.slack.com/services/T/B/secret?sig=secret");
    message.headers.insert("authorization", "Bearer secret".parse().unwrap());
    let answer = outbox.send(message, |_answer| false).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    expect_test::expect![[r#"
        POST https://hooks.slack.com/***
        content-type: application/json
        authorization: ***
        user-agent: brigantine

        {
          "a": 1
        }"#]]
    .assert_eq(&outbox.withheld().join("\n---\n"));
    assert!(outbox.withheld().is_empty());
}

#[tokio::test]
async fn addresses_that_are_not_public_are_told_nothing() {
    let outbox = Outbox::new(OutboxOptions::default());
    for url in [
        "http://hooks.slack.com/x",
        "ftp://hooks.slack.com/x",
        "file:///etc/passwd",
        "data:,x",
        "hooks.slack.com/x",
        "",
        "https://user@hooks.slack.com/",
        "https://user:pass@hooks.slack.com/",
        "https://:pass@hooks.slack.com/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://100.64.0.1/",
        "https://100.127.255.254/",
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.170.2/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.0.0.192/",
        "https://192.0.2.1/",
        "https://192.88.99.1/",
        "https://192.168.1.1/",
        "https://198.18.0.1/",
        "https://198.51.100.1/",
        "https://203.0.113.1/",
        "https://168.63.129.16/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[::ffff:0:127.0.0.1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://[64:ff9b:1::8.8.8.8]/",
        "https://[100::1]/",
        "https://[2001::1]/",
        "https://[2001:20::1]/",
        "https://[2001:db8::1]/",
        "https://[2002:7f00:1::]/",
        "https://[3fff::1]/",
        "https://[5f00::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        // Names are asked for, and have private addresses.
        "https://localhost/",
        "https://LOCALHOST:6443/",
    ] {
        let error = send(&outbox, url).await.unwrap_err();
        let shown = error.to_string();
        assert!(matches!(error, TellError::Forbidden { .. }), "{url}: {shown}");
        assert!(!shown.contains("pass") || shown.contains("password"), "{shown}");
    }
}

#[tokio::test]
async fn names_of_private_addresses_are_told_nothing() {
    let private = ["10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"];
    let private = private.map(|address| address.parse().unwrap());
    let names = Names::All(private.to_vec());
    let outbox = Outbox::with_names(OutboxOptions::default(), names);
    let error = send(&outbox, "https://hooks.slack.com/services/T/B/X").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Slack at hooks.slack.com may not be told: its host has no public address: if it may be \
         told all the same, it must be one of NOTIFY_ALLOWED_HOSTS"
    );
}

#[tokio::test]
async fn of_a_names_addresses_the_public_ones_are_told() {
    let all = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"].map(|text| text.parse().unwrap());
    let guard = super::guard::Guard(Names::All(all.to_vec()));
    let found = reqwest::dns::Resolve::resolve(&guard, "a.example".parse().unwrap()).await;
    let found: Vec<String> = found.unwrap().map(|address| address.ip().to_string()).collect();
    assert_eq!(found, ["8.8.8.8", "2606:4700::1111"]);
}

#[tokio::test]
async fn hosts_that_are_allowed_are_told_with_their_ports() {
    let url = sink(|_got| "ok").await;
    let port = url.rsplit_once(':').unwrap().1.to_owned();
    for (allowed, host, fits) in [
        ("127.0.0.1".to_owned(), "127.0.0.1", true),
        (format!("127.0.0.1:{port}"), "127.0.0.1", true),
        (" LOCALHOST ".to_owned(), "localhost", true),
        ("localhost.".to_owned(), "localhost", true),
        ("localhost".to_owned(), "127.0.0.1", false),
        ("127.0.0.1:1".to_owned(), "127.0.0.1", false),
        ("127.0.0.10".to_owned(), "127.0.0.1", false),
        ("0.0.1".to_owned(), "127.0.0.1", false),
        ("127.0.0.1/x".to_owned(), "127.0.0.1", false),
        (String::new(), "127.0.0.1", false),
    ] {
        let allowed_hosts = vec![allowed.clone()];
        let outbox = Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() });
        let answer = send(&outbox, &format!("http://{host}:{port}/")).await;
        match answer {
            Ok(_) => assert!(fits, "{allowed}"),
            Err(TellError::Forbidden { .. }) => assert!(!fits, "{allowed}"),
            Err(other) => panic!("{allowed}: {other}"),
        }
    }
    for (allowed, url, fits) in [
        ("::1", "http://[::1]:8080/", true),
        ("[::1]:8080", "http://[::1]:8080/", true),
        ("[::1]:81", "http://[::1]:8080/", false),
        ("[::1]:443", "https://[::1]/", true),
    ] {
        let open = super::guard::target(url, &[allowed.to_owned()]);
        assert_eq!(open.is_ok_and(|target| target.is_open), fits, "{allowed} {url}");
    }
}

#[test]
fn public_addresses_are_told() {
    for url in [
        "https://8.8.8.8/",
        "https://172.32.0.1/",
        "https://100.128.0.1/",
        "https://[2606:4700::1111]/",
        "https://[2001:4860:4860::8888]/",
        // How a network of IPv6 reaches IPv4.
        "https://[64:ff9b::8.8.8.8]/",
    ] {
        assert!(super::guard::target(url, &[]).is_ok(), "{url}");
    }
}
