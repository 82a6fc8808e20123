//! What Slack sent. What it signed is of another year, so it is signed anew.

use std::collections::HashSet;

use super::super::hosts::slack;
use super::*;

#[tokio::test]
async fn recorded_slack_deliveries_are_understood() {
    let Some(rows) = rows(&["slack"]) else { return };
    let world = World::without_scripts().await;
    world.project("ocean/brig", json!({"slack.signingSecret": SECRET})).await;
    let mut snapshot = String::new();
    let mut known = HashSet::new();
    for row in &rows {
        let json: Value = serde_json::from_slice(&row.body).unwrap();
        let (media, body) = match (json["headers"].is_object(), row.headers.get("Content-Type")) {
            (true, _) => (FORM, json["body"].as_str().unwrap().to_owned()),
            (false, Some(media)) if media == FORM => {
                let text = String::from_utf8(row.body.clone()).unwrap();
                (FORM, serde_urlencoded::to_string([("payload", text)]).unwrap())
            }
            _ => ("application/json", String::from_utf8(row.body.clone()).unwrap()),
        };
        let told = world.send(slack(media, &body, SECRET)).await;
        assert_eq!(told.code, 200, "{}: {told:?}", row.file);
        world.send(slack(media, &body, SECRET)).await;
        let builds = world.app.cluster.builds("default").await.unwrap();
        let new: Vec<String> = builds
            .iter()
            .filter(|build| known.insert(build.id))
            .map(|build| build.fires().join(" "))
            .collect();
        assert!(new.len() <= 1, "{}: {new:?}", row.file);
        let made = new.first().map_or("nothing new", String::as_str);
        let answer = match told.body["build"].as_str() {
            Some(_id) => "in our own form".to_owned(),
            None => builds.iter().fold(told.body.to_string(), |text, build| {
                text.replace(&build.id.to_string(), "<id>")
            }),
        };
        snapshot += &format!("{} {made} | {answer}\n", row.file);

        let forged = world.send(slack(media, &body, "aye")).await;
        assert_eq!(forged.code, 401, "{}: {forged:?}", row.file);
    }
    println!("{} recorded Slack deliveries", rows.len());
    expect_file!["./slack.txt"].assert_eq(&snapshot);
}

const FORM: &str = "application/x-www-form-urlencoded";
