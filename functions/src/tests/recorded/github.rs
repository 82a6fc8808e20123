//! What GitHub sent, and the packages among it.

use expect_test::expect_file;

use super::*;

/// The repository of deliveries that name none, where one is asked about.
const ELSEWHERE: &str = "ocean/brig";

/// The body as JSON, if it is any.
fn json_of(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default()
}

/// The name of the repository, as the receiver finds it.
fn repository(body: &Value) -> Option<String> {
    let repository = &body["repository"];
    let owner = &repository["owner"]["login"];
    let parts = || Some(format!("{}/{}", owner.as_str()?, repository["name"].as_str()?));
    repository["full_name"].as_str().map(str::to_owned).or_else(parts)
}

/// The recording with the headers that it was sent with, signed anew.
fn request(row: &Row, body: &[u8]) -> Request<Body> {
    let event = row.headers.get("X-GitHub-Event").unwrap_or(&row.event);
    let mut request = delivery(event, body.to_vec());
    for (name, value) in &row.headers {
        let name: axum::http::HeaderName = name.parse().unwrap();
        if !value.contains('<') && !name.as_str().starts_with("x-hub-signature") {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    request
}

/// A world where the project of every recording has these keys.
async fn world(rows: &[Row], keys: Value) -> World {
    let world = World::without_scripts().await;
    let names = rows.iter().filter_map(|row| repository(&json_of(&row.body)));
    let mut names: Vec<String> = names.chain([ELSEWHERE.to_owned()]).collect();
    names.sort();
    names.dedup();
    for name in names {
        world.project(&name, keys.clone()).await;
    }
    world
}

fn counted(lines: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.splitn(5, ' ').skip(1).take(3).collect();
        *counts.entry(words.join(" ")).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn recorded_github_deliveries_are_understood() {
    let Some(rows) = rows(&["github", "ghcr"]) else { return };
    let world = world(&rows, json!({"sharedSecret": SECRET})).await;
    let mut lines = Vec::new();
    for row in &rows {
        lines.push(outcome_of(&world, row, || request(row, &row.body)).await);

        let mut forged = request(row, &row.body);
        forged.headers_mut().insert("x-hub-signature-256", "sha256=00".parse().unwrap());
        let told = world.send(forged).await;
        assert!(told.body["build"].is_null(), "{}: {told:?}", row.file);
        let is_public = repository(&json_of(&row.body)).is_none();
        assert!(is_public || told.code >= 400, "{}: {told:?}", row.file);
    }
    println!("{} recorded GitHub deliveries: {:#?}", rows.len(), counted(&lines));
    expect_file!["./github.txt"].assert_eq(&(lines.join("\n") + "\n"));
}

#[tokio::test]
async fn recorded_github_deliveries_are_built_where_they_are_asked_for() {
    let Some(mut rows) = rows(&["github", "ghcr"]) else { return };
    let mut names: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut asked = vec!["*".to_owned()];
    asked.extend(names.into_iter().map(str::to_owned));
    let of_pulls = rows.iter().filter(|row| row.event == "pull_request");
    asked.extend(of_pulls.map(|row| {
        let body = json_of(&row.body);
        format!("pull_request:{}", body["action"].as_str().unwrap_or_default())
    }));
    let keys = json!({"sharedSecret": SECRET, "filters.events": asked.join(",")});
    let world = world(&rows, keys).await;
    let mut lines = Vec::new();
    for row in &mut rows {
        let mut body = json_of(&row.body);
        if row.provider == "ghcr" && repository(&body).is_none() {
            body["repository"] = json!({"full_name": ELSEWHERE, "default_branch": "main"});
            row.body = body.to_string().into_bytes();
        }
        lines.push(outcome_of(&world, row, || request(row, &row.body)).await);
    }
    println!("{} recorded GitHub deliveries, asked for: {:#?}", rows.len(), counted(&lines));
    expect_file!["./github-asked.txt"].assert_eq(&(lines.join("\n") + "\n"));
}

#[tokio::test]
async fn recorded_signatures_of_github_prove_what_they_were_made_for() {
    let Some(rows) = rows(&["github"]) else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/payloads");
    let vectors = std::fs::read_to_string(root.join("VECTORS.tsv")).unwrap();
    let mut proved = 0;
    for vector in vectors.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        let Some(row) = rows.iter().find(|row| row.file == vector[0]) else { continue };
        let (header, secret, signature) = (vector[1], vector[3], vector[4]);
        let world =
            World::with(Settings { github_allow_sha1: true, inline: Inline::Never, ..calm() });
        let world = world.await;
        let name = repository(&json_of(&row.body)).unwrap();
        world.project(&name, json!({"sharedSecret": secret})).await;
        let mut request = request(row, &row.body);
        request.headers_mut().remove("x-hub-signature-256");
        let header: axum::http::HeaderName = header.parse().unwrap();
        request.headers_mut().insert(header, signature.parse().unwrap());
        let told = world.send(request).await;
        assert_eq!((told.code, &told.body["status"]), (200, &json!("Complete")), "{told:?}");
        proved += 1;
    }
    println!("{proved} recorded signatures of GitHub");
    assert!(proved > 0);
}
