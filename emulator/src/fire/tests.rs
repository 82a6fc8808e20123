//! Every sample of every source, through all functions.

use std::sync::Arc;
use std::time::Duration;

use apiserver::Server;
use axum::Router;
use axum::body::{Body, to_bytes};
use functions::{App, Function, Workers, router};
use pipeline::script::Repository;
use runtime::build::Build;
use runtime::cluster::Cluster;
use runtime::project::values;
use runtime::settings::{Inline, Settings};
use serde_json::Value;
use tower::ServiceExt;

use super::*;

const PROJECT: &str = "
project: ocean/brig
sharedSecret: aye aye
genericGatewaySecret: aye aye
secrets:
  eventGridToken: aye aye
  vstsToken: aye aye
  EMAIL_FROM: brigantine@ocean.example
  EMAIL_TO: crew@ocean.example
  GITHUB_TOKEN: aye aye
  SLACK_WEBHOOK: https://hooks.slack.example/services/T0/B0/aye
  SMTP_URL: smtps://mail.ocean.example
  TEAMS_WEBHOOK: https://ocean.webhook.office.example/aye
  WEBHOOK_URL: https://ocean.example/events
kubernetes: {eventFilters: [{action: accept}]}
notifiers: [{kind: github, on: []}]
slack: {signingSecret: aye aye}
";

struct World {
    cluster: Cluster,
    router: Router,
    project: Project,
}

impl World {
    async fn new() -> World {
        let server = Server::new(apiserver::Options::default()).unwrap();
        let cluster = Cluster::new(server.client(), "default");
        cluster.create_service_account("default", "brigade-worker").await.unwrap();
        let (project, warnings) = values::read(PROJECT, "default").unwrap();
        assert_eq!(warnings, [""; 0]);
        cluster.put_project(&project).await.unwrap();
        let app = App {
            cluster: cluster.clone(),
            settings: Arc::new(Settings {
                inline: Inline::Never,
                request_budget: Duration::from_secs(60),
                ..Settings::default()
            }),
            repository: Arc::new(Repository::Ignore),
            workers: Workers::Pods,
        };
        World { cluster, router: router(app, Function::ALL), project }
    }

    /// What is told to the sender of a sample.
    async fn fire(&self, sample: &Sample, values: &Values) -> (u16, Value) {
        let request = sample.request(values).unwrap();
        let mut sent = http::Request::builder()
            .method(&request.method)
            .uri(request.addressed(Some(&self.project)).unwrap().path)
            .body(Body::from(request.body.clone()))
            .unwrap();
        *sent.headers_mut() = request.headers(Some(&self.project)).unwrap();
        let answer = self.router.clone().oneshot(sent).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn builds(&self) -> Vec<Build> {
        self.cluster.builds("default").await.unwrap()
    }
}

#[tokio::test]
async fn every_sample_makes_its_event_and_another_one_each_time() {
    for sample in samples() {
        let name = format!("{} {}", sample.source, sample.event);
        let world = World::new().await;
        let mut before = 0;
        for second in 0..2 {
            // Docker Hub tells pushes from each other by their second.
            let mut values = Values::new(&world.project);
            values.now += Duration::from_secs(second);
            let told = world.fire(sample, &values).await;
            assert_eq!(told.0, 200, "{name}: {told:?}");
            let builds = world.builds().await;
            assert_eq!(builds.len() > before, sample.fires.is_some(), "{name}: {told:?}");
            before = builds.len();
            for build in builds {
                assert_eq!(Some(build.event.kind.as_str()), sample.fires, "{name}: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_option_that_a_sample_takes_changes_it() {
    let (project, _) = values::read(PROJECT, "default").unwrap();
    for sample in samples() {
        for choice in sample.takes {
            let values = Values::new(&project);
            let plain = sample.request(&values).unwrap();
            let mut values = Values { id: values.id, ..Values::new(&project) };
            let chosen = |text: &str| Some(text.to_owned());
            match choice {
                Choice::Ref => values.reference = chosen("chosen"),
                Choice::Tag => values.tag = chosen("chosen"),
                Choice::Commit => values.commit = "chosen".to_owned(),
                Choice::Image => values.image = chosen("chosen.example/team/app:2"),
                Choice::Action => values.action = chosen("chosen"),
                Choice::Number => values.number = Some(424_242),
                Choice::Message => values.message = chosen("chosen"),
                Choice::Type => values.kind = chosen("chosen"),
            }
            let changed = sample.request(&values).unwrap().recorded();
            let shows = |text: &str| text.contains("chosen") || text.contains("424242");
            // Docker Hub is its own registry, and says no host.
            let shows_image = *choice == Choice::Image && changed.contains("team/app");
            let name = format!("{} {} {}", sample.source, sample.event, choice.name());
            assert!(!shows(&plain.recorded()), "{name}");
            assert!(shows(&changed) || shows_image, "{name}: {changed}");
        }
    }
}

#[tokio::test]
async fn a_sample_is_of_the_image_and_the_commit_that_were_chosen() {
    let world = World::new().await;
    let mut values = Values::new(&world.project);
    values.image = Some("registry.example:5000/team/app:2.0".to_owned());
    values.reference = Some("release".to_owned());
    for event in ["acr-push", "harbor-push", "quay-push", "distribution-push", "gitea-package"] {
        let told = world.fire(find("registry", event).unwrap(), &values).await;
        assert_eq!(told.0, 200, "{event}: {told:?}");
    }
    let builds = world.builds().await;
    assert_eq!(builds.len(), 5);
    for build in builds {
        let image = build.event.image.unwrap();
        assert_eq!(image.reference(), "registry.example:5000/team/app:2.0");
        assert_eq!(build.event.revision.reference, "release");
    }
    let world = World::new().await;
    values.commit = "0123456789012345678901234567890123456789".to_owned();
    world.fire(find("github", "push").unwrap(), &values).await;
    let build = world.builds().await.remove(0);
    assert_eq!(build.event.revision.commit, values.commit);
    assert_eq!(build.event.revision.reference, "refs/heads/release");
}

#[tokio::test]
async fn what_is_printed_is_a_recording_of_the_same() {
    let (project, _) = values::read(PROJECT, "default").unwrap();
    for sample in samples() {
        let request = sample.request(&Values::new(&project)).unwrap();
        let again = crate::request::parse(&request.recorded()).unwrap();
        assert_eq!(again, [request], "{} {}", sample.source, sample.event);
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let told = |source, event| find(source, event).err().unwrap().to_string();
    assert!(told("gitbub", "push").contains("there are of: github, gitlab, gitea"));
    assert!(told("github", "pull").contains("pull_request"));
}
