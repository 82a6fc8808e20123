//! What GitHub is told, when, and what its answers mean.

use expect_test::{Expect, expect};
use runtime::project::Moment;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::markdown::LIMIT;
use super::*;
use crate::{JobReport, OutboxOptions};

mod app;
mod check_run;
mod left;

const COMMIT: &str = "6666666666666666666666666666666666666666";

fn outbox() -> Outbox {
    let allowed_hosts = vec!["127.0.0.1".to_owned()];
    Outbox::new(OutboxOptions { allowed_hosts, ..OutboxOptions::default() })
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(NAMES, |name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn job(name: &str, phase: &str) -> JobReport {
    JobReport {
        name: name.to_owned(),
        pod: format!("{name}-01"),
        phase: phase.to_owned(),
        started: "2026-03-01T10:00:05Z".parse().ok(),
        ..JobReport::default()
    }
}

fn report(moment: Moment, phase: &str, jobs: Vec<JobReport>) -> BuildReport {
    BuildReport {
        build: "01build".to_owned(),
        project: "ocean/brig".to_owned(),
        repository: "ocean/brig".to_owned(),
        event: "pull_request:opened".to_owned(),
        provider: "github".to_owned(),
        commit: COMMIT.to_owned(),
        reference: "refs/pull/7/head".to_owned(),
        title: "PR #7: Trim the sails".to_owned(),
        moment,
        phase: phase.to_owned(),
        reason: None,
        summary: None,
        url: Some("https://brig.example/builds/01build".to_owned()),
        started: "2026-03-01T10:00:00.123456789Z".parse().ok(),
        finished: None,
        jobs,
        log: String::new(),
    }
}

fn running() -> BuildReport {
    report(Moment::Started, "Running", vec![job("lint", "Succeeded"), job("test", "Running")])
}

fn failed() -> BuildReport {
    let mut report = running();
    report.moment = Moment::Failed;
    report.phase = "Failed".to_owned();
    report.reason = Some("the job test failed".to_owned());
    report.finished = "2026-03-01T10:01:05Z".parse().ok();
    report.jobs[0].finished = "2026-03-01T10:00:09Z".parse().ok();
    report.jobs[1].phase = "Failed".to_owned();
    report.jobs[1].reason = Some("exit code 1".to_owned());
    report.jobs[1].finished = "2026-03-01T10:01:00Z".parse().ok();
    report.jobs[1].log = "running\n::error file=a.js,line=3::no sail\n```\nfailed\n".to_owned();
    report.log = "script: test failed\n".to_owned();
    report
}

fn of(report: BuildReport) -> Notification {
    Notification { build: Some(Box::new(report)), ..Notification::default() }
}

/// A GitHub that takes everything, and remembers nothing.
async fn github() -> MockServer {
    let server = MockServer::start().await;
    let status = ResponseTemplate::new(201).set_body_json(json!({"id": 1}));
    let path = |path: &str| wiremock::matchers::path_regex(path.to_owned());
    Mock::given(method("POST")).and(path("/statuses/")).respond_with(status).mount(&server).await;
    let check = |request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let number = body["name"].as_str().map_or(0, |name| name.len() as u64);
        ResponseTemplate::new(201)
            .set_body_json(json!({"id": number, "output": {"annotations_count": 0}}))
    };
    Mock::given(method("POST")).and(path("/check-runs$")).respond_with(check).mount(&server).await;
    let check = ResponseTemplate::new(200).set_body_json(json!({"id": 1, "output": {}}));
    Mock::given(method("PATCH")).and(path("/check-runs/")).respond_with(check).mount(&server).await;
    let none = ResponseTemplate::new(200).set_body_json(json!({"check_runs": []}));
    Mock::given(method("GET")).and(path("/check-runs$")).respond_with(none).mount(&server).await;
    server
}

/// What arrived, but for what was only asked.
async fn written(server: &MockServer) -> Vec<(String, Value)> {
    let requests = server.received_requests().await.unwrap();
    let writes = requests.iter().filter(|request| request.method != "GET");
    writes
        .map(|request| {
            let body = serde_json::from_slice(&request.body).unwrap();
            (format!("{} {}", request.method, request.url.path()), body)
        })
        .collect()
}

async fn tell_with(
    server: &MockServer,
    token: (&str, &str),
    notification: &Notification,
    before: Option<&Value>,
) -> Result<Told, TellError> {
    let url = server.uri();
    tell(&variables(&[token, ("GITHUB_BASE_URL", &url)]), notification, before, &outbox()).await
}

const TOKEN: (&str, &str) = ("GITHUB_TOKEN", "ghp_0123456789abcdef");
const APP_TOKEN: (&str, &str) = ("GITHUB_APP_TOKEN", "ghs_0123456789abcdef");

async fn check(token: (&str, &str), report: BuildReport, expected: Expect) {
    let server = github().await;
    tell_with(&server, token, &of(report), None).await.unwrap();
    let lines = written(&server).await.into_iter();
    let lines: Vec<String> = lines
        .map(|(line, body)| format!("{line}\n{}", serde_json::to_string_pretty(&body).unwrap()))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_token_writes_statuses() {
    check(
        TOKEN,
        running(),
        expect![[r#"
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request",
          "description": "Running",
          "state": "pending",
          "target_url": "https://brig.example/builds/01build"
        }
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request/lint",
          "description": "Succeeded",
          "state": "success",
          "target_url": "https://brig.example/builds/01build"
        }
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request/test",
          "description": "Running",
          "state": "pending",
          "target_url": "https://brig.example/builds/01build"
        }"#]],
    )
    .await;
    check(
        TOKEN,
        failed(),
        expect![[r#"
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request",
          "description": "Failed after 1m 5s: the job test failed",
          "state": "failure",
          "target_url": "https://brig.example/builds/01build"
        }
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request/lint",
          "description": "Succeeded in 4s",
          "state": "success",
          "target_url": "https://brig.example/builds/01build"
        }
        POST /repos/ocean/brig/statuses/6666666666666666666666666666666666666666
        {
          "context": "brigantine/pull_request/test",
          "description": "Failed after 55s: exit code 1",
          "state": "failure",
          "target_url": "https://brig.example/builds/01build"
        }"#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_writes_check_runs() {
    check(APP_TOKEN, running(), expect![[r#"
        POST /repos/ocean/brig/check-runs
        {
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request",
          "output": {
            "summary": "**Running**\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>\n\n| Job | State | Took |\n| --- | --- | --- |\n| <code>lint</code> | Succeeded |  |\n| <code>test</code> | Running |  |\n",
            "title": "Running"
          },
          "started_at": "2026-03-01T10:00:00Z",
          "status": "in_progress"
        }
        POST /repos/ocean/brig/check-runs
        {
          "actions": [
            {
              "description": "Runs the whole build again",
              "identifier": "rerun",
              "label": "Run again"
            }
          ],
          "conclusion": "success",
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build/lint",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request/lint",
          "output": {
            "summary": "**Succeeded**\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>, pod <code>lint-01</code>\n",
            "title": "Succeeded"
          },
          "started_at": "2026-03-01T10:00:05Z",
          "status": "completed"
        }
        POST /repos/ocean/brig/check-runs
        {
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build/test",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request/test",
          "output": {
            "summary": "**Running**\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>, pod <code>test-01</code>\n",
            "title": "Running"
          },
          "started_at": "2026-03-01T10:00:05Z",
          "status": "in_progress"
        }"#]]).await;
    check(APP_TOKEN, failed(), expect![[r####"
        POST /repos/ocean/brig/check-runs
        {
          "actions": [
            {
              "description": "Runs the whole build again",
              "identifier": "rerun",
              "label": "Run again"
            }
          ],
          "completed_at": "2026-03-01T10:01:05Z",
          "conclusion": "failure",
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request",
          "output": {
            "summary": "**Failed after 1m 5s**: <code>the job test failed</code>\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>\n\n| Job | State | Took |\n| --- | --- | --- |\n| <code>lint</code> | Succeeded | 4s |\n| <code>test</code> | Failed: <code>exit code 1</code> | 55s |\n",
            "text": "### <code>test</code>\n\n````text\nrunning\n::error file=a.js,line=3::no sail\n```\nfailed\n````\n\n### The script\n\n```text\nscript: test failed\n```",
            "title": "Failed after 1m 5s: the job test failed"
          },
          "started_at": "2026-03-01T10:00:00Z",
          "status": "completed"
        }
        POST /repos/ocean/brig/check-runs
        {
          "actions": [
            {
              "description": "Runs the whole build again",
              "identifier": "rerun",
              "label": "Run again"
            }
          ],
          "completed_at": "2026-03-01T10:00:09Z",
          "conclusion": "success",
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build/lint",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request/lint",
          "output": {
            "summary": "**Succeeded in 4s**\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>, pod <code>lint-01</code>\n",
            "title": "Succeeded in 4s"
          },
          "started_at": "2026-03-01T10:00:05Z",
          "status": "completed"
        }
        POST /repos/ocean/brig/check-runs
        {
          "actions": [
            {
              "description": "Runs the whole build again",
              "identifier": "rerun",
              "label": "Run again"
            }
          ],
          "completed_at": "2026-03-01T10:01:00Z",
          "conclusion": "failure",
          "details_url": "https://brig.example/builds/01build",
          "external_id": "01build/test",
          "head_sha": "6666666666666666666666666666666666666666",
          "name": "brigantine/pull_request/test",
          "output": {
            "summary": "**Failed after 55s**: <code>exit code 1</code>\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>, pod <code>test-01</code>\n",
            "text": "````text\nrunning\n::error file=a.js,line=3::no sail\n```\nfailed\n````",
            "title": "Failed after 55s: exit code 1"
          },
          "started_at": "2026-03-01T10:00:05Z",
          "status": "completed"
        }
        PATCH /repos/ocean/brig/check-runs/28
        {
          "output": {
            "annotations": [
              {
                "annotation_level": "failure",
                "end_line": 3,
                "message": "no sail",
                "path": "a.js",
                "start_line": 3
              }
            ],
            "summary": "**Failed after 55s**: <code>exit code 1</code>\n\nbuild <code>01build</code>, event <code>pull&#95;request&#58;opened</code>, ref <code>refs/pull/7/head</code>, pod <code>test-01</code>\n",
            "text": "````text\nrunning\n::error file=a.js,line=3::no sail\n```\nfailed\n````",
            "title": "Failed after 55s: exit code 1"
          }
        }"####]]).await;
}

#[tokio::test]
async fn calls_are_what_github_asks_of_them() {
    let server = github().await;
    tell_with(&server, TOKEN, &of(running()), None).await.unwrap();
    for request in server.received_requests().await.unwrap() {
        assert_eq!(request.headers["accept"], "application/vnd.github+json");
        assert_eq!(request.headers["authorization"], "Bearer ghp_0123456789abcdef");
        assert_eq!(request.headers["user-agent"], "brigantine");
        assert_eq!(request.headers["x-github-api-version"], "2022-11-28");
        assert_eq!(request.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn what_has_changed_is_written_once() {
    for token in [TOKEN, APP_TOKEN] {
        let server = github().await;
        let first = tell_with(&server, token, &of(running()), None).await.unwrap();
        assert_eq!(written(&server).await.len(), 3);
        // The same again is nothing, and not even asked.
        let asked = server.received_requests().await.unwrap().len();
        let again = tell_with(&server, token, &of(running()), first.handle.as_ref()).await.unwrap();
        assert_eq!(again.handle, first.handle);
        assert_eq!(again.said, "told GitHub nothing: all of it is there");
        assert_eq!(server.received_requests().await.unwrap().len(), asked);
        // One job has ended, and with it the build's own summary changes where there is one.
        let mut report = running();
        report.jobs[1].phase = "Succeeded".to_owned();
        report.jobs[1].finished = "2026-03-01T10:01:00Z".parse().ok();
        let before = again.handle;
        let third = tell_with(&server, token, &of(report), before.as_ref()).await.unwrap();
        let expected = if token == TOKEN { 1 } else { 2 };
        assert_eq!(written(&server).await.len(), 3 + expected);
        let fourth = tell_with(&server, token, &of(failed()), third.handle.as_ref()).await.unwrap();
        let names = |handle: &Value| {
            let known = handle.as_object().unwrap().values().next().unwrap();
            known.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            names(fourth.handle.as_ref().unwrap()),
            [
                "brigantine/pull_request",
                "brigantine/pull_request/lint",
                "brigantine/pull_request/test"
            ]
        );
    }
}

#[tokio::test]
async fn a_check_run_that_is_known_is_changed() {
    let server = github().await;
    let first = tell_with(&server, APP_TOKEN, &of(running()), None).await.unwrap();
    let before = first.handle;
    tell_with(&server, APP_TOKEN, &of(failed()), before.as_ref()).await.unwrap();
    let calls: Vec<String> = written(&server).await.into_iter().map(|(line, _)| line).collect();
    let one = |name: &str| format!("PATCH /repos/ocean/brig/check-runs/{}", name.len());
    let (create, build) = ("POST /repos/ocean/brig/check-runs", one("brigantine/pull_request"));
    let lint = one("brigantine/pull_request/lint");
    // Both names are as long; the annotations of the second are a request of their own.
    assert_eq!(calls, [create, create, create, &build, &lint, &lint, &lint]);
}

#[tokio::test]
async fn a_check_run_of_another_life_is_found() {
    let server = MockServer::start().await;
    let checks = json!({"check_runs": [
        {"id": 5, "name": "brigantine/pull_request", "external_id": "01other"},
        {"id": 6, "name": "brigantine/other", "external_id": "01build"},
        {"id": 7, "name": "brigantine/pull_request", "external_id": "01build"},
    ]});
    Mock::given(method("GET"))
        .and(path(format!("/repos/ocean/brig/commits/{COMMIT}/check-runs")))
        .and(query_param("check_name", "brigantine/pull_request"))
        .respond_with(ResponseTemplate::new(200).set_body_json(checks))
        .mount(&server)
        .await;
    Mock::given(method("PATCH"))
        .and(path("/repos/ocean/brig/check-runs/7"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": 7})))
        .expect(1)
        .mount(&server)
        .await;
    let report = report(Moment::Succeeded, "Succeeded", Vec::new());
    let told = tell_with(&server, APP_TOKEN, &of(report), None).await.unwrap();
    assert_eq!(told.handle.unwrap()["checks"]["brigantine/pull_request"]["id"], 7);
}

/// Adds up annotations, as GitHub does.
struct Adding(std::sync::atomic::AtomicUsize);

impl Respond for Adding {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let more = body["output"]["annotations"].as_array().map_or(0, Vec::len);
        assert!(more <= 50);
        let count = self.0.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more;
        let check = json!({"id": 9, "output": {"annotations_count": count}});
        ResponseTemplate::new(200).set_body_json(check)
    }
}

#[tokio::test]
async fn annotations_are_added_fifty_at_a_time_and_none_twice() {
    for (there, requests) in [(0, 5), (50, 4), (170, 2), (200, 1)] {
        let server = MockServer::start().await;
        Mock::given(method("PATCH")).respond_with(Adding(there.into())).mount(&server).await;
        let mut report = failed();
        report.jobs.truncate(0);
        report.jobs.push(job("test", "Failed"));
        report.jobs[0].log = (1..300).map(|n| format!("::error file=a,line={n}::m\n")).collect();
        let known = |id: u64| json!({"id": id, "told": "?"});
        let before = json!({"checks": {
            "brigantine/pull_request": known(8), "brigantine/pull_request/test": known(9),
        }});
        tell_with(&server, APP_TOKEN, &of(report), Some(&before)).await.unwrap();
        let calls = written(&server).await;
        let job: Vec<_> = calls.iter().filter(|(line, _)| line.ends_with("/9")).collect();
        assert_eq!(job.len(), requests, "{there}");
        for (_, body) in &job {
            // GitHub wants these in each.
            assert!(body["output"]["title"].is_string() && body["output"]["summary"].is_string());
        }
    }
}

#[tokio::test]
async fn conclusions_are_githubs() {
    for (phase, jobs, status, conclusion, state) in [
        ("Waiting", 0, "queued", None, "pending"),
        ("Running", 0, "in_progress", None, "pending"),
        ("Succeeded", 0, "completed", Some("neutral"), "success"),
        ("Succeeded", 1, "completed", Some("success"), "success"),
        ("Failed", 1, "completed", Some("failure"), "failure"),
        ("Cancelled", 1, "completed", Some("cancelled"), "error"),
        ("TimedOut", 1, "completed", Some("timed_out"), "failure"),
        ("Unheard", 1, "in_progress", None, "pending"),
    ] {
        let jobs = vec![job("test", "Succeeded"); jobs];
        let report = report(Moment::Started, phase, jobs);
        let parts = parts(&report, None);
        let check = super::check(&parts[0], &report, None, None).body;
        assert_eq!(
            (check["status"].as_str(), check["conclusion"].as_str()),
            (Some(status), conclusion)
        );
        assert_eq!(super::status(&parts[0], None)["state"], state);
        // A button for what has ended, and for nothing else.
        assert_eq!(check["actions"].is_array(), conclusion.is_some(), "{phase}");
    }
    let report = report(Moment::Cancelled, "Cancelled", vec![job("test", "Running")]);
    let left = parts(&report, None);
    assert_eq!(super::check(&left[1], &report, None, None).body["conclusion"], "cancelled");
}

#[tokio::test]
async fn strangers_texts_keep_to_their_places() {
    let evil = "x` | @channel <script>alert(1)</script> ![i](http://e.x/i.png)\n| a | b |\r\n\u{1b}[31m\u{202e}~~~\n```\n# h 😀";
    let mut report = failed();
    report.reference = format!("refs/heads/{}", "b".repeat(1_000_000));
    report.reason = Some(evil.to_owned());
    report.summary = Some(evil.to_owned());
    report.event = format!("e{evil}");
    report.url = Some("javascript:alert(1)".to_owned());
    report.log = evil.repeat(10_000);
    report.jobs[1].reason = Some(evil.to_owned());
    report.jobs[1].log = evil.repeat(10_000);
    report.jobs[1].name = evil.repeat(100);
    report.jobs.extend((0..1000).map(|number| job(&format!("{evil}{number}"), "Succeeded")));
    let parts = parts(&report, None);
    assert_eq!(parts.len(), 101);
    for part in &parts {
        let status = super::status(part, None);
        let description = status["description"].as_str().unwrap();
        let context = status["context"].as_str().unwrap();
        assert!(description.chars().count() <= 140 && context.chars().count() <= 255);
        for text in [description, context] {
            assert!(!text.contains(|c: char| c.is_control() || c.len_utf8() > 3), "{text:?}");
        }
        let check = super::check(part, &report, None, None).body;
        let name = check["name"].as_str().unwrap();
        assert!(name.chars().count() <= 255 && !name.contains(char::is_control));
        let summary = check["output"]["summary"].as_str().unwrap();
        assert!(summary.len() <= LIMIT, "{}", summary.len());
        assert!(check["output"]["text"].as_str().is_none_or(|text| text.len() <= LIMIT));
        assert!(check["output"]["title"].as_str().unwrap().chars().count() <= 255);
        // Outside of fences, nothing of it is more than letters.
        let outside: String =
            summary.split("\n\n").filter(|part| !part.starts_with("```")).collect();
        for markup in ["@", "<script", "![", "http:", "# h"] {
            assert!(!outside.contains(markup), "{markup}: {outside}");
        }
    }
    let server = github().await;
    tell_with(&server, APP_TOKEN, &of(report), None).await.unwrap();
    let calls = written(&server).await;
    assert!(calls.iter().all(|(_, body)| body.get("details_url").is_none()));
}

#[test]
fn the_end_of_each_log_is_in_the_check_of_the_build() {
    let mut report = failed();
    report.log = format!("{}script's end", "s\n".repeat(100_000));
    report.jobs = (0..10).map(|number| job(&format!("j{number}"), "Failed")).collect();
    for (number, job) in report.jobs.iter_mut().enumerate() {
        job.log = format!("{}end of {number}", "l\n".repeat(50_000));
    }
    let parts = parts(&report, None);
    let check = super::check(&parts[0], &report, None, None).body;
    let text = check["output"]["text"].as_str().unwrap();
    assert!(text.len() <= LIMIT && text.len() > LIMIT * 9 / 10, "{}", text.len());
    for number in 0..10 {
        assert!(text.contains(&format!("\nend of {number}\n```")), "{number}");
    }
    assert!(text.ends_with("\nscript's end\n```"));
}

#[tokio::test]
async fn what_is_not_githubs_is_not_told_to_it() {
    let server = MockServer::start().await;
    type Change = fn(&mut BuildReport);
    let changes: [(Change, &str); 11] = [
        (|report| report.repository = String::new(), "its repository is not on GitHub"),
        (|report| report.repository = "brig".to_owned(), "its repository is not on GitHub"),
        (|report| report.repository = "a/b/c".to_owned(), "its repository is not on GitHub"),
        (|report| report.repository = "../x".to_owned(), "its repository is not on GitHub"),
        (|report| report.repository = "a/b?x".to_owned(), "its repository is not on GitHub"),
        (
            |report| report.repository = "gitlab.com/a/b".to_owned(),
            "its repository is not on GitHub",
        ),
        (|report| report.provider = "gitlab".to_owned(), "its repository is not on GitHub"),
        (|report| report.event = "status".to_owned(), "it is about a status itself"),
        // As of each of two builds that are made of one event.
        (|report| report.event = "check_suite".to_owned(), "it is about check runs themselves"),
        (
            |report| report.event = "check_suite:completed".to_owned(),
            "it is about check runs themselves",
        ),
        (
            |report| report.event = "check_run:completed".to_owned(),
            "it is about a check run itself",
        ),
    ];
    for (change, why) in changes {
        let mut report = running();
        change(&mut report);
        let before = json!({"statuses": {}});
        let told = tell_with(&server, TOKEN, &of(report), Some(&before)).await.unwrap();
        assert_eq!(told.said, format!("told GitHub nothing: {why}"));
        assert_eq!(told.handle, Some(before));
    }
    for commit in ["", "main", "66"] {
        let report = BuildReport { commit: commit.to_owned(), ..running() };
        let error = tell_with(&server, TOKEN, &of(report), None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "GitHub cannot be told that: it is of no commit: `commit` must be the whole id of one"
        );
    }
    assert!(server.received_requests().await.unwrap().is_empty());
    let mut report = running();
    report.repository = "github.com/ocean/brig".to_owned();
    assert_eq!(subject(&report), Ok("ocean/brig".to_owned()));
    let error = tell_with(&server, TOKEN, &Notification::default(), None).await.unwrap_err();
    assert!(error.to_string().starts_with("GitHub cannot be told that: it is of no build: send"));
}

#[tokio::test]
async fn names_may_be_chosen() {
    let server = github().await;
    let url = server.uri();
    let set = [TOKEN, ("GITHUB_BASE_URL", url.as_str()), ("GITHUB_CONTEXT", "ci\nbrig")];
    tell(&variables(&set), &of(running()), None, &outbox()).await.unwrap();
    let names: Vec<String> = written(&server)
        .await
        .iter()
        .map(|(_, body)| body["context"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["ci brig", "ci brig/lint", "ci brig/test"]);
}

async fn refusal(token: (&str, &str), code: u16, body: Value) -> String {
    let server = MockServer::start().await;
    let none = ResponseTemplate::new(200).set_body_json(json!({}));
    Mock::given(method("GET")).respond_with(none).mount(&server).await;
    let answer = ResponseTemplate::new(code).set_body_json(body);
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let report = report(Moment::Started, "Running", Vec::new());
    let error = tell_with(&server, token, &of(report), None).await.unwrap_err();
    assert!(matches!(error, TellError::Refused { .. }), "{error:?}");
    assert_eq!(written(&server).await.len(), 1);
    error.to_string()
}

#[tokio::test]
async fn what_github_refuses_is_named_with_a_way_out() {
    for (token, code, body, said) in [
        (
            TOKEN,
            401,
            json!({"message": "Bad credentials"}),
            "401 Bad credentials; the token has ended, or was withdrawn",
        ),
        (
            APP_TOKEN,
            403,
            json!({"message": "You must authenticate via a GitHub App."}),
            "403 You must authenticate via a GitHub App.; only GitHub Apps make check runs: give \
             another token as GITHUB_TOKEN, for statuses",
        ),
        (
            APP_TOKEN,
            403,
            json!({"message": "Resource not accessible by integration"}),
            "403 Resource not accessible by integration; give the App the permission to write checks",
        ),
        (
            TOKEN,
            403,
            json!({"message": "Resource not accessible by personal access token"}),
            "403 Resource not accessible by personal access token; give the token the permission to \
             write commit statuses",
        ),
        (
            TOKEN,
            404,
            json!({"message": "Not Found"}),
            "404 Not Found; there is no such repository, or the credentials may not write to it",
        ),
        (
            TOKEN,
            422,
            json!({"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom",
                "message": "This SHA and context has reached the maximum number of statuses."}]}),
            "422 Validation Failed: This SHA and context has reached the maximum number of \
             statuses.; a commit takes 1000 statuses of one context and no more: set \
             GITHUB_CONTEXT to another",
        ),
        (
            TOKEN,
            422,
            json!({"message": format!("No commit found for SHA: {COMMIT}")}),
            "422 No commit found for SHA: 6666666666666666666666666666666666666666; the commit is \
             not in the repository",
        ),
        (
            APP_TOKEN,
            422,
            json!({"message": "Invalid request.\n\nOnly 65535 characters are allowed; 70000 were supplied."}),
            "422 Invalid request. Only 65535 characters are allowed; 70000 were supplied.",
        ),
        (
            TOKEN,
            422,
            json!({"message": "Validation Failed", "errors": [{"field": "x", "code": "missing"}, "y"]}),
            "422 Validation Failed: x missing: y",
        ),
    ] {
        let error = refusal(token, code, body).await;
        assert_eq!(error, format!("GitHub at 127.0.0.1 refused the message: {said}"));
    }
    let token = json!({"message": "ghp_0123456789abcdef is bad\u{0}\n"});
    let error = refusal(TOKEN, 400, token).await;
    assert_eq!(error, "GitHub at 127.0.0.1 refused the message: 400 *** is bad");
}

#[tokio::test]
async fn what_is_refused_of_one_does_not_keep_it_from_the_others() {
    let server = MockServer::start().await;
    let full = |request: &Request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let is_full = body["context"] == "brigantine/pull_request";
        ResponseTemplate::new(if is_full { 422 } else { 201 }).set_body_json(json!({}))
    };
    Mock::given(method("POST")).respond_with(full).mount(&server).await;
    let error = tell_with(&server, TOKEN, &of(running()), None).await.unwrap_err();
    assert!(error.to_string().contains("refused the message: 422"), "{error}");
    assert_eq!(written(&server).await.len(), 3);
    // What was taken is known, and only the other is written again.
    let handle = error.into_handle();
    let again = tell_with(&server, TOKEN, &of(running()), handle.as_ref()).await;
    assert_eq!(again.unwrap_err().into_handle(), handle);
    assert_eq!(written(&server).await.len(), 4);
}

#[tokio::test]
async fn limits_pass() {
    for (code, name, value, message) in [
        (429, "retry-after", "0", "API rate limit exceeded"),
        (403, "retry-after", "0", "You have exceeded a secondary rate limit."),
        (403, "x-ratelimit-remaining", "0", "API rate limit exceeded for installation."),
        (503, "retry-after", "0", ""),
    ] {
        let server = MockServer::start().await;
        let limited = ResponseTemplate::new(code)
            .insert_header(name, value)
            .insert_header("x-ratelimit-reset", "0")
            .set_body_json(json!({"message": message}));
        let once = Mock::given(method("POST")).respond_with(limited).up_to_n_times(1);
        once.with_priority(1).mount(&server).await;
        let made = ResponseTemplate::new(201).set_body_json(json!({"id": 1}));
        Mock::given(method("POST")).respond_with(made).mount(&server).await;
        let report = report(Moment::Started, "Running", Vec::new());
        tell_with(&server, TOKEN, &of(report), None).await.unwrap();
        assert_eq!(written(&server).await.len(), 2, "{code}");
    }
}

#[tokio::test]
async fn a_repository_that_has_moved_is_told_at_its_new_place() {
    for code in [301, 307, 308] {
        let server = MockServer::start().await;
        let moved = ResponseTemplate::new(code).insert_header(
            "location",
            format!("{}/repositories/1/statuses/{COMMIT}", server.uri()),
        );
        Mock::given(method("POST"))
            .and(path(format!("/repos/ocean/brig/statuses/{COMMIT}")))
            .respond_with(moved)
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path(format!("/repositories/1/statuses/{COMMIT}")))
            .and(header("authorization", "Bearer ghp_0123456789abcdef"))
            .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 1})))
            .expect(1)
            .mount(&server)
            .await;
        let report = report(Moment::Started, "Running", Vec::new());
        tell_with(&server, TOKEN, &of(report), None).await.unwrap();
    }
}
