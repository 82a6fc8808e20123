//! What Bitbucket sent, of the cloud and of Data Center. A recording with a signature is proved by it,
//! with the secret that VECTORS.tsv names; every other is signed here.

use runtime::signature::{Stamp, scheme};

use super::*;

const HEADER: &str = "X-Hub-Signature";

#[tokio::test]
async fn recorded_bitbucket_deliveries_are_understood() {
    let Some(rows) = rows(&["bitbucket", "bitbucket-server"]) else { return };
    let secrets = secrets();
    let world = World::without_scripts().await;
    let mut snapshot = String::new();
    let mut proved = 0;
    for row in &rows {
        let body: Value = serde_json::from_slice(&row.body).unwrap_or_default();
        let signed = row.headers.get(HEADER).filter(|value| !value.starts_with('<'));
        let secret = secrets.get(&row.file).map_or(SECRET, String::as_str);
        assert!(signed.is_none() || secret != SECRET, "{} has a secret", row.file);
        if let Some(name) = repository(&body) {
            world.project(&name, json!({"sharedSecret": secret})).await;
        }
        let request = |secret: &str| {
            let mut request = recorded("/events/bitbucket", row);
            let value = scheme::BITBUCKET.sign(secret, Stamp::default(), &row.body).unwrap();
            request.headers_mut().insert(scheme::BITBUCKET.header, value.parse().unwrap());
            request
        };
        proved += usize::from(signed.is_some());
        let right = || match signed {
            Some(_) => recorded("/events/bitbucket", row),
            None => request(secret),
        };
        snapshot += &format!("{}\n", outcome_of(&world, row, right).await);
        let forged = world.send(request("aye")).await;
        let is_public = repository(&body).is_none();
        assert!(forged.code == 403 || is_public, "{}: {forged:?}", row.file);
    }
    println!("{} recorded Bitbucket deliveries, {proved} with their own signatures", rows.len());
    expect_file!["./bitbucket.txt"].assert_eq(&snapshot);
}

fn repository(body: &Value) -> Option<String> {
    let pull = if body["pullRequest"].is_null() { "pullrequest" } else { "pullRequest" };
    let target = &body[pull]["toRef"]["repository"];
    let repository = if target.is_null() { &body["repository"] } else { target };
    let named = repository["full_name"].as_str().or(repository["fullName"].as_str());
    named.map(str::to_owned).or_else(|| {
        let key = repository["project"]["key"].as_str()?;
        Some(format!("{key}/{}", repository["slug"].as_str()?))
    })
}
