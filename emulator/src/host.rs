//! The functions as a process of their own, on a host that is played: `--host`.
//!
//! The process is this program, started again. It finds the embedded cluster by its kubeconfig, as the
//! functions find any, and leaves builds to worker pods.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use hosts::azure::{self, Azure};
use hosts::lambda::{self, Front, Lambda};
use hosts::plain::{self, Plain};
use reqwest::Url;
use runtime::settings::{self, Settings};
use tokio::sync::{broadcast, mpsc};

use crate::backstage::News;

/// The name that the program of the functions has, which is the emulator's, too.
pub const ROLE: &str = "functions";

/// The files of the function app.
const APP: [(&str, &str); 4] = [
    ("host.json", include_str!("../../infra/azure/app/host.json")),
    ("eventgrid/function.json", include_str!("../../infra/azure/app/eventgrid/function.json")),
    ("functions/function.json", include_str!("../../infra/azure/app/functions/function.json")),
    ("sweep/function.json", include_str!("../../infra/azure/app/sweep/function.json")),
];

/// How the names of settings begin that are about where the functions are, and which cluster is theirs.
const OF_PLACE: [&str; 18] = [
    "AKS_",
    "AWS_",
    "AZURE_",
    "Azure",
    "DRAIN_",
    "EKS_",
    "FUNCTIONS_",
    "GCE_",
    "GKE_",
    "HOST",
    "IDENTITY_",
    "KUBE",
    "LISTEN_",
    "MESSAGE_PATH",
    "NOTIFY_SOCKET",
    "PORT",
    "TLS_",
    "UNIX_SOCKET",
];

/// A host of the functions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Kind {
    /// AWS Lambda, behind a function URL
    Lambda,
    /// Azure Functions, below /api
    Azure,
    /// A container
    Plain,
}

/// Functions that run on a host.
pub enum Hosted {
    Lambda(Lambda),
    Azure(Azure),
    Plain(Plain),
}

/// What the functions are to know.
pub struct Place<'a> {
    /// Where they are served.
    pub listen: SocketAddr,
    /// How they come to the cluster.
    pub kubeconfig: &'a Path,
    /// Where the projects are.
    pub namespace: &'a str,
    /// Where files of theirs can be.
    pub state: &'a Path,
    pub settings: &'a Settings,
    /// Who hears what they say.
    pub news: broadcast::Sender<News>,
}

/// Starts the functions: where they are, and what runs them.
pub async fn start(kind: Kind, place: Place<'_>) -> Result<(Url, Hosted)> {
    let program = std::env::current_exe()?;
    let arguments = ["stand-in", ROLE].map(Into::into).to_vec();
    let environment = variables(&place)?;
    let log = Some(told(place.news));
    let (url, hosted) = match kind {
        Kind::Plain => {
            let address = place.listen;
            let options = plain::Options::of(program);
            let options = plain::Options { arguments, environment, address, log, ..options };
            let plain = Plain::start(options).await.map_err(anyhow::Error::msg)?;
            (plain.url(), Hosted::Plain(plain))
        }
        Kind::Azure => {
            let folder = place.state.join("function-app");
            write(&folder)?;
            let options = azure::Options::of(program, folder);
            let address = place.listen;
            let options = azure::Options { arguments, environment, address, log, ..options };
            let azure = Azure::start(options).await?;
            (azure.url(), Hosted::Azure(azure))
        }
        Kind::Lambda => {
            let options = lambda::Options::of(program, Front::FunctionUrl);
            let address = place.listen;
            let options = lambda::Options { arguments, environment, address, log, ..options };
            let lambda = Lambda::start(options).await?;
            (lambda.url(), Hosted::Lambda(lambda))
        }
    };
    Ok((Url::parse(&format!("{url}/"))?, hosted))
}

impl Hosted {
    /// Ends the functions.
    pub async fn stop(self) {
        match self {
            Hosted::Lambda(lambda) => lambda.stop().await,
            Hosted::Azure(azure) => azure.stop().await,
            Hosted::Plain(plain) => plain.stop().await,
        }
    }
}

/// The variables of the functions: those of this process that are settings, but for those of where it
/// is, and what the emulator decides.
fn variables(place: &Place<'_>) -> Result<Vec<(String, String)>> {
    let kubeconfig = std::path::absolute(place.kubeconfig)?.display().to_string();
    let decided = [
        ("KUBECONFIG", kubeconfig),
        ("LOG", place.settings.log.clone()),
        ("LOG_FORMAT", "text".to_owned()),
        ("NAMESPACE", place.namespace.to_owned()),
        ("REGISTRY_ALLOW_UNSIGNED", place.settings.registry_allow_unsigned.to_string()),
        // The projects' folders are where the stand-in for git finds them.
        ("SCRIPT_FETCH_BUDGET", "0".to_owned()),
    ];
    let decided = decided.into_iter().chain(place.settings.notify.variables());
    let mut variables = settings::of_functions();
    variables.retain(|(name, _)| !OF_PLACE.iter().any(|begin| name.starts_with(begin)));
    for (name, value) in decided {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn write(folder: &Path) -> Result<()> {
    for (path, text) in APP {
        let file = folder.join(path);
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(&file, text)
        };
        write().with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Has what is said told.
fn told(news: broadcast::Sender<News>) -> mpsc::UnboundedSender<String> {
    let (log, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            let _nobody_listens = news.send(News::Said(line));
        }
    });
    log
}

#[test]
fn every_file_of_the_function_app_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/azure/app");
    let folders = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let functions = folders.filter(|path| path.join("function.json").exists()).count();
    assert_eq!(APP.len(), functions + 1);
}
