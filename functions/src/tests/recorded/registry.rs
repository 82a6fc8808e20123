//! What registries sent.

use expect_test::expect_file;

use super::*;

#[tokio::test]
async fn recorded_registry_deliveries_are_understood() {
    let Some(rows) = rows(&["acr", "distribution", "dockerhub", "harbor", "quay"]) else { return };
    let world = World::without_scripts().await;
    let rare = "image_push,image_delete,chart_push,chart_delete,harbor.artifact.pulled,\
                harbor.quota.exceeded,harbor.quota.warned,harbor.replication.status.changed,\
                harbor.scan.completed,harbor.scan.failed,harbor.scan.stopped,\
                harbor.tag_retention.finished";
    world.project("ocean/all", json!({"sharedSecret": SECRET, "filters.events": rare})).await;
    let mut lines = String::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let send = |project: &str| {
            let mut request = post(&format!("/events/webhook/{project}?commit=main"));
            for (name, value) in &row.headers {
                let is_token = name == "Authorization";
                request = request.header(name, if is_token { SECRET } else { value });
            }
            if !row.headers.contains_key("Authorization") {
                request = request.header("x-registry-token", SECRET);
            }
            request.body(row.body.clone().into()).unwrap()
        };
        let line = outcome_of(&world, row, || send("ocean/brig")).await;
        let code = line.split(' ').nth(2).unwrap_or_default();
        *counts.entry(format!("{} {} {code}", row.provider, row.validity)).or_default() += 1;
        let is_passed_over = line.contains("filters.events");
        writeln!(lines, "{line}").unwrap();
        if is_passed_over {
            let line = outcome_of(&world, row, || send("ocean/all")).await;
            writeln!(lines, "  asked for: {line}").unwrap();
        }
    }
    expect_file!["./registry.txt"].assert_eq(&lines);
    println!("{} recorded registry deliveries: {counts:#?}", rows.len());
    assert_eq!(counts.values().sum::<usize>(), rows.len());
}
