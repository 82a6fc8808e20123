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
    let Some(rows) = rows(&["github", "ghcr"]) else { return };
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
    for row in &rows {
        let mut body = json_of(&row.body);
        let is_package = row.provider == "ghcr";
        if is_package && repository(&body).is_none() {
            body["repository"] = json!({"full_name": ELSEWHERE, "default_branch": "main"});
            let body = body.to_string();
            lines.push(outcome_of(&world, row, || request(row, body.as_bytes())).await);
        } else {
            lines.push(outcome_of(&world, row, || request(row, &row.body)).await);
        }
    }
    println!("{} recorded GitHub deliveries, asked for: {:#?}", rows.len(), counted(&lines));
    expect_file!["./github-asked.txt"].assert_eq(&(lines.join("\n") + "\n"));
}
