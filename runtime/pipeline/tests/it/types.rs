//! The types of the script API: the compiler of TypeScript, where `.ci/run` has installed it,
//! checks scripts against them, and them against the objects that scripts really have.

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::event::{Event, Image};
use serde_json::json;

use crate::world::{PROJECT, World, container, event};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the compiler says of these files, beside the types; `None` where there is no compiler.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#[expect(clippy::disallowed_methods, reason = "who runs the tests says what there is")]
fn compiled(files: &[PathBuf]) -> Option<String> {
    let compiler = root().join("../../target/clients/typescript/node_modules/.bin/tsc");
    if !compiler.exists() {
        let all = std::env::var("BRIGANTINE_TOOLS").is_ok();
        assert!(!all, "BRIGANTINE_TOOLS is set, and there is no {}", compiler.display());
        println!("skipped: TypeScript is not installed at {}", compiler.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let types = root().join("brigadier.d.ts");
    let files: Vec<&PathBuf> = files.iter().chain([&types]).collect();
    let options = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "target": "es2022", "module": "es2022",
            "moduleResolution": "bundler", "lib": ["es2022"], "types": [],
            "noUnusedLocals": false, "skipLibCheck": false,
        },
        "files": files,
    });
    let project = folder.path().join("tsconfig.json");
    std::fs::write(&project, options.to_string()).unwrap();
    let output = Command::new(compiler).arg("--project").arg(&project).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), text.is_empty(), "{output:?}");
    Some(text)
}

#[test]
fn scripts_of_both_apis_compile_and_what_is_wrong_does_not() {
    let file = |name: &str| root().join("tests/it/types").join(name);
    let files = ["v1.ts", "v2.ts", "both.ts", "refused.ts"].map(file);
    if let Some(text) = compiled(&files) {
        assert_eq!(text, "");
    }
}

#[test]
fn a_script_that_does_not_compile_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brigade.ts");
    std::fs::write(&file, "import { Job } from 'brigadier'; new Job(5);").unwrap();
    if let Some(text) = compiled(&[file]) {
        assert!(text.contains("Argument of type 'number' is not assignable"), "{text}");
    }
}

/// Prints, for each type, the names that an object of it has or that the API reads of it.
const OBJECTS: &str = r#"
const api = require("brigadier");
const { events, fire, Job, Group, ErrorReport, Container, JobHost, SerialGroup, ConcurrentGroup, logger } = api;
const found = {};
const note = (type, names) => {
    found[type] ??= [];
    for (const name of names) {
        if (typeof name === "string" && name !== "constructor" && !found[type].includes(name)) found[type].push(name);
    }
};
const keys = (type, object) => {
    for (let at = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) note(type, Object.getOwnPropertyNames(at));
};
const statics = (object) => Object.getOwnPropertyNames(object).filter((name) => !["length", "name", "prototype"].includes(name));
const spy = (type, object) => {
    keys(type, object);
    return new Proxy(object, { get(target, name) { note(type, [name]); return target[name]; } });
};

note("typeof v1 | typeof v2", Object.getOwnPropertyNames(api));
keys("v1.EventRegistry | v2.EventRegistry", events);
note("typeof v1.Job | typeof v2.Job", [...statics(Job), "prototype"]);
note("typeof v1.Group", [...statics(Group), "prototype"]);
keys("v1.ErrorReport", new ErrorReport({}, "x"));
keys("v1.Group", new Group());
keys("v2.SerialGroup", new SerialGroup());
keys("v2.ConcurrentGroup", new ConcurrentGroup());
keys("v2.Logger", logger);

events.on("push", async (e, project) => {
    keys("v1.BrigadeEvent", e);
    keys("v1.Revision", e.revision);
    keys("v1.Image", e.image);
    keys("v1.Project", project);
    keys("v1.KubernetesConfig", project.kubernetes);
    keys("v1.Repository", project.repo);
    const job = new Job("one", "alpine");
    keys("v1.Job", job);
    const { resourceRequests, resourceLimits, host, cache, storage, docker } = job;
    job.resourceRequests = spy("v1.JobResources", resourceRequests);
    job.resourceLimits = spy("v1.JobResources", resourceLimits);
    job.host = spy("v1.JobHost", host);
    job.cache = spy("v1.JobCache", cache);
    job.storage = spy("v1.JobStorage", storage);
    job.docker = spy("v1.JobDockerMount", docker);
    keys("v1.Result", await job.run());
    const names = (error) => Object.getOwnPropertyNames(error).filter((name) => !["message", "stack"].includes(name));
    await new Job("two", "alpine").run().catch((error) => {
        note("Exclude<keyof v1.JobError, keyof Error>", names(error));
        note("Exclude<keyof v2.JobError, keyof Error>", names(error));
    });
    throw new Error("the end");
});
events.on("error", (e) => {
    keys("v1.BrigadeEvent", e);
    keys("v1.Cause", e.cause);
    for (const [type, names] of Object.entries(found)) console.log(JSON.stringify([type, names]));
});
events.on("brigade.sh/test", "push", async (event) => {
    keys("v2.Event", event);
    keys("v2.Image", event.image);
    keys("v2.Project", event.project);
    keys("v2.Worker", event.worker);
    keys("v2.Git", event.worker.git);
    const job = new Job("three", "alpine", event);
    keys("v2.Job", job);
    keys("v2.JobHost", new JobHost());
    job.host = spy("v2.JobHost", job.host);
    job.primaryContainer = spy("v2.Container", new Container("alpine"));
    await job.run();
});
events.process();
"#;

#[tokio::test]
async fn the_types_have_what_the_objects_have() {
    let world = World::new();
    let project = format!("{PROJECT}sshKey: key\nsshCert: cert\ngithub:\n  token: token\n");
    let image =
        Image { tag: Some("1".into()), digest: Some("sha256:0".into()), ..Image::default() };
    let event = Event { image: Some(image), ..event("push") };
    let context = world.build(&project, event, OBJECTS).await;
    let kubelet = async {
        world.wait_for(&["three", "one"]).await;
        world.end("three", 0).await;
        world.end("one", 0).await;
        world.wait_for(&["two"]).await;
        let state = json!({ "terminated": {
            "exitCode": 137, "reason": "OOMKilled",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
        }});
        let status = json!({ "phase": "Failed", "containerStatuses": [container(state)] });
        world.report("two", status).await;
    };
    world.run(&context, kubelet).await;
    let mut text = "import * as v1 from \"brigadier\"; import * as v2 from \"@brigadecore/brigadier\";
        type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : [\"not there\", Exclude<B, A>]) : [\"not typed\", Exclude<A, B>];
        type Keys<T> = T extends unknown ? keyof T : never;\n"
        .to_owned();
    let mut types = 0;
    for line in world.said().iter().filter(|line| line.starts_with("[\"")) {
        let (name, names): (String, Vec<String>) = serde_json::from_str(line).unwrap();
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let wanted = if name.starts_with("Exclude") { name } else { format!("Keys<{name}>") };
        text += &format!("export const t{types}: Same<{}, {wanted}> = true;\n", names.join("|"));
        types += 1;
    }
    assert_eq!(types, 33, "{:#?}", world.said());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.ts");
    std::fs::write(&file, &text).unwrap();
    if let Some(said) = compiled(&[file]) {
        assert_eq!(said, "", "{text}");
    }
}
