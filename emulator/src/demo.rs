//! Plays the story: a push becomes an image, and the image becomes a message in Slack; then a pull
//! request whose test fails, which Slack and GitHub hear of without a line of script.
//!
//! Everything in it is real but what the machine has not: the deliveries are proved, the script is
//! evaluated, the pods are made through the API of the embedded cluster and run in the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use runtime::settings::Settings;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::emulator::{Emulator, Options, Pods, Target};
use crate::folder::Folder;
use crate::replay::{self, Answer};
use crate::request::{self, Request};
use crate::story::{self, Clock, Line, Teller};

/// How long one step of the story may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo's project, as it is in the source tree.
const FILES: [(&str, &str); 9] = [
    ("app/Dockerfile", include_str!("../demo/app/Dockerfile")),
    ("app/index.html", include_str!("../demo/app/index.html")),
    ("app/test.sh", include_str!("../demo/app/test.sh")),
    ("brigade.js", include_str!("../demo/brigade.js")),
    ("project.yaml", include_str!("../demo/project.yaml")),
    ("requests/acr-notify.http", include_str!("../demo/requests/acr-notify.http")),
    ("requests/acr-push.http", include_str!("../demo/requests/acr-push.http")),
    (
        "requests/github-pull-request.http",
        include_str!("../demo/requests/github-pull-request.http"),
    ),
    ("requests/github-push.http", PUSH),
];

/// The push that the story begins with.
const PUSH: &str = include_str!("../demo/requests/github-push.http");

/// The options of `emulator demo`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Stay up when the story is told, until interrupted
    #[arg(long)]
    keep: bool,
    /// What runs the pods
    #[arg(long, value_enum, default_value_t = Pods::Auto)]
    pods: Pods,
    /// Where the functions listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The state of the telling.
struct Demo<W> {
    teller: Teller<W>,
    lines: UnboundedReceiver<Line>,
    /// The last phase of each pod.
    phases: BTreeMap<String, String>,
    /// What has arrived, as who shows it and what that is.
    arrived: Vec<(String, String)>,
}

/// Plays the story, and ends with an error if it does not come to its end.
pub async fn run(
    arguments: &Arguments,
    settings: Settings,
    out: impl Write,
    colours: bool,
) -> Result<()> {
    let start = Instant::now();
    let scratch = tempfile::Builder::new().prefix("brigantine-demo-").tempdir()?;
    let project = scratch.path().join("voyage");
    write(&project)?;
    let emulator = Emulator::start(Options {
        folders: vec![project.clone()],
        listen: arguments.listen,
        api_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        cluster: Target::Embedded,
        host: None,
        pods: arguments.pods,
        rbac: false,
        state: None,
        kubeconfig: None,
        namespace: "default".to_owned(),
        stand_ins: Vec::new(),
        tell_outside: false,
        settings,
    })
    .await?;
    let shutdown = CancellationToken::new();
    let news = emulator.news.subscribe();
    let lines = story::follow(&emulator.cluster, emulator.namespaces(), news, shutdown.clone());
    let teller = Teller::new(out, Clock::Since(start), colours);
    let mut demo = Demo { teller, lines, phases: BTreeMap::new(), arrived: Vec::new() };
    let told = demo.tell(&emulator, &project).await;
    if told.is_ok() && arguments.keep {
        demo.stay(&emulator, &project).await?;
    }
    shutdown.cancel();
    emulator.stop().await;
    told
}

impl<W: Write> Demo<W> {
    async fn tell(&mut self, emulator: &Emulator, project: &Path) -> Result<()> {
        let folder = Folder::read(project, "default")?;
        let push = recorded(project, "requests/github-push.http")?;
        let arrival = recorded(project, "requests/acr-push.http")?;
        let notice = recorded(project, "requests/acr-notify.http")?;
        let pull = recorded(project, "requests/github-pull-request.http")?;
        let simulated = emulator.pods == "simulate";
        let api = emulator.api.as_ref().map_or("-", reqwest::Url::as_str);
        self.say(
            "emulator",
            &format!("the functions serve at {}, the cluster at {api}", emulator.functions),
        )?;
        self.say("emulator", &how(emulator))?;

        self.say(
            "github",
            "a commit is pushed to main: POST /events/github, signed with the project's secret",
        )?;
        let answer = self.deliver(emulator, &push, &folder).await?;
        let build = made(&answer)?;
        self.until(|demo| demo.ended("dind")).await.context("the dind pod did not end")?;
        self.succeeded("dind")?;
        if simulated {
            self.say(
                "registry",
                "the pod was simulated and pushed nothing: a recorded webhook tells of an image",
            )?;
            let answer = self.deliver(emulator, &arrival, &folder).await?;
            made(&answer)?;
        }
        self.slack_is_told(simulated, 1).await?;

        self.say(
            "registry",
            "the webhook goes to the notifier, too, which asks no script: POST /notify/slack",
        )?;
        let answer = self.deliver(emulator, &notice, &folder).await?;
        made(&answer)?;
        self.slack_is_told(simulated, 2).await?;

        self.say(
            "github",
            "a pull request is opened; project.yaml says who is told how its test ends",
        )?;
        let answer = self.deliver(emulator, &pull, &folder).await?;
        made(&answer)?;
        self.until(|demo| demo.ended("test")).await.context("the test pod did not end")?;
        let (ends, told) = if simulated { ("success", 0) } else { ("failure", 3) };
        for name in ["pull_request/test", "pull_request"] {
            let check = format!("brigantine/{name}: {ends}");
            self.until(|demo| demo.has_arrived("github", &check))
                .await
                .with_context(|| format!("GitHub was not told {check}"))?;
        }
        self.until(|demo| demo.messages() >= told).await.context("Slack showed nothing")?;
        if simulated {
            self.say("slack", "the test was simulated and failed at nothing: Slack is not told")?;
        }

        self.say("github", "the push of the beginning is delivered again")?;
        let again = self.deliver(emulator, &push, &folder).await?;
        if made(&again)? != build || again.body.get("duplicate") != Some(&Value::Bool(true)) {
            bail!("the delivery that was repeated is not the same build");
        }
        self.say("somebody", "the same delivery with one byte changed, and the old signature")?;
        let forged = Request { body: Bytes::from(forge(&push.body)), ..push.clone() };
        let signature = push.headers(Some(&folder.project))?;
        let refused = self.deliver_as(emulator, &forged, signature).await?;
        if refused.status < 400 {
            bail!("a forged delivery was answered {}", refused.status);
        }
        let pods = self.phases.len();
        self.say("emulator", &format!("done: four webhooks made {pods} pods; nothing else ran"))
    }

    /// Waits until Slack shows so many messages, of as many pods.
    async fn slack_is_told(&mut self, simulated: bool, times: usize) -> Result<()> {
        let all = |demo: &Self| demo.of("slack-notify").filter(|phase| has_ended(phase)).count();
        let ended = self.until(|demo| all(demo) >= times).await;
        ended.context("the slack-notify pod did not end")?;
        self.succeeded("slack-notify")?;
        if simulated {
            return self.say("slack", "the pod was simulated: Slack shows nothing");
        }
        self.until(|demo| demo.messages() >= times).await.context("Slack showed nothing")
    }

    /// How many messages Slack has shown.
    fn messages(&self) -> usize {
        self.arrived.iter().filter(|(who, _)| who == "slack").count()
    }

    fn has_arrived(&self, who: &str, words: &str) -> bool {
        self.arrived.iter().any(|(told, text)| told == who && text.contains(words))
    }

    /// Waits until the user interrupts.
    async fn stay(&mut self, emulator: &Emulator, project: &Path) -> Result<()> {
        if let Some(kubeconfig) = &emulator.kubeconfig {
            self.say(
                "emulator",
                &format!("kubectl --kubeconfig {} get pods", kubeconfig.display()),
            )?;
        }
        let request = project.join("requests/github-push.http");
        self.say(
            "emulator",
            &format!("emulator replay --to {} {}", emulator.functions, request.display()),
        )?;
        self.say("emulator", "it stays up until it is interrupted (Ctrl-C)")?;
        let mut interrupted = std::pin::pin!(runtime::serve::interrupted());
        loop {
            tokio::select! {
                () = &mut interrupted => return Ok(()),
                line = self.lines.recv() => match line {
                    Some(line) => self.hear(&line)?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn deliver(
        &mut self,
        emulator: &Emulator,
        request: &Request,
        folder: &Folder,
    ) -> Result<Answer> {
        let headers = request.headers(Some(&folder.project))?;
        self.deliver_as(emulator, request, headers).await
    }

    async fn deliver_as(
        &mut self,
        emulator: &Emulator,
        request: &Request,
        headers: http::HeaderMap,
    ) -> Result<Answer> {
        let http = replay::client()?;
        let start = Instant::now();
        let answer = replay::send(&http, &emulator.functions, request, headers).await?;
        let took = start.elapsed().as_secs_f64() * 1000.0;
        let said = story::summary(&answer.body);
        self.say("functions", &format!("{} in {took:.0} ms: {said}", answer.status))?;
        Ok(answer)
    }

    /// Hears what happens until something is so.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let line = tokio::time::timeout_at(deadline, self.lines.recv()).await;
            let line = line.map_err(|_elapsed| {
                anyhow::anyhow!("it was waited for {} s", PATIENCE.as_secs())
            })?;
            self.hear(&line.context("nobody tells any more")?)?;
        }
        Ok(())
    }

    fn hear(&mut self, line: &Line) -> Result<()> {
        if let Some(phase) = &line.phase {
            self.phases.insert(phase.pod.clone(), phase.name.clone());
        }
        if matches!(line.who.as_str(), "slack" | "github") {
            self.arrived.push((line.who.clone(), line.text.clone()));
        }
        self.teller.tell(line)?;
        Ok(())
    }

    fn say(&mut self, who: &str, text: &str) -> Result<()> {
        Ok(self.teller.tell(&Line::of(who, text))?)
    }

    /// The phases of a job's pods.
    fn of(&self, job: &str) -> impl Iterator<Item = &str> {
        let named = format!("{job}-");
        let pods = self.phases.iter().filter(move |(pod, _)| pod.starts_with(&named));
        pods.map(|(_, phase)| phase.as_str())
    }

    fn ended(&self, job: &str) -> bool {
        self.of(job).any(has_ended)
    }

    fn succeeded(&self, job: &str) -> Result<()> {
        match self.of(job).find(|phase| *phase != "Succeeded") {
            None => Ok(()),
            Some(phase) => bail!("a {job} pod ended as {phase}"),
        }
    }
}

fn has_ended(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed" | "Gone")
}

/// How the pods of this demo run.
fn how(emulator: &Emulator) -> String {
    match (emulator.pods.as_str(), &emulator.missing) {
        ("simulate", Some(reason)) => format!(
            "pods are simulated, because the sandbox does not work here: {reason}. \
             Install bubblewrap to run them"
        ),
        ("simulate", None) => "pods are simulated, as asked".to_owned(),
        _ => "pods run in the sandbox (bubblewrap); stand-ins take the place of images".to_owned(),
    }
}

/// The build that an answer tells of.
fn made(answer: &Answer) -> Result<String> {
    let build = answer.body.get("build").and_then(Value::as_str);
    match build {
        Some(build) if answer.status == 200 => Ok(build.to_owned()),
        _ => {
            bail!("the delivery made no build: {} {}", answer.status, story::summary(&answer.body))
        }
    }
}

/// The body with one letter changed.
fn forge(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    text.replacen("Set sail", "Set sai1", 1).into_bytes()
}

fn recorded(project: &Path, file: &str) -> Result<Request> {
    let text = fs::read_to_string(project.join(file))?;
    request::parse(&text)?.into_iter().next().context("the file has no request")
}

fn write(folder: &Path) -> Result<()> {
    for (path, text) in FILES {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

#[test]
fn the_forged_delivery_differs_in_one_byte() {
    let body = PUSH.as_bytes();
    let differing = body.iter().zip(forge(body)).filter(|(one, other)| **one != *other).count();
    assert_eq!((differing, forge(body).len()), (1, body.len()));
}
