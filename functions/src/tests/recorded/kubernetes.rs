//! What API servers asked, and the Events of a real cluster.

use expect_test::expect_file;

use super::*;

#[tokio::test]
async fn recorded_kubernetes_events_come_to_what_they_should() {
    let Some(rows) = rows(&["kubernetes"]) else { return };
    let world = World::without_scripts().await;
    let keys =
        json!({"sharedSecret": SECRET, "kubernetes.eventFilters": r#"[{"action": "accept"}]"#});
    world.project("ocean/brig", keys).await;
    let mut told = String::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let request = || {
            let mut request = post("/events/kubernetes/ocean/brig/aye%20aye?timeout=30s");
            for (name, value) in &row.headers {
                request = request.header(name, value);
            }
            request.body(row.body.clone().into()).unwrap()
        };
        let answer = world.send(request()).await;
        *counts.entry(format!("{} {}", row.validity, answer.code)).or_default() += 1;
        let line = match answer.body["response"].as_object() {
            Some(response) => {
                let asked: Value = serde_json::from_slice(&row.body).unwrap();
                assert_eq!(response["uid"], asked["request"]["uid"], "{}", row.file);
                assert_eq!(response["allowed"], true);
                assert_eq!(answer.body["apiVersion"], asked["apiVersion"]);
                let audit = &response["auditAnnotations"];
                let again =
                    world.send(request()).await.body["response"]["auditAnnotations"].clone();
                assert_eq!(audit["build"], again["build"]);
                let what = audit["build"].as_str().or(audit["reason"].as_str()).unwrap();
                format!("{} {} allowed {} {what}", row.file, row.validity, audit["outcome"])
            }
            None => outcome_of(&world, row, request).await,
        };
        told += &line;
        told.push('\n');
    }
    println!("{} recorded deliveries of Kubernetes: {counts:?}", rows.len());
    expect_file!["./kubernetes.txt"].assert_eq(&told);
}
