//! What senders really sent, where recordings of it are at hand beside the workspace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use axum::http::HeaderName;
use expect_test::expect_file;
use runtime::build::BuildId;

use super::*;

mod azuredevops;
mod bitbucket;
mod cloudevents;
mod eventgrid;
mod generic;
mod gitea;
mod github;
mod gitlab;
mod kubernetes;
mod notify;
mod registry;
mod slack;

struct Row {
    provider: String,
    event: String,
    validity: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    file: String,
}

/// The rows of the index that are of these providers, or nothing without recordings.
fn rows(providers: &[&str]) -> Option<Vec<Row>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads");
    let Ok(index) = std::fs::read_to_string(root.join("INDEX.tsv")) else {
        println!("skipped: there are no recorded deliveries in {}", root.display());
        return None;
    };
    let read = |line: &str| -> Row {
        let columns: Vec<&str> = line.split('\t').collect();
        let file: PathBuf = root.join(columns[0]);
        Row {
            provider: columns[1].to_owned(),
            event: columns[2].to_owned(),
            validity: columns[4].to_owned(),
            headers: serde_json::from_str(columns[5]).unwrap(),
            body: std::fs::read(&file).unwrap(),
            file: columns[0].to_owned(),
        }
    };
    let rows = index.lines().skip(1).map(read);
    Some(rows.filter(|row| providers.contains(&row.provider.as_str())).collect())
}

/// A recording as it was sent; headers that it only describes are left out.
fn recorded(uri: &str, row: &Row) -> Request<Body> {
    let mut request = post(uri).body(row.body.clone().into()).unwrap();
    for (name, value) in row.headers.iter().filter(|(_, value)| !value.contains('<')) {
        let name = HeaderName::try_from(name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// The secrets of the recordings that are signed, by their files.
fn secrets() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads");
    let vectors = std::fs::read_to_string(root.join("VECTORS.tsv")).unwrap_or_default();
    let secret = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        Some(((*columns.first()?).to_owned(), (*columns.get(3)?).to_owned()))
    };
    vectors.lines().skip(1).filter_map(secret).collect()
}

fn check(row: &Row, told: &Told) {
    let explained = told.body["reason"].is_string()
        || told.body["build"].is_string()
        || told.body["builds"].is_array();
    let fits = match row.validity.as_str() {
        "valid" => told.code == 200 && explained,
        "edge" => told.code < 500 && explained,
        _ => (400..500).contains(&told.code) && explained,
    };
    assert!(fits, "{} ({}): {told:?}", row.file, row.validity);
}

/// Sends a recording twice, and says in a line what came of it: the answer's code, and either the
/// build (type, revision, image, and its id, which is the event's time and identity) or the reason.
/// Where there are several builds, each has a line of its own after that.
///
/// An event that must be told from another delivery of the same bytes has no id here.
async fn outcome_of(world: &World, row: &Row, request: impl Fn() -> Request<Body>) -> String {
    let told = world.send(request()).await;
    check(row, &told);
    let mut line = format!("{} {} {}", row.file, row.validity, told.code);
    let list = |told: &Told| told.body["builds"].as_array().cloned();
    let several = list(&told);
    let made = several.clone().unwrap_or_else(|| vec![told.body.clone()]);
    if made.iter().all(|made| made["build"].is_null()) {
        let word = told.body["status"].as_str().or(told.body["message"].as_str());
        let reason = told.body["reason"].as_str().unwrap_or_default();
        write!(line, " {}: {reason}", word.unwrap_or_default()).unwrap();
        return line;
    }
    let again = world.send(request()).await;
    let repeated = list(&again).unwrap_or_else(|| vec![again.body.clone()]);
    for (made, again) in made.iter().zip(&repeated) {
        let id = made["build"].as_str().unwrap_or_else(|| panic!("{}: {told:?}", row.file));
        let is_repeated = again["build"] == id;
        assert_eq!(again["duplicate"], is_repeated, "{}: {again:?}", row.file);
        let build = world.app.cluster.build("default", BuildId::parse(id).unwrap()).await;
        let build = build.unwrap().unwrap();
        // What is in two recordings has the payload of the first; what is wrapped is in it whole.
        let is_new = made["duplicate"] == false;
        let (payload, body) = (&build.event.payload, String::from_utf8_lossy(&row.body));
        let is_kept = *payload == row.body
            || String::from_utf8_lossy(payload).contains(body.trim_start_matches('\u{feff}'));
        assert!(!is_new || is_kept, "{}", row.file);
        if several.is_some() {
            line.push_str("\n   ");
        }
        write!(line, " {} {}", build.event.provider, build.fires().join(" ")).unwrap();
        let revision = &build.event.revision;
        write!(line, " commit={} ref={}", revision.commit, revision.reference).unwrap();
        if let Some(image) = &build.event.image {
            write!(line, " image={}", image.reference()).unwrap();
        }
        write!(line, " {}", if is_repeated { id } else { "fresh" }).unwrap();
    }
    line
}
