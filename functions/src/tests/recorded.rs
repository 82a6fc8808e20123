//! What senders really sent, where recordings of it are at hand beside the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

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

/// What became of a row, for the counts.
fn outcome(told: &Told) -> String {
    let word = told.body["status"].as_str().or(told.body["message"].as_str()).unwrap_or_default();
    format!("{} {word}", told.code)
}

fn check(row: &Row, told: &Told) {
    let explained = told.body["reason"].is_string() || told.body["build"].is_string();
    let fits = match row.validity.as_str() {
        "valid" => told.code == 200 && explained,
        "edge" => told.code < 500 && explained,
        _ => (400..500).contains(&told.code) && explained,
    };
    assert!(fits, "{} ({}): {told:?}", row.file, row.validity);
}

#[tokio::test]
async fn recorded_github_deliveries_are_understood() {
    let Some(rows) = rows(&["github"]) else { return };
    let world = World::without_scripts().await;
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let text = String::from_utf8_lossy(&row.body);
        let body: Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
        let repository = &body["repository"];
        let parts = || {
            let owner = &repository["owner"]["login"];
            Some(format!("{}/{}", owner.as_str()?, repository["name"].as_str()?))
        };
        if let Some(name) = repository["full_name"].as_str().map(str::to_owned).or_else(parts) {
            world.project(&name, json!({"sharedSecret": SECRET})).await;
        }
        let header = row.headers.get("X-GitHub-Event");
        let event = header.unwrap_or(&row.event).as_str();
        let told = world.send(delivery(event, row.body.clone())).await;
        check(row, &told);
        *counts.entry(outcome(&told)).or_default() += 1;

        let mut forged = delivery(event, row.body.clone());
        forged.headers_mut().insert("x-hub-signature-256", "sha256=00".parse().unwrap());
        let told = world.send(forged).await;
        assert!(told.body["build"].is_null(), "{}: {told:?}", row.file);
        let is_public = repository.is_null();
        assert!(is_public || told.code >= 400, "{}: {told:?}", row.file);
    }
    println!("{} recorded GitHub deliveries: {counts:#?}", rows.len());
    assert!(!world.builds().await.is_empty());
}

#[tokio::test]
async fn recorded_registry_deliveries_are_understood() {
    let Some(rows) = rows(&["acr", "dockerhub"]) else { return };
    let world = World::without_scripts().await;
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let mut request = post("/events/webhook/ocean/brig?commit=main&token=aye+aye")
            .body(row.body.clone().into())
            .unwrap();
        if let Some(media) = row.headers.get("Content-Type") {
            request.headers_mut().insert("content-type", media.parse().unwrap());
        }
        let told = world.send(request).await;
        check(row, &told);
        if let Some(id) = told.body["build"].as_str() {
            let builds = world.app.cluster.builds("default").await.unwrap();
            let build = builds.into_iter().find(|build| build.id.to_string() == id).unwrap();
            assert_eq!(build.event.provider, row.provider, "{}", row.file);
            assert_eq!(build.event.payload, row.body, "{}", row.file);
            if row.validity == "valid" {
                assert!(build.event.image.is_some(), "{}", row.file);
            }
        }
        *counts.entry(format!("{} {}", row.provider, outcome(&told))).or_default() += 1;
    }
    println!("{} recorded registry deliveries: {counts:#?}", rows.len());
}
