//! The program: it serves the functions on whatever host it finds itself.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use pipeline::script::{Fetcher, Repository};
use runtime::cluster::Cluster;
use runtime::serve::{self, Host};
use runtime::settings::help::{self, Program};
use runtime::settings::{MetricsAt, Settings};
use runtime::telemetry::{self, Life};
use tokio::net::TcpListener;

use crate::{App, Function, Workers, metrics, router};

/// How long the program may take, once it has ended, to tell of its last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);

mod check;

/// Receives webhooks and makes builds of them, in the cluster that the settings name
///
/// Without a command it serves, on the host that it finds itself on: plain HTTP for containers, and
/// the clouds' own functions.
#[derive(Parser)]
#[command(name = "functions", version = runtime::version(), max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder, which there must be
        folder: PathBuf,
    },
}

const EXAMPLE: &str = "\
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
    let given: Vec<OsString> = given.collect();
    // Hosts start the program without arguments, and wait for it.
    let asked = match given.len() {
        0 | 1 => None,
        _ => Arguments::from_arg_matches(&command().get_matches_from(given))?.command,
    };
    match asked {
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let ended = begin().await;
                if let Err(error) = &ended {
                    serve::failed(&format!("{error:#}")).await;
                }
                ended
            })
        }
        Some(Command::Check(arguments)) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(check::run(&arguments))
        }
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut command(), "functions", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man { folder }) => {
            let written = clap_mangen::generate_to(command(), &folder);
            written.with_context(|| format!("no pages can be written to {}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The command line, with what is said of every setting.
fn command() -> clap::Command {
    let settings = help::text(Program::Functions);
    Arguments::command()
        .after_help("Everything is set by environment variables: --help says which.")
        .after_long_help(format!(
            "Everything is set by environment variables, because that is what every host has.\n\n\
             {settings}\n{EXAMPLE}"
        ))
}

async fn begin() -> Result<ExitCode> {
    let settings = Settings::from_environment()?;
    let host = Host::detect(&settings);
    let life = match host {
        Host::Lambda(_) => Life::Lambda,
        Host::Azure(_) => Life::Frozen,
        Host::Plain(_) => Life::Long,
    };
    telemetry::begin(&settings.telemetry, life);
    telemetry::init(&settings.log, settings.log_format, false, std::io::stderr)
        .context("the variable LOG is not understood")?;
    telemetry::complain(&settings.telemetry);
    let which = functions(&settings.functions)?;
    let cluster = Cluster::connect(&settings.cluster, &settings.namespace)?;
    let repository = if settings.script_fetch_budget.is_zero() {
        Repository::Clone
    } else {
        Repository::Fetch(Box::new(Fetcher::new(settings.script_fetch_budget)))
    };
    // Elsewhere there is no port of ours, or the host sends whatever comes to it.
    let metrics = match host {
        Host::Plain(_) => settings.telemetry.metrics,
        Host::Azure(_) | Host::Lambda(_) => MetricsAt::Off,
    };
    let app = App {
        cluster,
        repository: Arc::new(repository),
        settings: Arc::new(settings),
        workers: Workers::Pods,
    };
    let mut router = router(app, &which);
    match metrics {
        MetricsAt::Off => {}
        MetricsAt::Here => router = router.merge(metrics::routes()),
        MetricsAt::Address(address) => {
            let listener = TcpListener::bind(address).await;
            let listener =
                listener.with_context(|| format!("METRICS: {address} cannot be listened at"))?;
            tokio::spawn(serve::http(metrics::routes(), listener, serve::interrupted()));
        }
    }
    serve::serve(router, host, serve::interrupted())
        .await
        .context("the functions are not served")?;
    telemetry::flush(LAST_WORDS).await;
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

#[test]
fn help_says_every_setting_and_an_example() {
    let help = command().render_long_help().to_string();
    for group in Program::Functions.groups() {
        for setting in group.settings {
            assert!(help.contains(setting.names[0]), "{}", setting.names[0]);
        }
    }
    assert!(help.contains("curl localhost:8080/events/github"), "{help}");
    command().debug_assert();
}
