//! What Brigade's generic gateway was sent.

use expect_test::expect_file;

use super::*;

#[tokio::test]
async fn recorded_simple_events_come_to_what_they_should() {
    let Some(rows) = rows(&["generic"]) else { return };
    let world = World::without_scripts().await;
    world.project("ocean/brig", json!({"genericGatewaySecret": SECRET})).await;
    let mut told = String::new();
    for row in &rows {
        let request = || {
            let request = post("/simpleevents/v1/ocean%2Fbrig");
            let request = request.header("authorization", format!("Bearer {SECRET}"));
            request.body(row.body.clone().into()).unwrap()
        };
        told += &outcome_of(&world, row, request).await;
        told.push('\n');
    }
    println!("{} recorded simple events", rows.len());
    expect_file!["./generic.txt"].assert_eq(&told);
}
