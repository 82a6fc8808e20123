//! What registries sent.

use super::*;

#[tokio::test]
async fn recorded_registry_deliveries_are_understood() {
    let Some(rows) = rows(&["acr", "dockerhub"]) else { return };
    let world = World::without_scripts().await;
    let mut counts = BTreeMap::<String, usize>::new();
    for row in &rows {
        let mut request = post("/events/webhook/ocean/brig?commit=main&token=aye+aye")
            .body(row.body.clone().into())
            .unwrap();
        if let Some(media) = row.headers.get("Content-Type") {
            request.headers_mut().insert("content-type", media.parse().unwrap());
        }
        let told = world.send(request).await;
        check(row, &told);
        if let Some(id) = told.body["build"].as_str() {
            let builds = world.app.cluster.builds("default").await.unwrap();
            let build = builds.into_iter().find(|build| build.id.to_string() == id).unwrap();
            assert_eq!(build.event.provider, row.provider, "{}", row.file);
            assert_eq!(build.event.payload, row.body, "{}", row.file);
            if row.validity == "valid" {
                assert!(build.event.image.is_some(), "{}", row.file);
            }
        }
        *counts.entry(format!("{} {}", row.provider, outcome(&told))).or_default() += 1;
    }
    println!("{} recorded registry deliveries: {counts:#?}", rows.len());
}
