//! A project's notifiers are told of its builds, by several workers at once.

use std::collections::BTreeMap;

use apiserver::{Options, Server};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::any;
use pipeline::{JobEnd, JobResult};
use runtime::cluster::Creation;
use runtime::event::{Event, Revision};
use runtime::project::values;
use serde_json::{Value, json};

use super::*;
use crate::OutboxOptions;

struct World {
    cluster: Cluster,
    project: Project,
    outbox: Outbox,
    taken: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<bool>>,
    printed: Arc<Mutex<Vec<String>>>,
    _server: Server,
}

/// What the sink has taken, and whether it takes nothing.
type Taken = (Arc<Mutex<Vec<Value>>>, Arc<Mutex<bool>>);

impl World {
    /// With these notifiers, whose hooks are at `<url>`.
    async fn new(notifiers: &str) -> World {
        let server = Server::new(Options::default()).unwrap();
        let cluster = Cluster::new(server.client(), "default");
        let (taken, refused) = Taken::default();
        let take = async |State((taken, refused)): State<Taken>, uri: Uri, body: String| {
            if *refused.lock().unwrap() {
                return (StatusCode::FORBIDDEN, "invalid_token");
            }
            if let Ok(body) = serde_json::from_str(&body) {
                taken.lock().unwrap().push(body);
            }
            // As GitHub does, and as Slack does.
            match uri.path().contains("/repos/") {
                true => (StatusCode::CREATED, r#"{"id": 7, "total_count": 0, "check_runs": []}"#),
                false => (StatusCode::OK, "ok"),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/T0/B0/x", listener.local_addr().unwrap());
        let sink = Router::new().fallback(any(take)).with_state((taken.clone(), refused.clone()));
        tokio::spawn(async move { axum::serve(listener, sink).await });
        let yaml = format!(
            "project: acme/demo\nrepository: github.com/acme/demo\nnotifiers: {}",
            notifiers.replace("<url>", &url)
        );
        let (project, _) = values::read(&yaml, "default").unwrap();
        let allowed_hosts = vec!["127.0.0.1".to_owned()];
        let outbox = Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() });
        let printed = Arc::default();
        World { cluster, project, outbox, taken, refused, printed, _server: server }
    }

    async fn build(&self, number: usize) -> Build {
        let event = Event {
            revision: Revision {
                commit: "c0ffee00".repeat(5),
                reference: "refs/heads/main".to_owned(),
            },
            ..Event::new("github", "push", format!("{number}"))
        };
        let build = Build::new(&self.project, event, Timestamp::now());
        match self.cluster.create_build(&build).await.unwrap() {
            Creation::Made(build) | Creation::Exists(build) => build,
        }
    }

    fn reporter(&self, build: &Build) -> Reporter {
        let printed = self.printed.clone();
        let output: Output = Arc::new(move |line| printed.lock().unwrap().push(line.text));
        let options = ReportOptions::default();
        Reporter::new(&self.cluster, &self.project, build, &self.outbox, &options, output).unwrap()
    }

    async fn noted(&self, build: &Build) -> Value {
        let build = self.cluster.build("default", build.id).await.unwrap().unwrap();
        serde_json::from_str(&build.annotations[annotation::NOTIFIED]).unwrap()
    }

    /// All that was posted, as texts.
    fn texts(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(Value::to_string).collect()
    }
}

fn outcome(phase: Phase) -> Outcome {
    Outcome {
        phase,
        exit_code: i32::from(phase != Phase::Succeeded),
        reason: (phase == Phase::Failed).then(|| "it is <red> & bad".to_owned()),
        summary: None,
        jobs: Vec::new(),
        started: Timestamp::now(),
        finished: Timestamp::now(),
        log: String::new(),
        heard: true,
    }
}

#[tokio::test]
async fn a_burst_of_builds_is_a_few_messages_and_every_build_is_in_one() {
    const BUILDS: usize = 200;
    const WORKERS: usize = 8;
    let world = Arc::new(
        World::new(
            "[{kind: slack, on: [succeeded, failed], most: 10, window: 600, settings: {SLACK_WEBHOOK: '<url>'}}]",
        )
        .await,
    );
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let world = world.clone();
        workers.spawn(async move {
            let mut waiting = Vec::new();
            for number in (worker..BUILDS).step_by(WORKERS) {
                let build = world.build(number).await;
                let phase = if number % 2 == 0 { Phase::Failed } else { Phase::Succeeded };
                let mut reporter = world.reporter(&build);
                reporter.desk.hub().close(&outcome(phase), false);
                // Until all is sent or collected: who waits for the window's end goes on to wait.
                while world.noted(&build).await["slack"].is_null() {
                    let rest = Duration::from_millis(20);
                    let _waits = tokio::time::timeout(rest, reporter.lanes.join_next()).await;
                }
                waiting.push(reporter);
            }
            waiting
        });
    }
    let waiting = workers.join_all().await;
    assert_eq!(world.texts().len(), 10);
    assert_eq!(waiting.iter().map(Vec::len).sum::<usize>(), BUILDS);
    // The window is over.
    let notifier = &world.project.notifiers.all()[0];
    let collection = world.cluster.collection(&world.project, "slack").await.unwrap();
    let mut kept: Value = serde_json::from_str(&collection.text).unwrap();
    let keeper = kept["kept"]["keeper"].as_str().unwrap().to_owned();
    kept["ends"] = json!(Timestamp::now());
    let over = kept.to_string();
    let (cluster, project) = (&world.cluster, &world.project);
    assert!(cluster.put_collection(project, "slack", &collection, &over).await.unwrap());
    let said = gather::flush(cluster, project, notifier, &keeper, &world.outbox).await.unwrap();
    let texts = world.texts();
    assert_eq!((said.len(), texts.len()), (1, 11));
    let single = |word: &str| texts[..10].iter().filter(|text| text.contains(word)).count();
    let (failed, succeeded) = (100 - single("has failed"), 100 - single("has succeeded"));
    let title =
        format!("190 builds in the last 10 minutes: {failed} failed, {succeeded} succeeded");
    assert!(texts[10].contains(&title), "{title}: {}", texts[10]);
    // Nobody has anything left to tell.
    for me in [keeper.as_str(), "sweeper"] {
        let said = gather::flush(cluster, project, notifier, me, &world.outbox).await.unwrap();
        assert_eq!(said, Vec::<String>::new());
    }
    drop(waiting);
}

#[tokio::test]
async fn who_collected_tells_it_when_the_window_ends() {
    let world = World::new(
        "[{kind: slack, on: [failed], most: 1, window: 1, settings: {SLACK_WEBHOOK: '<url>'}}]",
    )
    .await;
    let mut ends = JoinSet::new();
    for number in 0..4 {
        let reporter = world.reporter(&world.build(number).await);
        ends.spawn(async move { reporter.end(&outcome(Phase::Failed)).await });
    }
    tokio::time::timeout(Duration::from_secs(60), ends.join_all()).await.unwrap();
    // However slow this machine is, each is in one: alone, or with others.
    let texts = world.texts();
    let alone = texts.iter().filter(|text| text.contains("has failed")).count();
    assert!(alone >= 1 && !texts.is_empty(), "{texts:?}");
    let window = world.cluster.collection(&world.project, "slack").await.unwrap();
    let window = window::Window::parse(&window.text);
    assert!(!window.is_late(Timestamp::now() + Duration::from_secs(3600)), "{window:?}");
}

#[tokio::test]
async fn a_failed_build_is_red_in_slack_with_no_line_of_script() {
    let world = World::new("[{kind: slack, settings: {SLACK_WEBHOOK: '<url>'}}]").await;
    let build = world.build(1).await;
    let reporter = world.reporter(&build);
    let listener = reporter.listener();
    let end = JobEnd {
        name: "test".to_owned(),
        pod: format!("test-{}", build.id),
        result: JobResult::Failed("Pod failed".to_owned()),
    };
    listener.tell(Report::Heard);
    listener.tell(Report::Made { name: end.name.clone(), pod: end.pod.clone() });
    let log = "the test is red".to_owned();
    listener.tell(Report::Ended {
        end: end.clone(),
        started: None,
        finished: None,
        exit_code: Some(1),
        log,
    });
    let failed = Outcome { jobs: vec![end], ..outcome(Phase::Failed) };
    reporter.end(&failed).await;
    let texts = world.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    for part in
        ["acme/demo: push of main has failed", "#cf222e", "it is &lt;red&gt; &amp; bad", "test"]
    {
        assert!(texts[0].contains(part), "{part}: {}", texts[0]);
    }
    assert_eq!(world.noted(&build).await["slack"]["told"], "failed");
}

#[tokio::test]
async fn the_templates_of_a_notifier_are_put_together_of_the_build() {
    let world = World::new(
        "[{kind: slack, title: '{{ project }} {{ phase }} {{ ref }}', message: '{{ reason }} {{ none | nothing }}', settings: {SLACK_WEBHOOK: '<url>', SLACK_COLOUR: red}}]",
    )
    .await;
    let reporter = world.reporter(&world.build(1).await);
    reporter.end(&outcome(Phase::Failed)).await;
    let texts = world.texts();
    assert!(texts[0].contains("acme/demo Failed refs/heads/main"), "{texts:?}");
    assert!(texts[0].contains("bad nothing"), "{texts:?}");
    let printed = world.printed.lock().unwrap().join("\n");
    assert!(printed.contains("slack: SLACK_COLOUR is no setting of its kind"), "{printed}");
}

#[tokio::test]
async fn one_that_refuses_keeps_no_other_from_being_told_and_shows_no_secret() {
    let mut world = World::new(
        "[{kind: slack, name: refuser, settings: {SLACK_WEBHOOK: '<url>'}}, {kind: slack, name: none}, {kind: webhook, settings: {WEBHOOK_URL: 'http://127.0.0.1:1/hidden'}}]",
    )
    .await;
    *world.refused.lock().unwrap() = true;
    let build = world.build(1).await;
    let hasty =
        OutboxOptions { budget: Duration::from_millis(50), ..world.outbox.options().clone() };
    world.outbox = Outbox::new(hasty);
    world.reporter(&build).end(&outcome(Phase::Failed)).await;
    let noted: BTreeMap<String, Value> = serde_json::from_value(world.noted(&build).await).unwrap();
    for (name, error) in
        [("refuser", "invalid_token"), ("none", "SLACK_WEBHOOK"), ("webhook", "attempt")]
    {
        assert_eq!(noted[name]["lost"], "failed", "{noted:?}");
        assert!(noted[name]["error"].as_str().unwrap().contains(error), "{noted:?}");
    }
    let shown = format!("{noted:?} {}", world.printed.lock().unwrap().join("\n"));
    assert!(!shown.contains("/services/T0") && !shown.contains("hidden"), "{shown}");
}

#[tokio::test]
async fn github_is_told_of_every_job_and_of_the_end_of_its_log() {
    let world = World::new(
        "[{kind: github, settings: {GITHUB_APP_TOKEN: token, GITHUB_BASE_URL: '<url>'}}]",
    )
    .await;
    let build = world.build(1).await;
    let reporter = world.reporter(&build);
    let listener = reporter.listener();
    listener.tell(Report::Heard);
    let mut jobs = Vec::new();
    for number in 0..20 {
        let result = match number {
            19 => JobResult::Failed("Pod failed".to_owned()),
            _ => JobResult::Succeeded,
        };
        let (name, pod) = (format!("job-{number}"), format!("job-{number}-{}", build.id));
        listener.tell(Report::Made { name: name.clone(), pod: pod.clone() });
        let end = JobEnd { name, pod, result };
        let log = if number == 19 { "assertion failed: red\n" } else { "" };
        let (end, log) = (end.clone(), log.to_owned());
        jobs.push(end.clone());
        listener.tell(Report::Ended {
            end,
            started: None,
            finished: None,
            exit_code: Some(1),
            log,
        });
    }
    reporter.end(&Outcome { jobs, ..outcome(Phase::Failed) }).await;
    let taken = world.taken.lock().unwrap().clone();
    let mut last = BTreeMap::new();
    for check in &taken {
        last.insert(check["name"].as_str().unwrap().to_owned(), check["conclusion"].clone());
    }
    assert_eq!(last["brigantine/push"], "failure", "{last:?}");
    assert_eq!(last["brigantine/push/job-19"], "failure", "{last:?}");
    assert_eq!(last["brigantine/push/job-0"], "success", "{last:?}");
    // A write for each change: of a job two, and of the build one with each of them.
    assert!(taken.len() <= 2 * 2 * 20 + 2, "{}", taken.len());
    let log = |check: &Value| check.to_string().contains("assertion failed: red");
    assert!(taken.iter().any(log), "{last:?}");
    assert_eq!(world.noted(&build).await["github"]["told"], "failed");
    let message = "of what was told nothing is told again";
    let written = taken.len();
    let again = world.cluster.build("default", build.id).await.unwrap().unwrap();
    world.reporter(&again).end(&outcome(Phase::Failed)).await;
    assert_eq!(world.taken.lock().unwrap().len(), written, "{message}");
}

#[tokio::test]
async fn one_whose_secret_is_missing_is_noted_and_the_others_are_told() {
    let mut world = World::new(
        "[{kind: slack, name: whole, settings: {SLACK_WEBHOOK: '<url>'}}, {kind: slack, name: broken, settings: {SLACK_WEBHOOK: '<url>'}}]",
    )
    .await;
    let mut secret = world.project.secret();
    let data = secret.data.as_mut().unwrap();
    let mut list: Value = serde_json::from_slice(&data["notifiers"].0).unwrap();
    list[1]["settings"]["SLACK_WEBHOOK"] = json!({"secret": "GONE"});
    data.get_mut("notifiers").unwrap().0 = list.to_string().into_bytes();
    world.project = Project::from_secret(&secret).unwrap();
    let build = world.build(1).await;
    world.reporter(&build).end(&outcome(Phase::Failed)).await;
    let noted = world.noted(&build).await;
    assert_eq!(noted["whole"], json!({"told": "failed"}));
    assert_eq!(noted["broken"]["lost"], "failed");
    let error = noted["broken"]["error"].as_str().unwrap();
    assert!(error.contains("wants the secret \"GONE\", which there is not"), "{error}");
    assert_eq!(world.texts().len(), 1);
}

#[tokio::test]
async fn who_wants_to_hear_of_recoveries_alone_is_done_with_a_build_that_is_none() {
    let world = World::new("[{kind: slack, settings: {SLACK_WEBHOOK: '<url>'}}]").await;
    let build = world.build(1).await;
    let reporter = world.reporter(&build);
    assert!(reporter.is_behind(&outcome(Phase::Succeeded)));
    reporter.end(&outcome(Phase::Succeeded)).await;
    assert_eq!(world.noted(&build).await, json!({"slack": {"nothing": "succeeded"}}));
    let again = world.cluster.build("default", build.id).await.unwrap().unwrap();
    assert!(!world.reporter(&again).is_behind(&outcome(Phase::Succeeded)));
    assert_eq!(world.texts(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_tell_and_notes_nothing() {
    let mut world = World::new("[{kind: slack, settings: {SLACK_WEBHOOK: '<url>'}}]").await;
    let dry = OutboxOptions { dry_run: true, ..world.outbox.options().clone() };
    world.outbox = Outbox::new(dry);
    let build = world.build(1).await;
    world.reporter(&build).end(&outcome(Phase::Failed)).await;
    let printed = world.printed.lock().unwrap().join("\n");
    assert!(printed.contains("slack: would be told that the build has failed"), "{printed}");
    assert!(printed.contains("acme/demo: push of main has failed"), "{printed}");
    assert!(!printed.contains("/services/T0"), "{printed}");
    assert_eq!(world.noted(&build).await, json!({}));
    assert_eq!(world.cluster.collections("default").await.unwrap(), []);
    assert_eq!((world.texts().len(), world.outbox.withheld().len()), (0, 0));
}

#[tokio::test]
async fn what_is_collected_is_called_told_when_it_is() {
    let world = World::new(
        "[{kind: slack, on: [failed], most: 1, window: 600, settings: {SLACK_WEBHOOK: '<url>'}}]",
    )
    .await;
    world.reporter(&world.build(1).await).end(&outcome(Phase::Failed)).await;
    // Who does not wait for the window's end leaves it to others.
    let build = world.build(2).await;
    let mut options = ReportOptions { waits: false, ..ReportOptions::default() };
    options.budget = Duration::from_secs(60);
    let output: Output = Arc::new(|_line| {});
    let outbox = &world.outbox;
    let reporter =
        Reporter::new(&world.cluster, &world.project, &build, outbox, &options, output).unwrap();
    reporter.end(&outcome(Phase::Failed)).await;
    assert_eq!(world.noted(&build).await, json!({"slack": {"collected": "failed"}}));
    assert_eq!(world.texts().len(), 1);
    let kept = world.cluster.collection(&world.project, "slack").await.unwrap().text;
    assert!(kept.contains("push of main has failed (c0ffee0): it is"), "{kept}");
}

#[test]
fn a_build_of_many_failed_jobs_is_told_of_within_bounds() {
    let (project, _) = values::read("project: acme/demo", "default").unwrap();
    let build = Build::new(&project, Event::new("test", "push", ""), Timestamp::now());
    let mut story = story::begin(&project, &build, &ReportOptions::default());
    let mut jobs = Vec::new();
    for number in 0..200 {
        let pod = format!("job-{number}-x");
        let result = JobResult::Failed(format!("Pod {pod} failed to run to completion"));
        let end = JobEnd { name: format!("job-{number}"), pod, result };
        story::ended(&mut story, &end, (None, None), Some(3), "x".repeat(16 << 10));
        jobs.push(end);
    }
    let reason = Some("job job-7: Pod job-7-x failed to run to completion".to_owned());
    let log = "[brigade] worker\nown\n[brigade:k8s] pod\n".to_owned();
    story::end(&mut story, &Outcome { jobs, reason, log, ..outcome(Phase::Failed) });
    let logs: Vec<usize> = story.jobs.iter().map(|job| job.log.len()).collect();
    assert_eq!(logs.iter().sum::<usize>(), 256 << 10);
    assert!(logs[..16].iter().all(|length| *length == 16 << 10), "{logs:?}");
    assert_eq!(story.jobs[150].reason.as_deref(), Some("exit code 3"));
    assert_eq!(story.reason.as_deref(), Some("job job-7: exit code 3"));
    assert_eq!(story.log, "own\n");
    let (project, _) = values::read(
        "project: acme/demo\nnotifiers: [{kind: webhook, settings: {WEBHOOK_URL: x}}]",
        "default",
    )
    .unwrap();
    let event = words::of_build(&project.notifiers.all()[0], &story).event.unwrap();
    let data = event["data"].to_string();
    assert!(data.len() < (64 << 10) + 200 * 150, "{}", data.len());
    assert_eq!(event["data"]["jobs"].as_array().unwrap().len(), 200);
}

#[test]
fn what_may_be_a_secret_is_not_shown_of_an_outbox() {
    let relay = "https://user:hidden@relay.example/hidden".parse().ok();
    let options = OutboxOptions { relay, ..OutboxOptions::default() };
    let shown = format!("{options:?} {:?}", Outbox::new(options.clone()));
    assert!(shown.contains("relay.example") && !shown.contains("hidden"), "{shown}");
}
