//! Many at once, through a sink that is often too busy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::task::JoinSet;

use super::message;
use crate::outbox::{AT_ONCE, Message};
use crate::sample::{Got, outbox, sink, variables};
use crate::{Notification, Outbox, OutboxOptions, slack};

/// How many are told.
const ALL: usize = 10_000;

/// How many long ones are told at the same time, and how long each is: shorter than what allocators
/// give back by itself.
const LONG: (usize, usize) = (1000, 64 * 1024);

/// The most that a second thousand of them may take beyond the first, in bytes: what is left of
/// three in four would break it, and what other tests do meanwhile does not.
const KEPT: u64 = 48 * 1024 * 1024;

/// What the sink has seen.
#[derive(Default)]
struct Seen {
    asked: AtomicUsize,
    /// Those that are being answered now, and the most that ever were.
    now: AtomicUsize,
    most: AtomicUsize,
    told: Mutex<HashMap<String, u32>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_are_told_once_each_by_a_sink_that_is_often_too_busy() {
    let seen = Arc::new(Seen::default());
    let seeing = seen.clone();
    let answer = move |body: String| {
        let seen = seeing.clone();
        async move {
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            // Others come while this one is answered.
            tokio::task::yield_now().await;
            let number = seen.asked.fetch_add(1, Ordering::SeqCst);
            seen.now.fetch_sub(1, Ordering::SeqCst);
            if number.is_multiple_of(3) {
                let wait = ["0", "0.01", "0.05"][number / 3 % 3];
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", wait)], "rate_limited");
            }
            let body: Value = serde_json::from_str(&body).unwrap();
            let title = body["text"].as_str().unwrap().to_owned();
            *seen.told.lock().unwrap().entry(title).or_default() += 1;
            (StatusCode::OK, [("retry-after", "0")], "ok")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/services/T/B/X", listener.local_addr().unwrap());
    let router = Router::new().route("/services/T/B/X", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    // Busy machines are slow, and what is slow is not told twice.
    let patience = Duration::from_secs(300);
    let options = OutboxOptions { budget: patience, patience, ..OutboxOptions::default() };
    let outbox = outbox(options);
    let mut telling = JoinSet::new();
    for number in 0..ALL {
        let (outbox, hook) = (outbox.clone(), hook.clone());
        telling.spawn(async move {
            let variables = variables(&[("SLACK_WEBHOOK", &hook)]);
            let title = format!("notification {number}");
            let notification = Notification { title, ..Notification::default() };
            slack::tell(&variables, &notification, None, &outbox).await
        });
    }
    while let Some(told) = telling.join_next().await {
        told.unwrap().unwrap();
    }
    let told = seen.told.lock().unwrap();
    assert_eq!(told.len(), ALL);
    assert!(told.values().all(|times| *times == 1));
    let (asked, most) = (seen.asked.load(Ordering::SeqCst), seen.most.load(Ordering::SeqCst));
    assert!(asked >= ALL + ALL / 3, "{asked}");
    assert!(most <= AT_ONCE, "{most}");
    println!("{ALL} were told by {asked} requests, {most} at once");
}

#[tokio::test]
async fn nothing_is_kept_of_what_was_told() {
    let asked = Arc::new(AtomicUsize::new(0));
    let url = sink(move |_got: &Got| {
        let is_busy = asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        let status = if is_busy { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        (status, [("retry-after", "0")])
    });
    let hook = format!("{}/services/T/B/X", url.await);
    let patience = Duration::from_secs(300);
    let outbox = outbox(OutboxOptions { budget: patience, patience, ..OutboxOptions::default() });
    // What the first take is there for the second.
    let first = highest(&outbox, &hook).await;
    let second = highest(&outbox, &hook).await;
    let grown = second.saturating_sub(first);
    println!("{} MiB, then {} KiB more", first / 1024 / 1024, grown / 1024);
    assert!(grown < KEPT, "{grown}");
}

/// The most that this process has in memory while the long ones are told.
async fn highest(outbox: &Outbox, hook: &str) -> u64 {
    let (count, length) = LONG;
    let mut telling: FuturesUnordered<_> = (0..count)
        .map(|_number| {
            let message = Message { body: vec![b'x'; length], ..message(hook) };
            outbox.send(message, |_answer| false)
        })
        .collect();
    let mut highest = memory();
    while let Some(told) = telling.next().await {
        assert_eq!(told.unwrap().status, StatusCode::OK);
        highest = highest.max(memory());
    }
    highest
}

/// What this process has in memory, in bytes; nothing where that is not to be seen.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.map_or(0, |pages| pages * 4096)
}
