//! The conformance cases of CloudEvents, and events of other versions.

use expect_test::expect_file;

use super::*;

/// A recorded message: its method, its headers, and its body.
fn message(row: &Row) -> (String, BTreeMap<String, String>, Vec<u8>) {
    if !row.headers.contains_key("(envelope)") {
        return ("POST".to_owned(), row.headers.clone(), row.body.clone());
    }
    let envelope: Value = serde_json::from_slice(&row.body).unwrap();
    let text = |key: &str| envelope[key].as_str().unwrap_or_default().to_owned();
    let headers = serde_json::from_value(envelope["headers"].clone()).unwrap();
    (text("method"), headers, text("body").into_bytes())
}

#[tokio::test]
async fn recorded_cloudevents_come_to_what_they_should() {
    let Some(rows) = rows(&["cloudevents"]) else { return };
    let world = World::without_scripts().await;
    world.project("ocean/brig", json!({"genericGatewaySecret": SECRET})).await;
    let mut told = String::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let (method, headers, body) = message(row);
        let request = |uri: &str| {
            let mut request = Request::builder().method(method.as_str()).uri(uri);
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let request = request.header("authorization", format!("Bearer {SECRET}"));
            request.body(Body::from(body.clone())).unwrap()
        };
        let (now, before) = ("/cloudevents/v1/ocean/brig", "/cloudevents/v02/ocean%2Fbrig");
        // The older versions are refused where 1.0 is taken; 0.2 is taken where Brigade took it.
        let uris = if row.validity == "legacy" { vec![now, before] } else { vec![now] };
        for uri in uris {
            let version = if uri == before { "v02 " } else { "" };
            let answer = world.send(request(uri)).await;
            *counts.entry(format!("{version}{} {}", row.validity, answer.code)).or_default() += 1;
            let line = match answer.body["builds"].as_array() {
                Some(builds) => {
                    let ids: Vec<&str> =
                        builds.iter().filter_map(|each| each["build"].as_str()).collect();
                    assert_eq!(ids.len(), builds.len(), "{}: {answer:?}", row.file);
                    format!("{} {} {} {}", row.file, row.validity, answer.code, ids.join(" "))
                }
                None if row.validity == "legacy" => {
                    let reason = answer.body["reason"].as_str().unwrap_or_default();
                    let status = answer.body["status"].as_str().unwrap();
                    format!("{version}{} legacy {} {status}: {reason}", row.file, answer.code)
                }
                None => outcome_of(&world, row, || request(uri)).await,
            };
            told += &line;
            told.push('\n');
        }
    }
    println!("{} recorded CloudEvents: {counts:?}", rows.len());
    expect_file!["./cloudevents.txt"].assert_eq(&told);
}
