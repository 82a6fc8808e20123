//! What GitLab sent.

use super::*;

#[tokio::test]
async fn recorded_gitlab_deliveries_are_understood() {
    let Some(rows) = rows(&["gitlab"]) else { return };
    let world = World::without_scripts().await;
    let mut snapshot = String::new();
    for row in &rows {
        let body: Value = serde_json::from_slice(&row.body).unwrap_or_default();
        let names = [
            &body["project"]["path_with_namespace"],
            &body["path_with_namespace"],
            &body["project_path_with_namespace"],
        ];
        let homepage = body["repository"]["homepage"].as_str();
        let path = homepage.and_then(|url| url.splitn(4, '/').nth(3));
        if let Some(name) = names.into_iter().find_map(Value::as_str).or(path) {
            world.project(name, json!({"sharedSecret": SECRET})).await;
        }
        let request = |token: &str| {
            let mut request = post("/events/gitlab").body(row.body.clone().into()).unwrap();
            for (name, value) in &row.headers {
                let name = HeaderName::try_from(name).unwrap();
                let value = value.replace("<configured token>", token).parse().unwrap();
                request.headers_mut().insert(name, value);
            }
            request
        };
        snapshot += &format!("{}\n", outcome_of(&world, row, || request(SECRET)).await);
        let forged = world.send(request("aye")).await;
        assert!(forged.body["build"].is_null(), "{}: {forged:?}", row.file);
        assert!(forged.code == 403 || forged.body["project"].is_null(), "{}: {forged:?}", row.file);
    }
    println!("{} recorded GitLab deliveries", rows.len());
    expect_file!["./gitlab.txt"].assert_eq(&snapshot);
}
