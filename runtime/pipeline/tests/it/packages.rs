//! Packages of npm, from a registry of the test's own to the script that requires them.

use std::io::Write;

use base64::Engine;
use flate2::Compression;
use flate2::write::GzEncoder;
use pipeline::{Context, StartEnd};
use runtime::build::Phase;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tar::{Builder, Header};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::world::{PROJECT, World, event};

/// A package of these files, as `npm pack` makes one.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("package/{name}"), text.as_bytes()).unwrap();
    }
    let mut writer = builder.into_inner().unwrap();
    writer.flush().unwrap();
    writer.finish().unwrap()
}

async fn publish(server: &MockServer, name: &str, manifest: Value, files: &[(&str, &str)]) {
    let mut all = vec![("package.json", manifest.to_string())];
    all.extend(files.iter().map(|(name, text)| (*name, (*text).to_owned())));
    let all: Vec<(&str, &str)> = all.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let content = archive(&all);
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha512::digest(&content));
    let version = manifest["version"].as_str().unwrap();
    let file = format!("/{}.tgz", name.replace('/', "-"));
    let document = json!({
        "dist-tags": {"latest": version},
        "versions": {version: {
            "dependencies": manifest["dependencies"],
            "dist": {
                "tarball": format!("{}{file}", server.uri()),
                "integrity": format!("sha512-{digest}"),
            },
        }},
    });
    for (at, answer) in [
        (file, ResponseTemplate::new(200).set_body_bytes(content)),
        (
            format!("/{}", name.replace('/', "%2f")),
            ResponseTemplate::new(200).set_body_json(document),
        ),
    ] {
        Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
    }
}

/// A build whose project has this configuration, and packages of this registry.
async fn context(
    world: &World,
    server: &MockServer,
    cache: &std::path::Path,
    config: &Value,
    script: &str,
) -> Context {
    let values = format!("{PROJECT}\ndefaultConfig: '{config}'\n");
    let mut context = world.build(&values, event("push"), script).await;
    context.options.packages.registry = server.uri();
    context.options.packages.folder = cache.to_owned();
    context
}

const SCRIPT: &str = "
const { events } = require('brigadier');
const { makes } = require('@team/jobs');
events.on('push', async () => { await makes('built').run(); console.log('done'); });
";

async fn team(server: &MockServer) {
    let jobs = "const { Job } = require('@brigadecore/brigadier');
         const { image } = require('images');
         exports.makes = (name) => new Job(name, image, ['make']);";
    let manifest = json!({
        "version": "1.2.3", "main": "lib/jobs.js",
        "dependencies": {"@brigadecore/brigadier": "^0.9.0", "images": "^2.0.0"},
    });
    publish(server, "@team/jobs", manifest, &[("lib/jobs.js", jobs)]).await;
    let images = "export const image = 'alpine:3.20';";
    let manifest = json!({"version": "2.0.1", "type": "module", "exports": "./images.js"});
    publish(server, "images", manifest, &[("images.js", images)]).await;
}

#[tokio::test]
async fn a_package_is_fetched_once_and_makes_jobs() {
    let (world, server, cache) = (World::new(), MockServer::start().await, cache());
    team(&server).await;
    let config = json!({"dependencies": {"@team/jobs": "1.2.3"}});
    let context = context(&world, &server, cache.path(), &config, SCRIPT).await;

    // A function does not fetch, and leaves it to a worker.
    let start = pipeline::start(&context, world.output()).await.unwrap();
    let StartEnd::Awaits { reason } = start.end else { panic!("{:?}", start.end) };
    assert_eq!(reason, "the script needs packages, which a worker fetches");
    assert!(server.received_requests().await.unwrap().is_empty());

    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!((outcome.phase, outcome.reason), (Phase::Succeeded, None));
    assert!(world.printed().contains(&"prestart: installing @team/jobs@1.2.3".to_owned()));
    assert_eq!(world.said(), ["done"]);
    let build = world.cluster().build("default", context.build.id).await.unwrap().unwrap();
    let noted: Value = serde_json::from_str(&build.annotations["brigantine.dev/packages"]).unwrap();
    let expected = json!({"node_modules/@team/jobs": "@team/jobs@1.2.3", "node_modules/images": "images@2.0.1"});
    assert_eq!(noted, expected);
    assert_eq!(server.received_requests().await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_build_that_goes_on_has_the_versions_that_it_had() {
    let (world, server, cache) = (World::new(), MockServer::start().await, cache());
    publish(&server, "a", json!({"version": "1.0.0"}), &[("index.js", "exports.v = 1;")]).await;
    let script = "console.log(require('a').v)";
    let config = json!({"dependencies": {"a": "^1.0.0"}});
    let mut context = context(&world, &server, cache.path(), &config, script).await;
    world.run(&context, world.end_all()).await;
    let line = "prestart: a@^1.0.0 names no exact version, a@1.0.0 is taken".to_owned();
    assert!(world.printed().contains(&line));
    // Meanwhile there is another version, and this build has not noted its end.
    let mut build = world.cluster().build("default", context.build.id).await.unwrap().unwrap();
    build.annotations.retain(|name, _| name == "brigantine.dev/packages");
    context.build = build;
    let document = json!({"dist-tags": {"latest": "1.5.0"}, "versions": {"1.5.0": {"dist": {}}}});
    let newer = ResponseTemplate::new(200).set_body_json(document);
    let newer = Mock::given(method("GET")).and(path("/a")).respond_with(newer).with_priority(1);
    newer.mount(&server).await;
    let outcome = world.run(&context, world.end_all()).await;
    let reason = outcome.reason.unwrap();
    assert_eq!(reason, "package a@1.0.0: 127.0.0.1 has no such version; the latest is 1.5.0");
}

#[tokio::test]
async fn a_package_that_cannot_be_had_fails_the_build_before_its_script() {
    let (world, server, cache) = (World::new(), MockServer::start().await, cache());
    let config = json!({"dependencies": {"nothing": "1.0.0"}});
    let script = "console.log('it runs')";
    let context = context(&world, &server, cache.path(), &config, script).await;
    let outcome = world.run(&context, world.end_all()).await;
    assert_eq!((outcome.phase, outcome.exit_code), (Phase::Failed, 1));
    assert_eq!(
        outcome.reason.as_deref(),
        Some(
            "package nothing: 127.0.0.1 has none of this name: look at how it is written, or vendor it in the repository's node_modules"
        )
    );
    assert!(world.said().is_empty());
    assert!(world.printed().iter().any(|line| line.starts_with("[brigade:app] package nothing")));
}

/// A registry that does not answer.
async fn silent() -> MockServer {
    let server = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(3600));
    Mock::given(method("GET")).respond_with(never).mount(&server).await;
    server
}

#[tokio::test]
async fn a_build_is_cancelled_while_its_packages_are_fetched() {
    let (world, server, cache) = (World::new(), silent().await, cache());
    let config = json!({"dependencies": {"a": "1.0.0"}});
    let script = "console.log('it runs')";
    let context = context(&world, &server, cache.path(), &config, script).await;
    context.cluster.accept(&context.build, &[].into()).await.unwrap();
    // After the worker has read the build.
    let asked = context.cluster.cancel("default", context.build.id, "enough").await.unwrap();
    assert_eq!(asked, runtime::cluster::Cancelled::Asked);
    let outcome = world.run(&context, async {}).await;
    assert_eq!(outcome.phase, Phase::Cancelled);
    assert_eq!(outcome.reason.as_deref(), Some("the build was cancelled: enough"));
    assert!(world.said().is_empty());
    let build = world.cluster().build("default", context.build.id).await.unwrap().unwrap();
    assert_eq!(build.phase(), Some(Phase::Cancelled));
}

#[tokio::test]
async fn an_installation_has_a_limit_of_time() {
    let (world, server, cache) = (World::new(), silent().await, cache());
    let config = json!({"dependencies": {"a": "1.0.0"}});
    let mut context = context(&world, &server, cache.path(), &config, "").await;
    context.options.packages.time_limit = std::time::Duration::from_millis(50);
    let outcome = world.run(&context, async {}).await;
    assert_eq!(outcome.phase, Phase::Failed);
    let reason = outcome.reason.unwrap();
    assert!(reason.starts_with("the packages did not come within 50ms: "), "{reason}");
}

#[tokio::test]
async fn all_packages_of_a_build_have_one_limit_of_size() {
    let text = format!("// {}", "x".repeat(600));
    for (limit, phase) in [(2000, Phase::Succeeded), (1000, Phase::Failed)] {
        let (world, server, cache) = (World::new(), MockServer::start().await, cache());
        for name in ["a", "b"] {
            publish(
                &server,
                name,
                json!({"name": name, "version": "1.0.0"}),
                &[("index.js", &text)],
            )
            .await;
        }
        let config = json!({"dependencies": {"a": "1.0.0", "b": "1.0.0"}});
        let mut context = context(&world, &server, cache.path(), &config, "").await;
        context.options.packages.size_limit = limit;
        let outcome = world.run(&context, async {}).await;
        let reason = outcome.reason.unwrap_or_default();
        assert_eq!(outcome.phase, phase, "{reason}");
        let says = "with it, the packages of the build have more than 1000 bytes";
        assert_eq!(reason.ends_with(says), phase == Phase::Failed, "{reason}");
    }
}

#[tokio::test]
async fn what_the_repository_has_is_not_fetched() {
    let (world, server, cache) = (World::new(), MockServer::start().await, cache());
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("brigade.json", r#"{"dependencies": {"own": "1.0.0"}}"#),
        ("node_modules/own/package.json", r#"{"version": "1.0.0"}"#),
        ("node_modules/own/index.js", "exports.own = 'vendored';"),
    ] {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let script = "console.log(require('own').own)";
    let mut context = context(&world, &server, cache.path(), &json!({}), script).await;
    context.script.workspace = Some(folder.path().to_owned());
    world.run(&context, world.end_all()).await;
    assert_eq!(world.said(), ["vendored"]);
    assert!(server.received_requests().await.unwrap().is_empty());
    assert_eq!(world.printed().iter().filter(|line| line.starts_with("prestart")).count(), 1);
}

#[tokio::test]
async fn the_lines_of_a_build_without_packages_are_brigades() {
    for (config, line) in [
        (json!({}), "prestart: no dependencies to install"),
        (Value::Null, "prestart: no dependencies file found"),
    ] {
        let world = World::new();
        let values = match config {
            Value::Null => PROJECT.to_owned(),
            config => format!("{PROJECT}\ndefaultConfig: '{config}'\n"),
        };
        let context = world.build(&values, event("push"), "").await;
        world.run(&context, world.end_all()).await;
        assert!(world.printed().contains(&line.to_owned()), "{:?}", world.printed());
    }
}

fn cache() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn no_job_is_made_before_what_the_script_depends_on_is_there() {
    let world = World::new();
    let script = "const { Job } = require('brigadier'); new Job('one', 'i').run();";
    for (config, elsewhere) in [
        (r#"{"dependencies": {"a": "1.0.0"}}"#, true),
        (r#"{"dependencies": {"../a": "1.0.0"}}"#, true),
        ("{", true),
        (r#"{"dependencies": {"brigadier": "0.1.0"}}"#, false),
        ("{}", false),
    ] {
        let mut context = world.build(PROJECT, event("push"), script).await;
        context.script.config = Some(("brigade.json".to_owned(), config.to_owned()));
        let start = world.start(&context).await;
        let awaits =
            matches!(&start.end, StartEnd::Awaits { reason } if reason.contains("packages"));
        assert_eq!((awaits, start.jobs.is_empty()), (elsewhere, elsewhere), "{config}: {start:?}");
    }
}
