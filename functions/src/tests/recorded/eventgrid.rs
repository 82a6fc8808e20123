//! What Event Grid sent.

use expect_test::expect_file;

use super::*;

#[tokio::test]
async fn recorded_event_grid_deliveries_come_to_what_they_should() {
    let Some(rows) = rows(&["eventgrid"]) else { return };
    let world = World::without_scripts().await;
    let secrets = json!({"eventGridToken": SECRET}).to_string();
    world.project("ocean/brig", json!({"secrets": secrets})).await;
    let mut told = String::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let request = || {
            let mut request = post("/eventgrid/ocean%2Fbrig/aye%20aye");
            for (name, value) in &row.headers {
                request = request.header(name, value);
            }
            request.body(row.body.clone().into()).unwrap()
        };
        let answer = world.send(request()).await;
        *counts.entry(format!("{} {}", row.validity, answer.code)).or_default() += 1;
        let line = if let Some(code) = answer.body["validationResponse"].as_str() {
            format!("{} {} {} validated {code}", row.file, row.validity, answer.code)
        } else if let Some(builds) = answer.body["builds"].as_array() {
            let made = |each: &Value| format!("{} {}", each["events"], each["build"]);
            let made: Vec<String> = builds.iter().map(made).collect();
            assert!(builds.iter().all(|each| each["build"].is_string()), "{answer:?}");
            format!("{} {} {} {}", row.file, row.validity, answer.code, made.join(" "))
        } else {
            outcome_of(&world, row, request).await
        };
        told += &line;
        told.push('\n');
    }
    println!("{} recorded deliveries of Event Grid: {counts:?}", rows.len());
    expect_file!["./eventgrid.txt"].assert_eq(&told);
}
