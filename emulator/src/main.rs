//! The command `emulator`.

use std::io::{IsTerminal, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use emulator::{demo, fire, host, replay, stand_ins, up};
use runtime::settings::{LogFormat, Settings};
use runtime::telemetry;

/// Brigantine in one process: every function, a cluster that runs pods, recorded webhooks
///
/// Begin with `emulator demo`. To try a project of your own, make a folder with a project.yaml (at
/// least `project: org/repository` and a `sharedSecret`) and a brigade.js, then run
/// `emulator up DIR` and send it a webhook: `emulator replay FILE.http`.
#[derive(Parser)]
#[command(name = "emulator", version = runtime::version(), max_term_width = 100)]
struct Arguments {
    /// What is logged, to standard error: a level, or levels by target (info,functions=debug)
    /// [default: the variable LOG, else warn for demo and info otherwise]
    #[arg(long, global = true, value_name = "LEVELS")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play the story of a push, from GitHub's webhook to the message in Slack, and end
    Demo(demo::Arguments),
    /// Serve projects: the functions on one port, a cluster on another
    ///
    /// When it serves, it prints a line with `ready` and the addresses. It is configured by the
    /// same variables as the functions, besides these options.
    Up(up::Arguments),
    /// Send recorded requests, signed anew with the project's secret
    ///
    /// A file (.http) holds a request as it goes over the wire: a line with method and path,
    /// headers, an empty line, the body. {{signature}} stands for the signature of the body,
    /// {{token}} for the project's token. Ends with 1 if an answer is not as expected.
    Replay(replay::Options),
    /// Send a sample of an event, as its sender would: `emulator fire github push --ref main`
    ///
    /// It is signed with the project's secret, and is a new event each time; what --print writes is
    /// the same event whenever it is replayed. Ends with 1 if the answer is no 2xx.
    Fire(fire::Options),
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
    /// What stand-ins run inside pods
    #[command(hide = true, name = "stand-in")]
    StandIn {
        /// The command that is stood in for
        name: String,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        // The worker's program: it has a runtime of its own.
        Command::StandIn { name, arguments } if stand_ins::ROLES.contains(&name.as_str()) => {
            worker::play(std::iter::once(name).chain(arguments).map(Into::into))
        }
        Command::StandIn { name, arguments } if name == host::ROLE => {
            functions::play(std::iter::once(name).chain(arguments).map(Into::into))
        }
        _ => play(),
    };
    match ended {
        Ok(code) => code,
        // Whoever read the output has heard enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is what the user sees")]
            {
                eprintln!("emulator: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[tokio::main]
async fn play() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = stdout();
    let colours = out.is_terminal();
    if let Command::StandIn { name, arguments } = &arguments.command {
        return stand_in(name, arguments).await;
    }
    let settings = Settings::from_environment()?;
    let quiet = matches!(arguments.command, Command::Demo(_)) && settings.log == "info";
    let log = if quiet { "warn" } else { &settings.log };
    let log = arguments.log.as_deref().unwrap_or(log);
    telemetry::init(log, LogFormat::Text, stderr().is_terminal(), stderr)
        .context("--log takes a level, or levels by target")?;
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments, settings, out, colours).await?,
        Command::Up(arguments) => up::run(arguments, settings, out, colours).await?,
        Command::Replay(options) => replay::run(&options, &mut out).await?,
        Command::Fire(options) => fire::run(&options, &mut out).await?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "emulator", &mut out);
        }
        Command::Man { folder } => {
            let written = clap_mangen::generate_to(Arguments::command(), &folder);
            written.with_context(|| format!("no pages can be written to {}", folder.display()))?;
        }
        Command::StandIn { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs inside a pod, where the environment is the pod's.
async fn stand_in(name: &str, arguments: &[String]) -> Result<ExitCode> {
    #[expect(clippy::disallowed_methods, reason = "a pod's environment holds no settings of ours")]
    let variable = |name: &str| std::env::var(name).ok();
    let mut out = stdout();
    match name {
        "docker" => stand_ins::docker::docker(arguments, variable, &mut out).await?,
        "dockerd" => stand_ins::docker::dockerd(&mut out).await?,
        _ => anyhow::bail!("there is no stand-in for {name}"),
    }
    Ok(ExitCode::SUCCESS)
}

#[test]
fn the_options_are_consistent() {
    Arguments::command().debug_assert();
}
