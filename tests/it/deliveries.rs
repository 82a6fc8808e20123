//! Recorded requests, replayed to the whole product: every sender's, with what they come to.

use std::fs;
use std::path::{Path, PathBuf};

use emulator::emulator::{Emulator, Options, Pods, Target};
use emulator::replay;
use emulator::request;
use expect_test::expect;
use runtime::settings::Settings;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_request_comes_to_what_it_should() {
    let mut told = String::new();
    let emulator = start().await;
    for file in requests() {
        let (status, answer) = send(&emulator, &file).await;
        let name = file.strip_prefix(payloads()).unwrap().with_extension("");
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let builds = answer["builds"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        let list = |key: &str| {
            let all = builds.iter().filter_map(|build| build[key].as_array()).flatten();
            all.filter_map(Value::as_str).map(without_id).collect::<Vec<_>>().join(" ")
        };
        let outcome = match text("status") {
            status if status.is_empty() => text("message"),
            status => status,
        };
        told += &format!("{status} {} | {outcome}", name.display());
        for (what, said) in [("fires", list("events")), ("made", list("jobs"))] {
            if !said.is_empty() {
                told += &format!(" | {what} {said}");
            }
        }
        if answer["build"].is_null() && !text("reason").is_empty() {
            told += &format!(" | {}", text("reason"));
        }
        told.push('\n');
    }
    emulator.stop().await;
    expect![[r#"
        200 azuredevops/git-pullrequest-fork | build skipped | it comes from a fork, and Azure DevOps does not say whether its author is trusted; a project with allowForks builds it
        200 azuredevops/git-push | Complete | fires git.push
        200 bitbucket/pullrequest-created | Complete | fires pullrequest:created
        200 bitbucket/push | Complete | fires push push | made heard-push-<id> heard-push-<id>
        200 bitbucket/server-pr-fork | build skipped | it comes from a fork, and Bitbucket does not say whether its author is trusted; a project with allowForks builds it
        200 cloudevents/batch | Success | fires com.acme.tide com.acme.tide
        200 cloudevents/binary | Success | fires com.acme.tide
        200 cloudevents/handshake | OK | the sender may deliver; nothing is built for a handshake
        200 cloudevents/structured | Success | fires com.acme.tide
        200 cron/cloud-scheduler | Success | fires cron cron:nightly
        200 cron/eventbridge | Success | fires cron cron:hourly
        200 eventgrid/blob-created-cloudevent | Success | fires Microsoft.Storage.BlobCreated
        200 eventgrid/image-pushed | Success | fires Microsoft.ContainerRegistry.ImagePushed image_push | made heard-image-push-<id>
        200 eventgrid/validation | 
        200 generic/cloudevent-0.2 | Success | fires cloudevent
        200 generic/simpleevent-signed | Success. Build created | fires simpleevent
        200 generic/simpleevent-standard | Success. Build created | fires simpleevent
        200 generic/simpleevent | Success. Build created | fires simpleevent
        200 gitea/pull_request-fork | build skipped | it comes from a fork, and Gitea does not say whether its author is trusted; a project with allowForks builds it
        200 gitea/pull_request-opened | Complete | fires pull_request pull_request:opened | made heard-pull-request-<id> heard-pull-request-opened-<id>
        200 gitea/push | Complete | fires push | made heard-push-<id>
        200 github/check_run-rerequested | Complete | fires check_run check_run:rerequested
        200 github/check_suite-requested | Complete | fires check_suite check_suite:requested
        200 github/commit_comment-created | Complete | fires commit_comment commit_comment:created
        200 github/create-tag | Complete | fires create
        200 github/deployment | Complete | fires deployment
        200 github/deployment_status | Complete | fires deployment_status
        200 github/issue_comment-brig-run | Complete | fires issue_comment issue_comment:created
        200 github/issue_comment-created | Complete | fires issue_comment issue_comment:created
        200 github/issues-opened | Ignored | `issues` events are built only where the project's filters.events names them
        200 github/package-published | Complete | fires image_push | made heard-image-push-<id>
        200 github/ping | OK | nothing is built for a ping
        200 github/pull_request-assigned | build skipped | the action is `assigned`; these are built: closed, labeled, opened, reopened, synchronize, unlabeled
        200 github/pull_request-opened | Complete | fires pull_request pull_request:opened | made heard-pull-request-<id> heard-pull-request-opened-<id>
        200 github/pull_request-stranger | build skipped | the pull request comes from a fork; its author association is `NONE`, these are built: COLLABORATOR, OWNER, MEMBER
        200 github/pull_request_review-submitted | Complete | fires pull_request_review pull_request_review:submitted
        200 github/pull_request_review_comment-created | Complete | fires pull_request_review_comment pull_request_review_comment:created
        200 github/push-deleted | build skipped on branch deletion | `refs/heads/topic` was deleted
        200 github/push | Complete | fires push | made heard-push-<id>
        200 github/registry_package-published | Complete | fires image_push | made heard-image-push-<id>
        200 github/release-published | Complete | fires release release:published | made heard-release-published-<id>
        200 github/star-created | Ignored | `star` events are built only where the project's filters.events names them
        200 github/status | Complete | fires status
        200 gitlab/merge_request-fork | build skipped | it comes from a fork, and GitLab does not say whether its author is trusted; a project with allowForks builds it
        200 gitlab/merge_request-open | Complete | fires mergerequest mergerequest:open
        200 gitlab/pipeline-signed | Complete | fires pipeline pipeline:success
        200 gitlab/push | Complete | fires push | made heard-push-<id>
        200 gitlab/tag-deleted | build skipped on branch deletion | `refs/tags/v1.0` was deleted
        200 hook/alertmanager | Success | fires alert alert:firing alert alert:resolved
        200 hook/deployed | Success | fires deployed deployed:ok
        200 kubernetes/event-rejected | Ignored | filter 1 rejects Pod:Pulled in `shop`
        200 kubernetes/event | Success | fires Pod:BackOff
        200 kubernetes/review | 
        200 notify-email/anything | Success. Notification created | fires notify notify:email | made email-notify-<id>
        200 notify-github/build-failed | Success. Notification created | fires notify notify:github | made github-notify-<id>
        200 notify-slack/alerts | Success. Notification created | fires notify notify:slack | made slack-notify-<id>
        200 notify-slack/build-failed | Success. Notification created | fires notify notify:slack | made slack-notify-<id>
        200 notify-slack/image | Success. Notification created | fires notify notify:slack | made slack-notify-<id>
        200 notify-slack/incoming-webhook | Success. Notification created | fires notify notify:slack | made slack-notify-<id>
        200 notify-slack/message | Success. Notification created | fires notify notify:slack | made slack-notify-<id>
        200 notify-teams/message | Success. Notification created | fires notify notify:teams | made teams-notify-<id>
        200 notify-webhook/event | Success. Notification created | fires notify notify:webhook | made webhook-notify-<id>
        200 registry/acr-chart-push | Success | fires chart_push
        200 registry/acr-delete | Success | fires image_delete | made heard-image-delete-<id>
        200 registry/acr-ping | pong | nothing is built for a ping
        200 registry/acr-push-untagged | Success | fires image_push | made heard-image-push-<id>
        200 registry/acr-push | Success | fires image_push | made heard-image-push-<id>
        200 registry/distribution-push | Success | fires image_push | made heard-image-push-<id>
        200 registry/dockerhub-push | Success | fires image_push | made heard-image-push-<id>
        200 registry/gitea-package | Success | fires image_push | made heard-image-push-<id>
        200 registry/harbor-cloudevent-deleted | Success | fires image_delete | made heard-image-delete-<id>
        200 registry/harbor-push | Success | fires image_push image_push | made heard-image-push-<id> heard-image-push-<id>
        200 registry/quay-push | Success | fires image_push image_push | made heard-image-push-<id> heard-image-push-<id>
        200 slack/app_mention | Complete | fires app_mention
        200 slack/block_actions | 
        200 slack/command | 
    "#]].assert_eq(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_request_repeated_makes_nothing_new() {
    let emulator = start().await;
    for file in requests() {
        let (_, first) = send(&emulator, &file).await;
        let (status, second) = send(&emulator, &file).await;
        assert_eq!(first["build"], second["build"], "{}", file.display());
        if first["build"].is_string() {
            assert_eq!((status, &second["duplicate"]), (200, &Value::Bool(true)));
            assert_eq!(first["jobs"], second["jobs"]);
        }
    }
    emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_request_with_another_secret_makes_nothing() {
    let emulator = start().await;
    for file in requests() {
        let text = fs::read_to_string(&file).unwrap();
        let request = request::parse(&text).unwrap().remove(0);
        let yaml = "project: acme/app\nsharedSecret: another\ngenericGatewaySecret: another\n\
                    slack: {signingSecret: another}\nsecrets: {vstsToken: another, eventGridToken: another}\n";
        let (other, _) = runtime::project::values::read(yaml, "default").unwrap();
        let headers = request.headers(Some(&other)).unwrap();
        let request = request.addressed(Some(&other)).unwrap();
        let answer = send_with(&emulator, &request, headers).await;
        assert!(matches!(answer.0, 401 | 403), "{}: {answer:?}", file.display());
        assert!(answer.1["build"].is_null());
    }
    let builds = emulator.cluster.builds("default").await.unwrap();
    assert_eq!(builds.len(), 0);
    emulator.stop().await;
}

/// The senders.
const FOLDERS: [&str; 18] = [
    "azuredevops",
    "bitbucket",
    "cloudevents",
    "cron",
    "eventgrid",
    "generic",
    "gitea",
    "github",
    "gitlab",
    "hook",
    "kubernetes",
    "notify-email",
    "notify-github",
    "notify-slack",
    "notify-teams",
    "notify-webhook",
    "registry",
    "slack",
];

pub(super) async fn start() -> Emulator {
    let options = Options {
        folders: vec![payloads()],
        listen: ([127, 0, 0, 1], 0).into(),
        api_listen: ([127, 0, 0, 1], 0).into(),
        cluster: Target::Embedded,
        host: None,
        pods: Pods::Simulate,
        rbac: false,
        state: None,
        kubeconfig: None,
        namespace: "default".to_owned(),
        stand_ins: Vec::new(),
        tell_outside: false,
        settings: Settings::default(),
    };
    Emulator::start(options).await.unwrap()
}

async fn send(emulator: &Emulator, file: &Path) -> (u16, Value) {
    let text = fs::read_to_string(file).unwrap();
    let request = request::parse(&text).unwrap().remove(0);
    let project = &emulator.folders[0].project;
    let headers = request.headers(Some(project)).unwrap();
    send_with(emulator, &request.addressed(Some(project)).unwrap(), headers).await
}

async fn send_with(
    emulator: &Emulator,
    request: &request::Request,
    headers: http::HeaderMap,
) -> (u16, Value) {
    let http = replay::client().unwrap();
    let answer = replay::send(&http, &emulator.functions, request, headers).await.unwrap();
    (answer.status, answer.body)
}

fn payloads() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("payloads")
}

/// The files of recorded requests, in the order of their names.
fn requests() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let entries = fs::read_dir(payloads().join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

/// A pod's name without the build's id.
fn without_id(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((job, id)) if id.len() == 26 => format!("{job}-<id>"),
        _ => name.to_owned(),
    }
}
