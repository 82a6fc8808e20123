//! Replays recorded conversations with a real API server, where they are at hand, and counts the
//! answers that agree. Differences are written to a file, to be worked off topic by topic.

mod compare;
mod kubectl;
mod run;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The share of all compared answers that must agree, in percent. Raise it when it is surpassed.
///
/// What is not held against the server:
/// - the descriptions of columns: they are texts of others, and ours are our own
/// - the order of warnings and of unknown fields: requests are sent here with sorted keys, and both
///   come in the order of the request
/// - the date of the build in `discovery`: this is another build
/// - what a race of the controllers for jobs decided otherwise, now and then
const GOAL: usize = 98;

/// The share of the outputs of a kubectl of the recorded version that must agree, in percent.
const OUTPUTS: usize = 90;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kube")
}

fn scenarios(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = Vec::new();
    for topic in folder.read_dir().expect("the folder can be read").flatten() {
        if let Ok(entries) = topic.path().read_dir() {
            files.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).expect("a scenario can be read");
            serde_json::from_str(&text).expect("a scenario is JSON")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_agree() {
    let folder = folder();
    if !folder.is_dir() {
        println!("skipped: no recorded conversations at {}", folder.display());
        return;
    }
    let minor = crate::kubectl::minor().await;
    let mut tasks = Vec::new();
    for scenario in scenarios(&folder) {
        tasks.push(tokio::spawn(async move {
            let name = scenario["scenario"].as_str().unwrap_or_default().to_owned();
            (name, run::scenario(&scenario, minor).await)
        }));
    }
    let mut topics: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut report = String::new();
    let (mut same, mut printed) = (0, 0);
    for task in tasks {
        let (name, outcome) = task.await.expect("a scenario does not panic");
        let topic = name.split('/').next().unwrap_or_default().to_owned();
        let counts = topics.entry(topic).or_default();
        counts.0 += outcome.agreed;
        counts.1 += outcome.compared;
        same += outcome.printed.0;
        printed += outcome.printed.1;
        for difference in outcome.differences {
            writeln!(report, "{name} {difference}").expect("a string can be written");
        }
    }
    let (mut agreed, mut compared) = (0, 0);
    for (topic, (good, all)) in &topics {
        println!("{topic:40} {good:5} of {all:5}");
        agreed += good;
        compared += all;
    }
    match minor {
        None => println!("skipped: there is no kubectl on PATH"),
        Some(minor) => {
            println!("kubectl 1.{minor} prints {same} of {printed} recorded outputs of 1.36")
        }
    }
    if minor == Some(36) {
        assert!(same * 100 >= printed * OUTPUTS, "only {same} of {printed} outputs agree");
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay.txt");
    std::fs::write(&file, report).expect("the report can be written");
    let share = agreed * 100 / compared.max(1);
    // Past the capture of the output: the share is shown when all is well, too.
    writeln!(
        std::io::stderr(),
        "recorded conversations: {agreed} of {compared} answers agree ({share} %); the differences are in {}",
        file.display()
    )
    .expect("the standard error can be written");
    assert!(share >= GOAL, "only {share} % agree");
}
