//! The program: it serves the functions on whatever host it finds itself.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use pipeline::script::{Fetcher, Repository};
use runtime::cluster::Cluster;
use runtime::serve::{self, Host};
use runtime::settings::Settings;
use runtime::telemetry;

use crate::{App, Function, Workers, router};

/// Receives webhooks and makes builds of them, in the cluster that the kubeconfig names.
#[derive(Parser)]
#[command(name = "functions", version, after_long_help = HELP)]
struct Arguments {}

const HELP: &str = "\
Everything is set by environment variables, because that is what every host has:

  FUNCTIONS                 which functions to serve: github,registry (default: all)
  NAMESPACE                 where the projects are (default: default)
  HOST, PORT                where to serve (default: 0.0.0.0 and 8080)
  KUBECONFIG                the cluster; without it the one that this program runs in
  DEFAULT_SHARED_SECRET     proves GitHub webhooks of projects that have no sharedSecret
  ALLOWED_AUTHORS           whose pull requests from forks are built
                            (default: COLLABORATOR,OWNER,MEMBER)
  EVENTS                    which events of git hosts are built, as *, <event> or <event>:<action>,
                            in projects that do not say so themselves (default: *)
  APP_ID, APP_KEY           a GitHub App and its private key in PEM, or APP_KEY_FILE with it
                            (default: /etc/brigade-github-app/key.pem)
  CHECK_SUITE_ON_PR         false asks GitHub for no check suite of the App for pull requests
  COMMENT_COMMAND           what the comments of trusted authors begin with that run a pull request,
                            such as /brig (default: any comment does)
  GITHUB_HOSTS              the GitHub Enterprise servers that the App may prove itself to, beside
                            api.github.com (default: none)
  GITHUB_TWO_BUILDS         true makes a build for <event> and one for <event>:<action>, as Brigade
  GITHUB_ALLOW_SHA1         true takes the signatures of old GitHub Enterprise servers
  REGISTRY_ALLOW_UNSIGNED   true takes registry webhooks without a token: whoever can reach this
                            program can then start builds
  INLINE                    never starts scripts only in worker pods (default: auto)
  REQUEST_BUDGET            seconds until a request is answered (default: 8)
  SCRIPT_FETCH_BUDGET       seconds to wait for a script from GitHub; 0 always clones (default: 3)
  SCRIPT_LIMITS             the most that projects may let scripts have (default:
                            memory=256Mi,time=1m,output=16Mi,jobs=5000,timers=10000)
  WORKER_IMAGE, WORKER_PULL_POLICY, WORKER_SERVICE_ACCOUNT, JOB_SERVICE_ACCOUNT
  NOTIFY_ALLOWED_HOSTS, NOTIFY_BUDGET, NOTIFY_DRY_RUN, NOTIFY_RELAY, NOTIFY_SMTP_RELAY, BUILD_URL
                            how messages are sent: they are given to the pods that send them
  LOG, LOG_FORMAT           what is logged (default: info) and how: json or text

Try it, with a project `ocean/brig` in the cluster whose sharedSecret is in $SECRET:

  functions &
  body='{\"ref\":\"refs/heads/main\",\"after\":\"...\",\"repository\":{\"full_name\":\"ocean/brig\"}}'
  signature=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$SECRET\" -r | cut -d' ' -f1)
  curl localhost:8080/events/github -d \"$body\" -H 'Content-Type: application/json' \\
    -H 'X-GitHub-Event: push' -H \"X-Hub-Signature-256: sha256=$signature\"
";

/// Does what the arguments ask for, of which the first is the program's name; ends the process where
/// they are not understood.
pub fn play(given: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let arguments = Arguments::parse_from(given);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let ended = begin(arguments).await;
        if let Err(error) = &ended {
            serve::failed(&format!("{error:#}")).await;
        }
        ended
    })
}

async fn begin(Arguments {}: Arguments) -> Result<ExitCode> {
    let settings = Settings::from_environment()?;
    telemetry::init(&settings.log, settings.log_format, false, std::io::stderr)
        .context("the variable LOG is not understood")?;
    let which = functions(&settings.functions)?;
    let cluster = Cluster::connect(&settings.cluster, &settings.namespace)?;
    let repository = if settings.script_fetch_budget.is_zero() {
        Repository::Clone
    } else {
        Repository::Fetch(Box::new(Fetcher::new(settings.script_fetch_budget)))
    };
    let host = Host::detect(&settings);
    let app = App {
        cluster,
        repository: Arc::new(repository),
        settings: Arc::new(settings),
        workers: Workers::Pods,
    };
    serve::serve(router(app, &which), host, serve::interrupted()).await.context("serving ended")?;
    Ok(ExitCode::SUCCESS)
}

/// The functions of these names; no name is all of them.
fn functions(names: &[String]) -> Result<Vec<Function>> {
    if names.is_empty() {
        return Ok(Function::ALL.to_vec());
    }
    let function = |name: &String| {
        let known: Vec<&str> = Function::ALL.iter().map(|function| function.name()).collect();
        let known = known.join(", ");
        Function::parse(name)
            .with_context(|| format!("the variable FUNCTIONS names {name:?}; there are: {known}"))
    };
    names.iter().map(function).collect()
}
