//! The rights that the chart gives: a delivery makes its pods with them, a worker follows them, a
//! sweep looks after them, nothing is refused, nothing is there that none of them needs, and
//! whatever is taken away is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use runtime::cluster::rights::Part;
use serde_json::{Value, json};

use super::charts::{chart, helm, objects, template};
use super::printed;
use super::world::{Functions, PATIENCE, Right, World};

/// A script whose job has a cache, and that awaits nothing.
const DETACHED: &str = r#"
const { events, Job } = require("brigadier");
events.on("simpleevent", () => {
  const job = new Job("once", "busybox:1.36", ["true"]);
  job.cache.enabled = true;
  job.run();
});
"#;

/// A script that a worker follows: storage, a cache, a log that is shown, a job that does not end.
const AWAITED: &str = r#"
const { events, Job } = require("brigadier");
events.on("simpleevent", async () => {
  const writer = new Job("writer", "busybox:1.36", ["true"]);
  writer.storage.enabled = true;
  await writer.run();
  const reader = new Job("reader", "busybox:1.36", ["true"]);
  reader.cache.enabled = true;
  reader.streamLogs = true;
  await reader.run();
  await new Job("sleeper", "busybox:1.36", ["sleep 600"]).run();
});
"#;

/// The projects: their names, and their values.
fn projects() -> BTreeMap<&'static str, Value> {
    let with = |more: Value| {
        let mut values = json!({"sharedSecret": "s", "genericGatewaySecret": "token"});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        values
    };
    let mut all = BTreeMap::from([
        ("detached", with(json!({"defaultScript": DETACHED, "vcsSidecar": "NONE"}))),
        (
            "lined",
            with(json!({"defaultScriptName": "script", "limits": {"maxBuilds": 1},
            "defaultConfigName": "script"})),
        ),
        (
            "superseded",
            with(json!({"defaultScript": AWAITED, "limits": {"maxBuilds": 1, "supersede": true}})),
        ),
        ("plain", with(json!({"defaultScript": AWAITED}))),
    ]);
    for (name, values) in &mut all {
        values["project"] = json!(format!("acme/{name}"));
    }
    all
}

/// What the charts make, rendered once.
struct Manifests {
    brigantine: Vec<Value>,
    projects: Vec<Value>,
}

impl Manifests {
    fn render(namespace: &str) -> Option<Manifests> {
        let place = ["--namespace", namespace];
        let rendered = printed(&mut template(helm()?, "ship", "brigantine", &place));
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut made = Vec::new();
        for (name, values) in projects() {
            let file = folder.path().join(name);
            std::fs::write(&file, values.to_string()).expect("a file can be written");
            let file = file.display().to_string();
            let arguments = ["--namespace", namespace, "--values", &file];
            let text = printed(&mut template(helm()?, name, "brigantine-project", &arguments));
            made.extend(objects(&text));
        }
        Some(Manifests { brigantine: objects(&rendered), projects: made })
    }

    /// An object of the chart.
    fn find(&self, kind: &str) -> &Value {
        self.brigantine.iter().find(|each| each["kind"] == kind).expect("the chart has it")
    }

    /// The rights of each part, by its service account.
    fn rights(&self) -> BTreeMap<String, BTreeSet<Right>> {
        let of_kind =
            |kind: &'static str| self.brigantine.iter().filter(move |it| it["kind"] == kind);
        let texts = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut all = BTreeMap::new();
        for binding in of_kind("RoleBinding") {
            let role = of_kind("Role")
                .find(|role| role["metadata"]["name"] == binding["roleRef"]["name"])
                .expect("the role is there");
            let rules = role["rules"].as_array().into_iter().flatten();
            let rights = rules.flat_map(|rule| {
                let verbs = texts(&rule["verbs"]);
                let pairs = texts(&rule["resources"]).into_iter().map(move |resource| {
                    let verbs = verbs.clone().into_iter();
                    verbs.map(|verb| (verb, resource.clone())).collect::<Vec<_>>()
                });
                pairs.flatten().collect::<Vec<_>>()
            });
            let account = binding["subjects"][0]["name"].as_str().unwrap_or_default();
            all.insert(account.to_owned(), rights.collect());
        }
        all
    }

    /// The same, where one may do less.
    fn without(&self, account: &str, right: &Right) -> Vec<Value> {
        let role = self
            .brigantine
            .iter()
            .find(|each| each["kind"] == "RoleBinding" && each["subjects"][0]["name"] == account);
        let role = role.expect("it has a role")["roleRef"]["name"].clone();
        let mut all = self.brigantine.clone();
        for object in &mut all {
            if object["kind"] != "Role" || object["metadata"]["name"] != role {
                continue;
            }
            for rule in object["rules"].as_array_mut().into_iter().flatten() {
                if rule["resources"] == json!([right.1])
                    && let Some(verbs) = rule["verbs"].as_array_mut()
                {
                    verbs.retain(|verb| verb.as_str() != Some(&right.0));
                }
            }
            let rules = object["rules"].as_array_mut();
            rules.into_iter().for_each(|rules| rules.retain(|rule| rule["verbs"] != json!([])));
        }
        all
    }
}

/// The script's ConfigMap.
fn script() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "script"},
        "data": {"brigade.js": AWAITED, "brigade.json": "{}"}})
}

/// Everything that the programs do: deliveries, a worker, a sweep.
async fn play(world: &World, manifests: &Manifests) -> Result<()> {
    let id = |name: &str| runtime::project::id_of(&format!("acme/{name}"));
    let functions = Functions::start(world, manifests.find("Deployment")).await?;
    let deliver = async |name: &str, key: &str| functions.deliver(&id(name), "token", key).await;

    // A pod at once, and none for the same again.
    let first = deliver("detached", "1").await?;
    let made = first["jobs"][0].as_str().context("a pod is made")?.to_owned();
    let again = deliver("detached", "1").await?;
    ensure!(again["duplicate"] == true || again.to_string().contains("duplicate"), "{again}");
    // The second ends the first.
    let old = build(&deliver("superseded", "1").await?)?;
    deliver("superseded", "2").await?;
    ensure!(phase(world, &old).await?.as_deref() == Some("Cancelled"), "the older build goes on");
    // The second waits for the first.
    let running = build(&deliver("lined", "1").await?)?;
    let waiting = build(&deliver("lined", "2").await?)?;
    ensure!(pod(world, &waiting).await?.is_none(), "two builds run at once");

    world.add_node();
    world.pod_until(&made, |pod| pod.is_some()).await?;
    work(world, &running).await?;
    ensure!(pod(world, &waiting).await?.is_some(), "nobody has started the build that waits");

    // What the sweep finds: a build that waits for nobody, one whose worker has vanished, two that
    // were cancelled, and more than are kept.
    let last = build(&deliver("lined", "3").await?)?;
    delete_build(world, &waiting).await?;
    let vanished = build(&deliver("plain", "1").await?)?;
    delete_pod(world, &vanished).await?;
    let cancelled = build(&deliver("plain", "2").await?)?;
    let deaf = build(&deliver("plain", "3").await?)?;
    delete_pod(world, &deaf).await?;
    for build in [&cancelled, &deaf] {
        cancel(world, build).await?;
    }
    sweep(world, manifests, &[]).await?;
    ensure!(pod(world, &last).await?.is_some(), "nobody has given the free slot away");
    ensure!(pod(world, &vanished).await?.is_some(), "nobody goes on with the vanished build");
    ensure!(phase(world, &deaf).await?.as_deref() == Some("Cancelled"), "it is not cancelled");
    // What is kept is the newest.
    sweep(world, manifests, &["--max-builds", "1", "--skip-running", "false"]).await?;
    ensure!(secret(world, &running).await?.is_none(), "the old build is still there");
    Ok(())
}

/// The name of the build that an answer tells of.
fn build(answer: &Value) -> Result<String> {
    let id = answer["build"].as_str().with_context(|| format!("no build: {answer}"))?;
    Ok(format!("brigade-worker-{}", id.trim_start_matches("brigade-worker-")))
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.admin.clone(), &world.namespace)
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.admin.clone(), &world.namespace)
}

async fn pod(world: &World, name: &str) -> Result<Option<Pod>> {
    Ok(pods(world).get_opt(name).await?)
}

async fn secret(world: &World, name: &str) -> Result<Option<Secret>> {
    Ok(secrets(world).get_opt(name).await?)
}

/// What is noted of how a build stands.
async fn phase(world: &World, build: &str) -> Result<Option<String>> {
    let found = secret(world, build).await?;
    let notes = found.and_then(|secret| secret.metadata.annotations);
    Ok(notes.and_then(|mut notes| notes.remove(runtime::build::annotation::PHASE)))
}

async fn cancel(world: &World, build: &str) -> Result<()> {
    let notes = json!({runtime::build::annotation::CANCEL: "because"});
    let changes = Patch::Merge(json!({"metadata": {"annotations": notes}}));
    secrets(world).patch(build, &PatchParams::default(), &changes).await?;
    Ok(())
}

/// What belongs to something that was deleted goes with that, and may be gone.
fn gone<T>(deleted: kube::Result<T>) -> Result<()> {
    match deleted {
        Err(error) if !matches!(&error, kube::Error::Api(status) if status.is_not_found()) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

async fn delete_pod(world: &World, name: &str) -> Result<()> {
    gone(pods(world).delete(name, &DeleteParams::default().grace_period(0)).await)?;
    world.pod_until(name, |pod| pod.is_none()).await
}

/// Deletes a build with what belongs to it, of which a slot is a part.
async fn delete_build(world: &World, name: &str) -> Result<()> {
    let found = secret(world, name).await?.context("the build is there")?;
    let id = found.metadata.labels.and_then(|mut labels| labels.remove("build"));
    let own = format!("build={}", id.context("it has an id")?);
    let own = kube::api::ListParams::default().labels(&own);
    for secret in secrets(world).list(&own).await? {
        let name = secret.metadata.name.context("it has a name")?;
        gone(secrets(world).delete(&name, &DeleteParams::default()).await)?;
    }
    delete_pod(world, name).await
}

/// Runs the worker of a build, as its pod would, until it is cancelled.
async fn work(world: &World, build: &str) -> Result<()> {
    let pod = serde_json::to_value(pod(world, build).await?.context("it has a worker")?)?;
    let account = pod["spec"]["serviceAccountName"].as_str().context("it has an account")?;
    let container = &pod["spec"]["containers"][0];
    let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments: Vec<&str> = std::iter::once("worker").chain(arguments).collect();
    let variables = World::variables(container);
    let id = build.trim_start_matches("brigade-worker-");
    let cancelled = async {
        world.pod_until(&format!("sleeper-{id}"), |pod| pod.is_some()).await?;
        world.called(account, "watch", "secrets").await?;
        cancel(world, build).await
    };
    // It ends with the script's code, which has not ended well.
    let (ended, cancelled) = tokio::join!(run(world, account, &arguments, &variables), cancelled);
    cancelled?;
    let told = ended?;
    let phase = phase(world, build).await?;
    ensure!(phase.as_deref() == Some("Cancelled"), "the build has ended as {phase:?}: {told:?}");
    Ok(())
}

/// Sweeps as the CronJob does, with more options.
async fn sweep(world: &World, manifests: &Manifests, options: &[&str]) -> Result<()> {
    let pod = &manifests.find("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().context("it has an account")?;
    let container = &pod["containers"][0];
    let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments: Vec<&str> =
        ["worker"].into_iter().chain(arguments).chain(options.to_vec()).collect();
    finish(world, account, &arguments, &World::variables(container)).await
}

/// Runs a program to its end, which must be a good one.
async fn finish(
    world: &World,
    account: &str,
    arguments: &[&str],
    variables: &[(String, String)],
) -> Result<()> {
    let (succeeded, told) = run(world, account, arguments, variables).await?;
    ensure!(succeeded, "{arguments:?}: {told}");
    Ok(())
}

/// Runs a program to its end: whether it was a good one, and what it said.
async fn run(
    world: &World,
    account: &str,
    arguments: &[&str],
    variables: &[(String, String)],
) -> Result<(bool, String)> {
    let mut command = world.program(account, arguments, variables).await?;
    let output = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).output());
    let output = output.await.with_context(|| format!("{arguments:?} does not end"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
}

/// A cluster with the charts' objects in it, or with these in the place of the first chart's.
async fn installed(manifests: &Manifests, brigantine: &[Value]) -> Result<World> {
    let world = World::start().await?;
    world.apply(&[script()]).await?;
    let needed = ["ServiceAccount", "Role", "RoleBinding"];
    let needed = |each: &&Value| needed.iter().any(|kind| each["kind"] == *kind);
    let needed: Vec<Value> = brigantine.iter().filter(needed).cloned().collect();
    world.apply(&needed).await?;
    world.apply(&manifests.projects).await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_makes_its_pods_with_the_rights_that_helm_installs() {
    let world = World::start().await.unwrap();
    let Some(manifests) = Manifests::render(&world.namespace) else { return };
    let kubeconfig = world.admin_file().unwrap();
    let install = async |release: &str, name: &str, values: Option<&Value>| {
        let mut helm = helm().expect("it was there");
        helm.args(["install", release]).arg(chart(name));
        helm.args(["--namespace", &world.namespace]).env("KUBECONFIG", &kubeconfig);
        if let Some(values) = values {
            let file = world.folder.path().join("values.yaml");
            std::fs::write(&file, values.to_string()).unwrap();
            helm.arg("--values").arg(file);
        }
        tokio::task::spawn_blocking(move || printed(&mut helm)).await.unwrap()
    };
    let notes = install("ship", "brigantine", None).await;
    assert!(notes.contains("rollout status deployment/ship-brigantine"), "{notes}");
    for (name, values) in projects() {
        let notes = install(name, "brigantine-project", Some(&values)).await;
        assert!(notes.contains(&runtime::project::id_of(&format!("acme/{name}"))), "{notes}");
    }
    world.apply(&[script()]).await.unwrap();
    play(&world, &manifests).await.unwrap();
    assert_eq!(world.seen.refused(), Vec::<String>::new());
    if world.is_embedded() {
        // Nothing is allowed that nobody does.
        for (account, rights) in manifests.rights() {
            assert_eq!(world.seen.of(&account), rights, "{account}");
        }
    }
    world.end().await.unwrap();
}

/// A script that a worker follows to a good end.
const FOLLOWED: &str = r#"
const { events, Job } = require("brigadier");
events.on("simpleevent", async () => {
  await new Job("only", "busybox:1.36", ["true"]).run();
});
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_build_elsewhere_has_its_rights_and_its_jobs_have_none() {
    let mut world = World::start().await.unwrap();
    let elsewhere = world.another("builds").await.unwrap();
    let Some(helm_here) = helm() else { return world.end().await.unwrap() };
    let more = format!("buildNamespaces={{{elsewhere}}}");
    let arguments = ["--namespace", &world.namespace, "--set", &more];
    let chart = objects(&printed(&mut template(helm_here, "ship", "brigantine", &arguments)));
    let manifests = Manifests { brigantine: chart, projects: Vec::new() };
    let applied = ["ServiceAccount", "Role", "RoleBinding"];
    let applied = manifests.brigantine.iter().filter(|each| applied.contains(&kind(each)));
    world.apply(&applied.cloned().collect::<Vec<_>>()).await.unwrap();
    let values = json!({"project": "acme/elsewhere", "sharedSecret": "s", "vcsSidecar": "NONE",
        "genericGatewaySecret": "token", "defaultScript": FOLLOWED, "namespace": elsewhere});
    let file = world.folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let file = file.display().to_string();
    let arguments = ["--namespace", &world.namespace, "--values", &file];
    let project = printed(&mut template(helm().unwrap(), "x", "brigantine-project", &arguments));
    world.apply(&objects(&project)).await.unwrap();

    let functions = Functions::start(&world, manifests.find("Deployment")).await.unwrap();
    let id = runtime::project::id_of("acme/elsewhere");
    let made = build(&functions.deliver(&id, "token", "1").await.unwrap()).unwrap();
    world.add_node();
    let pods = Api::<Pod>::namespaced(world.admin.clone(), &elsewhere);
    let worker = serde_json::to_value(pods.get(&made).await.unwrap()).unwrap();
    let account = format!("{elsewhere}/{}", worker["spec"]["serviceAccountName"].as_str().unwrap());
    let container = &worker["spec"]["containers"][0];
    let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments: Vec<&str> = std::iter::once("worker").chain(arguments).collect();
    finish(&world, &account, &arguments, &World::variables(container)).await.unwrap();
    assert_eq!(world.seen.refused(), Vec::<String>::new());

    // What the script ran is nobody in the cluster, unless the project says who it is.
    let job = format!("only-{}", made.trim_start_matches("brigade-worker-"));
    let job = pods.get(&job).await.unwrap().spec.unwrap();
    assert_eq!(job.service_account_name.as_deref(), Some("brigantine-jobs"));
    let mounted = job.containers[0].volume_mounts.clone().unwrap_or_default();
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert!(!mounted.iter().any(|mount| mount.mount_path == token), "it has a token");
    for namespace in [&world.namespace, &elsewhere] {
        for (name, may) in [("brigantine-jobs", false), ("brigade-worker", true)] {
            let user = format!("system:serviceaccount:{elsewhere}:{name}");
            let review = json!({"spec": {"user": user, "resourceAttributes": {
                "namespace": namespace, "verb": "get", "resource": "secrets"}}});
            let reviews = Api::<SubjectAccessReview>::all(world.admin.clone());
            let review = serde_json::from_value(review).unwrap();
            let review = reviews.create(&PostParams::default(), &review).await.unwrap();
            assert_eq!(review.status.unwrap().allowed, may, "{user} in {namespace}");
        }
    }
    world.end().await.unwrap();
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

#[test]
fn the_roles_are_what_the_cluster_calls() {
    let Some(manifests) = Manifests::render("ci") else { return };
    let accounts = [
        (Part::Functions, "brigantine-functions"),
        (Part::Worker, "brigade-worker"),
        (Part::Sweeper, "brigantine-sweeper"),
    ];
    for (part, account) in accounts {
        let rights = part.rights().iter().flat_map(|right| {
            let pairs = right.verbs.iter().map(|verb| (*verb, right.resource));
            pairs.map(|(verb, resource)| (verb.to_owned(), resource.to_owned()))
        });
        assert_eq!(manifests.rights()[account], rights.collect(), "{account}");
    }
}

/// How many clusters there are at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_is_taken_away_is_missed() {
    let Some(manifests) = Manifests::render("ci") else { return };
    let of_all = manifests.rights().into_iter();
    let all: Vec<(String, Right)> = of_all
        .flat_map(|(account, rights)| rights.into_iter().map(move |right| (account.clone(), right)))
        .collect();
    assert!(all.len() > 20, "only {} rights are tried", all.len());
    let tried = futures::stream::iter(&all).map(async |(account, right)| {
        let world = installed(&manifests, &manifests.without(account, right)).await.unwrap();
        if !world.is_embedded() {
            println!("skipped: what is refused is only noted by the embedded cluster");
            return world.end().await.unwrap();
        }
        let ended = world.missed(play(&world, &manifests)).await;
        let (verb, resource) = &right;
        let missed = format!("{account} may not {verb} {resource}");
        let refused = world.seen.refused();
        assert!(refused.contains(&missed), "{missed}: {refused:?} {ended:?}");
    });
    tried.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[test]
fn the_roles_of_the_chart_have_what_the_programs_are_known_to_need() {
    use runtime::cluster::rights::Part;

    let Some(manifests) = Manifests::render("default") else { return };
    let rights = manifests.rights();
    for (part, account) in [
        (Part::Functions, "brigantine-functions"),
        (Part::Worker, "brigade-worker"),
        (Part::Sweeper, "brigantine-sweeper"),
    ] {
        let needed = part.rights().iter().flat_map(|right| {
            right.verbs.iter().map(|verb| ((*verb).to_owned(), right.resource.to_owned()))
        });
        assert_eq!(rights[account], needed.collect::<BTreeSet<Right>>(), "{account}");
    }
}
