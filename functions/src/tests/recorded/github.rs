//! What GitHub sent.

use super::*;

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
