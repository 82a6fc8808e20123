//! What scripts can do, without a cluster: each test runs a script and looks at its turn.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use runtime::event::Event;
use runtime::project::Project;
use serde_json::json;

use super::*;
use crate::mask::Mask;

mod brigadier;
mod brigadier2;
mod hostile;
mod language;
mod modules;
mod node;
mod random;
#[cfg(feature = "typescript")]
mod typescript;

/// A script with what it printed.
pub(crate) struct Script {
    pub(crate) engine: Engine,
    lines: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn project() -> Project {
    let secret: Secret = serde_json::from_value(json!({
        "type": "brigade.sh/project",
        "metadata": {
            "name": runtime::project::id_of("org/app"),
            "namespace": "brigade",
            "annotations": { "projectName": "org/app" },
        },
        "stringData": {
            "repository": "github.com/org/app",
            "cloneURL": "https://github.com/org/app.git",
            "vcsSidecar": "brigadecore/git-sidecar:latest",
            "secrets": "{\"PASSWORD\":\"correct horse\",\"nested\":{\"a\":[1]}}",
        },
    }))
    .unwrap();
    Project::from_secret(&secret).unwrap()
}

pub(crate) fn build(project: &Project, event: Event) -> Build {
    let mut build = Build::new(project, event, Timestamp::UNIX_EPOCH);
    build.id = runtime::build::BuildId::parse("01kag00000000000000000000a").unwrap();
    build.uid = Some("5f5f".to_owned());
    build.created = Some(Timestamp::UNIX_EPOCH);
    build
}

pub(crate) fn push() -> Event {
    let mut event = Event::new("github", "push", "{\"n\":1}");
    event.revision.commit = "c0ffee".to_owned();
    event.revision.reference = "refs/heads/main".to_owned();
    event
}

/// The usual limits, but for the time, which no script here is to run out of.
pub(crate) fn usual() -> Limits {
    Limits { running: Duration::from_secs(60), ..Limits::default() }
}

impl Script {
    pub(crate) fn new(limits: Limits, workspace: Option<PathBuf>) -> Script {
        Script::with(limits, workspace, Packages::default())
    }

    pub(crate) fn with(limits: Limits, workspace: Option<PathBuf>, packages: Packages) -> Script {
        let project = project();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let printer = Printer::new(
            Arc::new(move |line| sink.lock().unwrap().push(line.text)),
            Mask::of(&project),
            LogLevel::Log,
            limits.output,
        );
        let engine = Engine::new(Seed {
            build: build(&project, push()),
            project,
            policy: Policy::default(),
            limits,
            workspace,
            packages,
            script: "brigade.js".to_owned(),
            printer,
        })
        .unwrap();
        Script { engine, lines }
    }

    pub(crate) fn load(&mut self, text: &str) -> Turn {
        self.load_as("brigade.js", text)
    }

    pub(crate) fn load_as(&mut self, name: &str, text: &str) -> Turn {
        self.engine.turn(Delivery::Load { name: name.to_owned(), text: text.to_owned() })
    }

    pub(crate) fn printed(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

/// What a script prints that must not fail.
fn printed(text: &str) -> String {
    let mut script = Script::new(usual(), None);
    let turn = script.load(text);
    assert_eq!(turn.thrown, None);
    assert_eq!(turn.stop, None);
    script.printed()
}

/// What a script says that fails while it is loaded.
fn thrown(text: &str) -> String {
    let turn = Script::new(usual(), None).load(text);
    turn.thrown.clone().unwrap_or_else(|| panic!("it does not fail: {turn:?}"))
}

/// A repository with these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn printed_in(folder: &tempfile::TempDir, text: &str) -> String {
    let mut script = Script::new(usual(), Some(folder.path().to_owned()));
    let turn = script.load(text);
    assert_eq!(turn.thrown, None);
    assert_eq!(turn.stop, None);
    script.printed()
}
