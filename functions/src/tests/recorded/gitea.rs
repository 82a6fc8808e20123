//! What Gitea sent. The recordings say nothing of a signature, so they are signed here.

use runtime::signature::{Stamp, scheme};

use super::*;

#[tokio::test]
async fn recorded_gitea_deliveries_are_understood() {
    let Some(rows) = rows(&["gitea"]) else { return };
    let world = World::without_scripts().await;
    let mut snapshot = String::new();
    for row in &rows {
        let body: Value = serde_json::from_slice(&row.body).unwrap_or_default();
        if let Some(name) = body["repository"]["full_name"].as_str() {
            world.project(name, json!({"sharedSecret": SECRET})).await;
        }
        let request = |secret: &str| {
            let mut request = recorded("/events/gitea", row);
            let signed = scheme::GITEA.sign(secret, Stamp::default(), &row.body).unwrap();
            request.headers_mut().insert(scheme::GITEA.header, signed.parse().unwrap());
            request
        };
        snapshot += &format!("{}\n", outcome_of(&world, row, || request(SECRET)).await);
        let forged = world.send(request("aye")).await;
        assert_eq!(forged.code, 403, "{}: {forged:?}", row.file);
    }
    println!("{} recorded deliveries of Gitea", rows.len());
    expect_file!["./gitea.txt"].assert_eq(&snapshot);
}
