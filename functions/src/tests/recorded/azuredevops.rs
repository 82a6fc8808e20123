//! What Azure DevOps sent. It signs nothing, so a token is put with it.

use super::*;

#[tokio::test]
async fn recorded_azure_devops_deliveries_are_understood() {
    let Some(rows) = rows(&["azuredevops"]) else { return };
    let world = World::without_scripts().await;
    let keys = json!({"secrets": json!({"vstsToken": "ahoy"}).to_string()});
    world.project("ocean/brig", keys).await;
    let mut snapshot = String::new();
    for row in &rows {
        let right = || recorded("/vsts/ocean%2Fbrig/ahoy", row);
        snapshot += &format!("{}\n", outcome_of(&world, row, right).await);
        let forged = world.send(recorded("/vsts/ocean%2Fbrig/aye", row)).await;
        assert_eq!(forged.code, 403, "{}: {forged:?}", row.file);
    }
    println!("{} recorded deliveries of Azure DevOps", rows.len());
    expect_file!["./azuredevops.txt"].assert_eq(&snapshot);
}
