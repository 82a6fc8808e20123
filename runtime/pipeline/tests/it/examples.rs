//! The examples of Brigade's documentation, written anew, and one of Brigade 2's API:
//! `tests/projects/`.

use std::path::PathBuf;

use pipeline::StartEnd;
use runtime::project::values;

use crate::world::{World, event};

/// What an example does.
struct Example {
    name: &'static str,
    /// The jobs, with their scripts: those of a step run side by side, steps one after the other.
    steps: &'static [&'static [(&'static str, Option<&'static str>)]],
    /// What the script itself prints.
    says: &'static [&'static str],
    /// Whether the function can leave it to its jobs.
    detached: bool,
}

const EXAMPLES: &[Example] = &[
    talk("01-hello", &["hello from the top of a script"]),
    talk("02-first-event", &["somebody asked to run this"]),
    talk("03-two-handlers", &["exec was fired"]),
    talk("04-after", &["working", "tidying up"]),
    Example { detached: true, ..work("05-job-without-tasks", &[&[("as-it-is", None)]]) },
    Example { detached: true, ..work("06-tasks", &[&[("lines", Some("echo one\necho two"))]]) },
    Example {
        detached: true,
        ..work("07-parallel", &[&[("left", Some("echo left")), ("right", Some("echo right"))]])
    },
    work("08-serial", &[&[("first", Some("echo first"))], &[("second", Some("echo second"))]]),
    Example {
        detached: true,
        ..work("09-source", &[&[("reader", Some("cd /src/docs\ncat index.txt"))]])
    },
    work(
        "10-group-then-job",
        &[
            &[("lint", Some("echo lint")), ("test", Some("echo test"))],
            &[("ship", Some("echo ship"))],
        ],
    ),
    Example {
        says: &["2 parts are built"],
        ..work(
            "11-group-run-all",
            &[
                &[("api", Some("echo building api")), ("web", Some("echo building web"))],
                &[("assemble", Some("echo assembling"))],
            ],
        )
    },
    Example {
        says: &["2 early, 2 late"],
        ..work(
            "12-group-instances",
            &[
                &[("a", Some("echo a")), ("b", Some("echo b"))],
                &[("c", Some("echo c")), ("d", Some("echo d"))],
            ],
        )
    },
    talk(
        "13-event-and-project",
        &[
            "event exec of test",
            "project github.com/examples/13-event-and-project cloned from https://github.com/examples/13-event-and-project.git",
        ],
    ),
    Example {
        detached: true,
        ..work("14-environment", &[&[("greeter", Some("echo \"$GREETING, $WHO\""))]])
    },
    work(
        "15-shared-storage",
        &[
            &[("writer", Some("echo a letter > /mnt/brigade/share/letter"))],
            &[("reader", Some("cat /mnt/brigade/share/letter"))],
        ],
    ),
    Example {
        detached: true,
        ..work(
            "16-cache",
            &[&[(
                "visitor",
                Some("echo BUILD >> /mnt/brigade/cache/visitors\ncat /mnt/brigade/cache/visitors"),
            )]],
        )
    },
    work(
        "17-results",
        &[&[("dice", Some("echo 4"))], &[("told", Some("echo \"the dice say log of dice\""))]],
    ),
    talk("18-emit", &["exec, and now the next", "next, because of exec"]),
    talk("19-fire", &["next by exec-handler, because of exec"]),
    talk("20-two-handlers-one-event", &["the first", "the second"]),
    talk("21-nested-handlers", &["registered inside, called later"]),
    Example {
        says: &["one said log of one", "all three are done"],
        ..work(
            "advanced-01-promises",
            &[
                &[("one", Some("echo one"))],
                &[("two", Some("echo two"))],
                &[("three", Some("echo three"))],
            ],
        )
    },
    Example {
        says: &["one said log of one", "two said log of two"],
        ..work("advanced-02-async", &[&[("one", Some("echo one"))], &[("two", Some("echo two"))]])
    },
    Example {
        says: &["Error: Pod broken-BUILD failed to run to completion", "went on without broken"],
        ..work(
            "advanced-03-catch",
            &[&[("broken", Some("exit 1"))], &[("repair", Some("echo repairing"))]],
        )
    },
    Example {
        detached: true,
        ..work("advanced-04-subclass", &[&[("greeting", Some("echo hello world"))]])
    },
    Example {
        detached: true,
        ..work(
            "advanced-05-subclass-tasks",
            &[&[("prepared", Some("echo preparing\necho building\necho done"))]],
        )
    },
    work("v2-sidecar", &[&[("guest", None)]]),
];

const fn talk(name: &'static str, says: &'static [&'static str]) -> Example {
    Example { name, steps: &[], says, detached: false }
}

const fn work(
    name: &'static str,
    steps: &'static [&'static [(&'static str, Option<&'static str>)]],
) -> Example {
    Example { name, steps, says: &[], detached: false }
}

fn projects() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/projects")
}

async fn context(world: &World, name: &str) -> pipeline::Context {
    let folder = projects().join(name);
    let yaml = std::fs::read_to_string(folder.join("project.yaml")).unwrap();
    let script = std::fs::read_to_string(folder.join("brigade.js")).unwrap();
    let (project, warnings) = values::read(&yaml, "default").unwrap();
    assert_eq!(warnings, [""; 0], "{name}");
    let mut event = event("exec");
    if name.starts_with("v2-") {
        event.provider = "brigade-cli".to_owned();
    }
    world.build_of(project, event, &script).await
}

#[tokio::test]
async fn every_example_is_in_the_table() {
    let mut folders: Vec<String> = std::fs::read_dir(projects())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let known: Vec<&str> = EXAMPLES.iter().map(|example| example.name).collect();
    assert_eq!(folders, known);
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    for example in EXAMPLES {
        let world = World::new();
        let context = context(&world, example.name).await;
        let build = context.build.id.to_string();
        let failing = |job: &str| i32::from(job == "broken");
        let outcome = world
            .run(&context, async {
                let mut so_far = 0;
                for step in example.steps {
                    let names: Vec<&str> = step.iter().map(|(name, _)| *name).collect();
                    world.wait_for(&names).await;
                    so_far += names.len();
                    assert_eq!(world.jobs().await.len(), so_far, "{}", example.name);
                    for name in names {
                        world.end(name, failing(name)).await;
                    }
                }
            })
            .await;
        assert_eq!(outcome.exit_code, 0, "{}: {:#?}", example.name, world.printed());
        let said: Vec<String> =
            world.said().into_iter().map(|line| line.replace(&build, "BUILD")).collect();
        assert_eq!(said, example.says, "{}", example.name);
        let jobs: Vec<&str> = outcome.jobs.iter().map(|job| job.name.as_str()).collect();
        let expected: Vec<&str> =
            example.steps.iter().copied().flatten().map(|job| job.0).collect();
        assert_eq!(jobs, expected, "{}", example.name);
        for (name, script) in example.steps.iter().copied().flatten() {
            let main = world.key(name, "main.sh").await.map(|text| text.replace(&build, "BUILD"));
            let whole = script.map(|script| format!("#!/bin/sh\n\nset -e\n\n{script}"));
            assert_eq!(main, whole, "{}", example.name);
            let pod = world.job_pod(name).await;
            assert_eq!(pod.metadata.name.unwrap(), format!("{name}-{build}"));
        }
    }
}

#[tokio::test]
async fn every_example_starts_in_a_function() {
    for example in EXAMPLES {
        let world = World::new();
        let context = context(&world, example.name).await;
        let start = world.start(&context).await;
        let first: Vec<&str> =
            example.steps.first().copied().into_iter().flatten().map(|job| job.0).collect();
        let created: Vec<&str> = start.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(created, first, "{}", example.name);
        match start.end {
            StartEnd::Detached => assert!(example.detached, "{}", example.name),
            StartEnd::Ended(outcome) => {
                assert!(example.steps.is_empty(), "{}", example.name);
                assert_eq!(outcome.exit_code, 0, "{}", example.name);
                assert_eq!(world.said(), example.says, "{}", example.name);
            }
            StartEnd::Awaits { reason } => {
                assert!(!example.detached && !first.is_empty(), "{}: {reason}", example.name);
            }
        }
    }
}

#[tokio::test]
async fn what_the_examples_ask_for_besides_is_there() {
    let world = World::new();
    let with_environment = context(&world, "14-environment").await;
    world.start(&with_environment).await;
    assert_eq!(world.key("greeter", "GREETING").await.as_deref(), Some("Good day"));
    assert_eq!(world.key("greeter", "WHO").await.as_deref(), Some("stranger"));
    let with_cache = context(&world, "16-cache").await;
    world.start(&with_cache).await;
    let claims = world.claims().await;
    assert_eq!(claims, ["github-com-examples-16-cache-visitor"]);
    let with_storage = context(&world, "15-shared-storage").await;
    world.start(&with_storage).await;
    let pod = world.job_pod("writer").await;
    let volumes = pod.spec.unwrap().volumes.unwrap();
    let claim = volumes.iter().find(|volume| volume.name == "build-storage").unwrap();
    assert_eq!(
        claim.persistent_volume_claim.as_ref().unwrap().claim_name,
        with_storage.build.name()
    );
}
