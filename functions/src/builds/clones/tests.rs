//! Which scripts need the repository, and which are kept with their build.

use apiserver::{Options, Server};
use jiff::Timestamp;
use runtime::cluster::Creation;
use runtime::event::Event;
use runtime::project::values;

use super::*;

const PLAIN: &str = "const { events } = require('brigadier'); events.on('push', () => {});";

struct World {
    _server: Server,
    cluster: Cluster,
    project: Project,
    build: Build,
}

async fn world(values: &str, payload: &'static [u8]) -> World {
    let server = Server::new(Options::default()).unwrap();
    let cluster = Cluster::new(server.client(), "default");
    let yaml = format!("project: acme/app\ncloneURL: https://example.com/app.git\n{values}");
    let (project, _) = values::read(&yaml, "default").unwrap();
    let build = Build::new(&project, Event::new("github", "push", payload), Timestamp::now());
    let Creation::Made(build) = cluster.create_build(&build).await.unwrap() else { panic!() };
    World { _server: server, cluster, project, build }
}

impl World {
    async fn clones(&self, text: &str, name: &str, origin: ScriptOrigin) -> Clone {
        let script =
            Script { text: text.to_owned(), name: name.to_owned(), origin, ..Script::default() };
        clones(&self.cluster, &self.project, &self.build, Some(&script)).await.unwrap()
    }

    /// The script that the worker will find.
    async fn kept(&self) -> Option<String> {
        self.cluster.build("default", self.build.id).await.unwrap().unwrap().event.script
    }
}

#[test]
fn a_script_reads_what_it_names_or_does_not_name() {
    for script in [
        "require('./lib')",
        "require( \"../lib\" )",
        "import x from './lib.mjs'",
        "import './lib.mjs'",
        "const fs = require('fs')",
        "import { readFile } from \"fs/promises\"",
        "import fs from 'node:fs'",
        "await import(name)",
        "require(name)",
        "require(`${folder}/x`)",
        "const get = require; get(x)",
        "require.resolve('x')",
        "require('@brigadecore/brigade-utils')",
        "import { Check } from \"@brigadecore/brigade-utils\"",
        "import 'left-pad'",
        "import'left-pad'",
    ] {
        assert!(reads(script), "{script}");
    }
    for script in [
        "",
        PLAIN,
        "import { events, Job } from 'brigadier'",
        "import path from 'node:path'; import'node:util'; import crypto from\"crypto\"",
        "const path = require(\"path\");",
        "const offset = buffs.length; required(x); important(y)",
        "job.tasks = ['cd /src', 'git diff refs/heads/main', 'npm test -- --fs x']",
    ] {
        assert!(!reads(script), "{script}");
    }
}

#[tokio::test]
async fn a_script_of_the_repository_is_kept_in_place_of_a_clone() {
    let world = world("", b"{}").await;
    assert_eq!(world.clones(PLAIN, "brigade.js", ScriptOrigin::Repository).await, Clone::No);
    assert_eq!(world.kept().await.as_deref(), Some(PLAIN));
    let build = world.cluster.build("default", world.build.id).await.unwrap().unwrap();
    assert_eq!(build.annotations["brigantine.dev/script"], "repository");
    assert!(!build.accepted);
    assert_eq!(build.event.payload, world.build.event.payload);
}

#[tokio::test]
async fn a_script_that_is_kept_keeps_its_name() {
    let world = world("", b"{}").await;
    assert_eq!(world.clones(PLAIN, "ci/brigade.ts", ScriptOrigin::Repository).await, Clone::No);
    let build = world.cluster.build("default", world.build.id).await.unwrap().unwrap();
    assert_eq!(build.annotations["brigantine.dev/script"], "repository:ci/brigade.ts");
}

#[tokio::test]
async fn what_cannot_be_kept_is_cloned() {
    let own = "worker: {name: brigadecore/brigade-worker}";
    for (values, text, name) in [
        ("", "require('./lib')", "brigade.js"),
        (own, PLAIN, "brigade.js"),
        ("workerCommand: yarn start", PLAIN, "brigade.js"),
    ] {
        let world = world(values, b"{}").await;
        assert_eq!(world.clones(text, name, ScriptOrigin::Repository).await, Clone::Yes);
        assert_eq!(world.kept().await, None, "{values} {text} {name}");
    }
}

#[tokio::test]
async fn a_script_that_does_not_fit_beside_its_payload_is_cloned() {
    static PAYLOAD: [u8; 900 * 1024] = [b'x'; 900 * 1024];
    let world = world("", &PAYLOAD).await;
    let text = format!("{PLAIN} // {}", "y".repeat(200 * 1024));
    assert_eq!(world.clones(&text, "brigade.js", ScriptOrigin::Repository).await, Clone::Yes);
    assert_eq!(world.kept().await, None);
}

#[tokio::test]
async fn a_script_that_came_with_event_or_project_needs_no_clone() {
    for origin in [ScriptOrigin::Event, ScriptOrigin::DefaultScript, ScriptOrigin::ConfigMap] {
        let world = world("", b"{}").await;
        assert_eq!(world.clones(PLAIN, "brigade.js", origin).await, Clone::No);
        assert_eq!(world.clones("require('./x')", "brigade.js", origin).await, Clone::Yes);
        assert_eq!(world.kept().await, None);
    }
}
