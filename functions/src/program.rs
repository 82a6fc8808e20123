//! The program: it serves the functions on whatever host it finds itself.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use pipeline::script::{Fetcher, Repository};
use runtime::cluster::Cluster;
use runtime::serve::{self, Host};
use runtime::settings::Settings;
use runtime::settings::help::{self, Program};
use runtime::telemetry;

use crate::{App, Function, Workers, router};

/// Receives webhooks and makes builds of them, in the cluster that the kubeconfig names
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
                let ended = serve().await;
                if let Err(error) = &ended {
                    serve::failed(&format!("{error:#}")).await;
                }
                ended
            })
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

async fn serve() -> Result<ExitCode> {
    let settings = Settings::from_environment()?;
    telemetry::init(&settings.log, settings.log_format, false, std::io::stderr)
        .context("the variable LOG is not understood")?;
    let which = functions(&settings.functions)?;
    let cluster = Cluster::connect(&settings.namespace).await?;
    let repository = if settings.script_fetch_budget.is_zero() {
        Repository::Clone
    } else {
        let fetcher = Fetcher::new(settings.script_fetch_budget);
        Repository::Fetch(Box::new(fetcher.context("GitHub cannot be spoken to")?))
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
