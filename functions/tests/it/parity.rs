//! The same deliveries, of every sender, are told the same on every host. `HOSTS.md` is the table.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Request;
use expect_test::expect_file;
use futures::StreamExt;
use hosts::azure::Mode;
use hosts::lambda::Front;

use crate::host::{Host, Running};
use crate::sources::{self, Source, WRONG};
use crate::world::{Told, World};

/// How many hosts are tried at once.
const AT_ONCE: usize = 3;

/// The headers that are the program's own.
const HEADERS: [&str; 6] = [
    "content-type",
    "retry-after",
    "www-authenticate",
    "webhook-allowed-origin",
    "webhook-allowed-rate",
    "x-content-type-options",
];

/// The hosts; the first is what the others are compared with.
fn hosts() -> Vec<(&'static str, Host)> {
    let lambda = Host::Lambda;
    let stage = || "prod".to_owned();
    vec![
        ("HTTP/1.1", Host::Plain { two: false }),
        ("HTTP/2", Host::Plain { two: true }),
        ("Knative", Host::Knative),
        ("Lambda: function URL", lambda(Front::FunctionUrl)),
        ("Lambda: HTTP API", lambda(Front::HttpApi { stage: "$default".to_owned() })),
        ("Lambda: HTTP API, stage", lambda(Front::HttpApi { stage: stage() })),
        ("Lambda: REST API", lambda(Front::RestApi { stage: stage(), binary: false })),
        ("Lambda: REST API, binary", lambda(Front::RestApi { stage: stage(), binary: true })),
        ("Lambda: load balancer", lambda(Front::LoadBalancer { lists: false })),
        ("Lambda: load balancer, lists", lambda(Front::LoadBalancer { lists: true })),
        ("Azure: proxied", Host::Azure(Mode::Proxying)),
        ("Azure: forwarded", Host::Azure(Mode::Forwarding)),
        ("Azure: envelopes", Host::Azure(Mode::Enveloping)),
    ]
}

/// What a host tells the senders of every source: a row for each.
async fn told(host: Host) -> Vec<Vec<Told>> {
    let world = World::new().await;
    let running = host.start(&world).await;
    let mut rows = Vec::new();
    for source in sources::all() {
        rows.push(deliveries(&world, &running, source).await);
    }
    rows
}

/// To no project, proved, again, without a proof, with a wrong one, and one that is ignored.
async fn deliveries(world: &World, running: &Running, source: &Source) -> Vec<Told> {
    let sample = (source.sample)(1);
    world.without_project().await;
    let mut told = vec![running.send(sample.proved()).await];
    world.project(source).await;
    for secret in [Some(sources::SECRET), Some(sources::SECRET), None, Some(WRONG)] {
        told.push(running.send(sample.request(secret)).await);
    }
    if let Some(ignored) = source.ignored {
        told.push(running.send(ignored().proved()).await);
    }
    told
}

/// What is the program's own of an answer; the ids of builds follow from when it was.
fn own(told: &Told) -> String {
    let mut text = told.status.to_string();
    for name in HEADERS {
        if let Some(value) = told.headers.get(name) {
            let _always = write!(text, "\n{name}: {}", value.to_str().unwrap());
        }
    }
    let body = String::from_utf8_lossy(&told.body);
    let mut words = body.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let _always = write!(text, "\n\n");
    words.by_ref().for_each(|word| {
        let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_build = id.len() == 26 && id.starts_with('0');
        text.push_str(if is_build { "build" } else { id });
        text.push_str(&word[id.len()..]);
    });
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_host_tells_every_sender_the_same() {
    let all = hosts();
    let runs = all.iter().map(|(_, host)| tokio::spawn(told(host.clone())));
    let runs: Vec<_> = futures::stream::iter(runs).buffered(AT_ONCE).collect().await;
    let runs: Vec<Vec<Vec<Told>>> = runs.into_iter().map(Result::unwrap).collect();
    let steps = ["no project", "proved", "again", "no proof", "wrong proof", "ignored"];

    let (mut rows, mut notes) = (String::new(), String::new());
    for (place, source) in sources::all().enumerate() {
        let expected = &runs[0][place];
        let statuses: Vec<String> = expected.iter().map(|told| told.status.to_string()).collect();
        let _always = write!(rows, "| {} | {} |", source.name, statuses.join(" "));
        for ((name, _), run) in all.iter().zip(&runs).skip(1) {
            let mut differs = Vec::new();
            for ((step, wanted), found) in steps.iter().zip(expected).zip(&run[place]) {
                if own(wanted) != own(found) {
                    differs.push(*step);
                    if name.contains("HTTP API") && (source.sample)(1).uri.contains("%2F") {
                        continue;
                    }
                    let (wanted, found) = (own(wanted), own(found));
                    let _always = writeln!(
                        notes,
                        "{}, {step}, {name}:\n{found}\n-- and not --\n{wanted}\n",
                        source.name
                    );
                }
            }
            let cell = if differs.is_empty() { "=".to_owned() } else { differs.join(", ") };
            let _always = write!(rows, " {cell} |");
        }
        rows.push('\n');
        assert_eq!(expected[0].status, source.unknown, "{}", source.name);
        assert_eq!((expected[1].status, expected[2].status), (200, 200), "{}", source.name);
        assert_eq!(expected[3].status, source.unproved, "{}", source.name);
        // The same words for a missing and a wrong proof, and nothing but the proof is looked at.
        assert_eq!(expected[4].status, source.unproved, "{}", source.name);
    }
    let sizes = match notes.is_empty() {
        true => sizes(&all).await,
        false => String::new(),
    };
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let line = "|---".repeat(names.len() + 1);
    let mut table = String::from(INTRODUCTION);
    let _always = writeln!(table, "\n| sender | {} |\n{line}|\n{rows}", names.join(" | "));
    let _always = write!(table, "{SIZES}\n| body | {} |\n{line}|\n{sizes}", names.join(" | "));
    table.push_str(DIFFERENCES);
    expect_file!["../../HOSTS.md"].assert_eq(&table);
    assert_eq!(notes, "", "the hosts differ");
}

/// What becomes of large bodies, by the status of a delivery whose signature is wrong: 403 means that
/// the program has read all of it.
async fn sizes(all: &[(&'static str, Host)]) -> String {
    let mut columns = Vec::new();
    let kilobytes = [900, 2 * 1024, 7 * 1024, 24 * 1024];
    for (_, host) in all {
        let world = World::new().await;
        let source = sources::all().next().unwrap();
        world.project(source).await;
        let running = host.start(&world).await;
        let mut column = Vec::new();
        for size in kilobytes {
            let sample = (source.sample)(1);
            let mut body = sample.body.to_vec();
            body.pop();
            body.extend_from_slice(br#","padding":""#);
            body.resize(size * 1024 - 2, b'x');
            body.extend_from_slice(br#""}"#);
            let request: Request<Body> = sample.with_body(body).request(Some(WRONG));
            column.push(running.send(request).await.status);
        }
        columns.push(column);
    }
    let mut rows = String::new();
    for (place, size) in kilobytes.iter().enumerate() {
        let cells: Vec<String> = columns.iter().map(|column| column[place].to_string()).collect();
        let _always = writeln!(rows, "| {size} KiB | {} |", cells.join(" | "));
    }
    rows
}

const INTRODUCTION: &str = "\
# Hosts

One program, on every host: `tests/it/parity.rs` starts it on each, and makes this file.

Each cell is what a host tells the sender, in this order: there is no such project, a delivery that is proved, the same again, one without a proof, one with a wrong proof, and one that is ignored.
The first column has the statuses; `=` says that status, headers and body are the same to the letter, but for the ids of builds.
Whatever else is there names the deliveries that are told something else.
";

const SIZES: &str = "\
## Large bodies

A body that is larger than a host takes does not reach the program.
403 is the program's own answer, since the signature is wrong; 413 is that of the host, and of the program where a body has more than the sender's most.
";

const DIFFERENCES: &str = "
A load balancer takes 1 MB, a function URL and the APIs what Lambda takes, 6 MB with all that is around the body, so that a binary one is at most 4.5 MB; GitHub sends up to 25 MB.
An HTTP API decodes paths: `%2F` arrives as a slash there, and what comes after `%3F` not at all, so addresses that need them have the project's id in the place of its name.
Azure's envelopes have the body as text: what is no UTF-8 does not arrive as it was sent, and its signature is wrong; what is not proved has the log say so, and is told what it is told everywhere.
";
