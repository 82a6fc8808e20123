//! Many at once, through a sink that is often too busy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::outbox::AT_ONCE;
use crate::sample::{outbox, variables};
use crate::{Notification, OutboxOptions, slack};

/// How many are told.
const ALL: usize = 10_000;

/// The most that all of them together may take while they wait, in bytes: each is a task with a
/// message, and no connection of its own. Other tests have their share in it.
const MEMORY: u64 = 400 * 1024 * 1024;

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
    let before = memory();
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
    let mut highest = 0;
    let mut done = 0;
    while let Some(told) = telling.join_next().await {
        told.unwrap().unwrap();
        done += 1;
        if done % 100 == 0 {
            highest = highest.max(memory());
        }
    }
    let told = seen.told.lock().unwrap();
    assert_eq!(told.len(), ALL);
    assert!(told.values().all(|times| *times == 1));
    let (asked, most) = (seen.asked.load(Ordering::SeqCst), seen.most.load(Ordering::SeqCst));
    assert!(asked >= ALL + ALL / 3, "{asked}");
    assert!(most <= AT_ONCE, "{most}");
    let grown = highest.saturating_sub(before);
    println!("{ALL} were told by {asked} requests, {most} at once, in {} KiB more", grown / 1024);
    assert!(grown < MEMORY, "{grown}");
}

/// What this process has in memory, in bytes; nothing where that is not to be seen.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.map_or(0, |pages| pages * 4096)
}
