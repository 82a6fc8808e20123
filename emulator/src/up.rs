//! Serves projects until it is interrupted.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use runtime::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::emulator::{Emulator, Options, Pods, Target};
use crate::host;
use crate::story::{self, Clock, Line, Teller};

/// The options of `emulator up`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Projects: folders with a project.yaml (the values file of Brigade's chart brigade-project)
    /// and a brigade.js
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the functions listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7744")]
    listen: SocketAddr,
    /// Where the embedded cluster listens; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    api_listen: SocketAddr,
    /// Where the kubeconfig of the embedded cluster is written [default: kubeconfig in the state]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// What runs the pods of the embedded cluster
    #[arg(long, value_enum, default_value_t = Pods::Auto)]
    pods: Pods,
    /// The cluster: embedded, kind, or a context of your kubeconfig
    #[arg(long, value_name = "CONTEXT", default_value = "embedded")]
    cluster: String,
    /// Run the functions as a process of their own, on a host that is played. They clone what they
    /// build, and leave it to worker pods, as they do there. Otherwise they are in this process
    #[arg(long, value_enum, value_name = "HOST")]
    host: Option<host::Kind>,
    /// Where the embedded cluster's state is kept
    #[arg(long, value_name = "DIR", default_value = ".brigantine", conflicts_with = "ephemeral")]
    state: PathBuf,
    /// Let roles and bindings decide who may do what in the embedded cluster. Otherwise every user
    /// and every service account may do everything
    #[arg(long)]
    rbac: bool,
    /// Keep no state
    #[arg(long)]
    ephemeral: bool,
    /// The namespace of the projects
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// More stand-ins: a folder with a folder for each image, docker or technosophos/slack-notify
    #[arg(long, value_name = "DIR")]
    stand_ins: Vec<PathBuf>,
    /// Refuse the webhooks of registries that bring no token, as the functions do. Otherwise the
    /// embedded cluster takes them, for any commit that they name, as Brigade's own URLs need; with
    /// another cluster, REGISTRY_ALLOW_UNSIGNED decides
    #[arg(long)]
    require_registry_token: bool,
    /// Let notifiers tell whom their settings name: real channels, real commits, real people.
    /// Otherwise what they tell is checked as Slack, Teams, GitHub and the others check it, and shown
    /// here, and nothing leaves this machine
    #[arg(long)]
    tell_outside: bool,
}

/// Serves until interrupted.
pub async fn run(
    arguments: Arguments,
    settings: Settings,
    out: impl Write,
    colours: bool,
) -> Result<()> {
    let mut teller = Teller::new(out, Clock::Day, colours);
    let cluster = match arguments.cluster.as_str() {
        "embedded" => Target::Embedded,
        context => Target::Context(context.to_owned()),
    };
    // Elsewhere jobs clone for real: what a stranger names could be a stranger's commit.
    let allowed = cluster == Target::Embedded || settings.registry_allow_unsigned;
    let emulator = Emulator::start(Options {
        folders: arguments.folders,
        listen: arguments.listen,
        api_listen: arguments.api_listen,
        cluster,
        host: arguments.host,
        pods: arguments.pods,
        rbac: arguments.rbac,
        state: (!arguments.ephemeral).then_some(arguments.state),
        kubeconfig: arguments.kubeconfig,
        namespace: arguments.namespace,
        stand_ins: arguments.stand_ins,
        tell_outside: arguments.tell_outside,
        settings: Settings {
            registry_allow_unsigned: allowed && !arguments.require_registry_token,
            ..settings
        },
    })
    .await?;
    let shutdown = CancellationToken::new();
    let news = emulator.news.subscribe();
    let mut lines = story::follow(&emulator.cluster, emulator.namespaces(), news, shutdown.clone());
    for folder in &emulator.folders {
        let project = &folder.project;
        let place = folder.path.display();
        teller.tell(&Line::of(
            "project",
            &format!("{} from {place}, in {}", project.name, project.namespace),
        ))?;
        for warning in &folder.warnings {
            teller.tell(&Line::of("project", &format!("{}: warning: {warning}", project.name)))?;
        }
    }
    if let Some(reason) = &emulator.missing {
        teller.tell(&Line::of("emulator", &format!("pods are simulated: {reason}")))?;
    }
    let tells = match &emulator.relays {
        Some((relay, smtp)) => format!(
            "what notifiers tell is shown here, and leaves this machine with --tell-outside only; \
             `worker notify` is shown, too, with NOTIFY_RELAY={relay} NOTIFY_SMTP_RELAY={smtp}"
        ),
        None => "notifiers tell whom their settings name".to_owned(),
    };
    teller.tell(&Line::of("emulator", &tells))?;
    teller.tell(&Line::of("emulator", &ready(&emulator)))?;
    let mut interrupted = std::pin::pin!(runtime::serve::interrupted());
    loop {
        tokio::select! {
            () = &mut interrupted => break,
            Some(line) = lines.recv() => teller.tell(&line)?,
        }
    }
    teller.tell(&Line::of("emulator", "ending"))?;
    shutdown.cancel();
    emulator.stop().await;
    Ok(())
}

/// The line that says where everything is.
fn ready(emulator: &Emulator) -> String {
    let mut ready = format!("ready functions={}", address(&emulator.functions));
    if let Some(api) = &emulator.api {
        ready += &format!(" api={}", address(api));
    }
    if let Some(kubeconfig) = &emulator.kubeconfig {
        ready += &format!(" kubeconfig={}", kubeconfig.display());
    }
    ready + &format!(" pods={}", emulator.pods)
}

fn address(url: &reqwest::Url) -> &str {
    url.as_str().trim_end_matches('/')
}
