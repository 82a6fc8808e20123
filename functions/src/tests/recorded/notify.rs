//! What senders sent, where it is told to somebody: registries, Event Grid, and a git host as one of
//! those of whom nothing is known.

use expect_test::expect_file;

use super::*;

#[tokio::test]
async fn recorded_deliveries_are_told() {
    let senders = ["acr", "distribution", "dockerhub", "harbor", "quay", "eventgrid", "gitea"];
    let Some(rows) = rows(&senders) else { return };
    let world = World::without_scripts().await;
    world.project(PROJECT, sources::secrets(SECRET)).await;
    let mut lines = String::new();
    for row in &rows {
        let mut request = post("/notify/slack/ocean/brig").header("x-registry-token", SECRET);
        for (name, value) in row.headers.iter().filter(|(_, value)| !value.contains('<')) {
            if name != "Authorization" {
                request = request.header(name, value);
            }
        }
        let told = world.send(request.body(row.body.clone().into()).unwrap()).await;
        let fits = if row.validity == "valid" { told.code == 200 } else { told.code < 500 };
        assert!(fits, "{} ({}): {told:?}", row.file, row.validity);
        write!(lines, "{} {} {}", row.file, row.validity, told.code).unwrap();
        let several = told.body["builds"].as_array().cloned();
        for made in several.unwrap_or_else(|| vec![told.body.clone()]) {
            let Some(id) = made["build"].as_str() else {
                let why = made["reason"].as_str().or(made["validationResponse"].as_str());
                write!(lines, " {}", why.unwrap_or_default()).unwrap();
                continue;
            };
            let build = world.app.cluster.build("default", BuildId::parse(id).unwrap()).await;
            let build = build.unwrap().unwrap();
            let told: Value = serde_json::from_slice(&build.event.payload).unwrap();
            let text = |name: &str| told[name].as_str().unwrap_or_default().replace('\n', " / ");
            let again = if made["duplicate"] == true { " (again)" } else { "" };
            write!(
                lines,
                "\n    {} | {} | {}{again}",
                text("title"),
                text("message"),
                text("tone")
            )
            .unwrap();
            for field in told["fields"].as_array().unwrap() {
                let text = |name: &str| field[name].as_str().unwrap().replace('\n', " / ");
                write!(lines, " | {}: {}", text("name"), text("value")).unwrap();
            }
        }
        lines.push('\n');
    }
    println!("{} recorded deliveries were told", rows.len());
    expect_file!["./notify.txt"].assert_eq(&lines);
}
