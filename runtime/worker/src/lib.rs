#![doc = include_str!("../README.md")]

mod clone;
mod notify;
mod run;
mod sweep;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use runtime::cluster::Cluster;
use runtime::serve::interrupted;
use runtime::settings::help::{self, Program};
use runtime::settings::{CloneSettings, Settings, SweepSettings, WorkerSettings};
use runtime::telemetry::{self, Kind, Life, Span};
use runtime::trace;

/// How long the program may take, once its work is done, to tell of its last spans.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs in worker pods, which the functions make; the pod's environment says for which build
#[derive(Parser)]
#[command(name = "worker", version = runtime::version(), max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Run a build to its end, adopting what it has made before
    ///
    /// Ends with the script's exit code: 0 when the build succeeded. A worker that is killed may be
    /// started again; no job runs twice.
    Run,
    /// Look after the builds of all projects, as a CronJob does every few minutes
    ///
    /// Starts builds that nobody has started, and those that wait if it is their turn; goes on with
    /// builds whose worker has vanished, at most three times each; notes how builds ended that
    /// nobody followed; ends what was cancelled; and deletes old builds with all that is theirs,
    /// also Brigade's own, never caches. Ends with 1 if something could not be done.
    Sweep(sweep::Arguments),
    /// Clone the repository of a build into the workspace, as an init container
    ///
    /// Takes the variables of Brigade's git-sidecar, and needs the program git in its image. The
    /// event's commit is checked out. May be run again.
    Clone,
    /// Tell Slack, Teams, GitHub, a webhook or a mailbox one thing, as the pods of notifiers do
    ///
    /// What is told is the variable NOTIFICATION, in JSON, or what the options say; for Slack also
    /// what the variables of technosophos/slack-notify say, and for GitHub those of Brigade's image
    /// for check runs, with its exit codes. Who is told is in variables alone, since it is secret:
    ///
    ///   slack    SLACK_WEBHOOK, or SLACK_BOT_TOKEN and SLACK_CHANNEL
    ///   teams    TEAMS_WEBHOOK
    ///   github   GITHUB_TOKEN, GITHUB_APP_TOKEN, or APP_ID and APP_KEY; it is told of builds alone,
    ///            by NOTIFICATION with `build`, or by CHECK_PAYLOAD, and not by options
    ///   webhook  WEBHOOK_URL
    ///   email    SMTP_URL, EMAIL_FROM and EMAIL_TO
    ///
    /// It is tried for NOTIFY_BUDGET seconds, 300 by default. Ends with 0 if they were told, with 1
    /// if they cannot be, and with 75 if they could not be told now, and may be later.
    #[command(verbatim_doc_comment)]
    Notify(notify::Arguments),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder, which there must be
        folder: PathBuf,
    },
}

/// Plays the role that the arguments name, of which the first is the program's name; ends the process
/// where they are not understood.
pub fn play(given: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let matches = command().get_matches_from(arguments(given));
    let role = Arguments::from_arg_matches(&matches)?.role;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(begin(role));
    // A script that does not stop must not keep a process whose work is done.
    runtime.shutdown_background();
    ended
}

/// The command line, with what is said of the settings of every role.
fn command() -> clap::Command {
    let roles = [
        (Program::Run, "run"),
        (Program::Clone, "clone"),
        (Program::Notify, "notify"),
        (Program::Sweep, "sweep"),
    ];
    roles.into_iter().fold(Arguments::command(), |command, (program, name)| {
        command.mut_subcommand(name, |role| {
            let examples = if program == Program::Notify { notify::EXAMPLES } else { "" };
            let settings = help::text(program);
            let said = format!("{examples}\n\nIt is set by environment variables.\n\n{settings}");
            role.after_long_help(said.trim_start().to_owned())
        })
    })
}

async fn begin(role: Role) -> Result<ExitCode> {
    if let Role::Man { folder } = &role {
        let written = clap_mangen::generate_to(command(), folder);
        written.with_context(|| format!("no pages can be written to {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::of_worker()?;
    telemetry::begin(&settings.telemetry, Life::Long);
    // Standard output is the script's.
    telemetry::init(&settings.log, settings.log_format, false, std::io::stderr)
        .context("the variable LOG is not understood")?;
    telemetry::complain(&settings.telemetry);
    let place = settings.telemetry.place;
    let ended = trace::within(place, play_role(role, &settings)).await;
    telemetry::flush(LAST_WORDS).await;
    ended
}

async fn play_role(role: Role, settings: &Settings) -> Result<ExitCode> {
    match role {
        Role::Clone => {
            let settings = CloneSettings::from_environment()?;
            clone::clone(&settings, std::io::stdout(), &clone::WAITS, interrupted()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Role::Run => {
            let worker = match WorkerSettings::from_environment() {
                Err(error) if let Some(name) = error.missing() => {
                    run::say(&mut std::io::stdout(), &format!("Missing required env {name}"));
                    return Ok(ExitCode::FAILURE);
                }
                worker => worker?,
            };
            let cluster = Cluster::connect(&settings.cluster, &worker.home)?;
            run::run(&cluster, &worker, settings, std::io::stdout(), interrupted()).await
        }
        Role::Notify(arguments) => {
            let environment = arguments.environment();
            let told = notify::run(&arguments, &environment, settings, interrupted()).await;
            Ok(notify::say(told, std::io::stdout(), std::io::stderr()))
        }
        Role::Sweep(arguments) => {
            let _span = Span::root("sweep", Kind::Internal);
            let environment = SweepSettings::from_environment()?;
            let cluster =
                Cluster::connect(&settings.cluster, sweep::namespace(&arguments, settings))?;
            sweep::run(&cluster, &arguments, &environment, settings, std::io::stdout()).await
        }
        Role::Man { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// The arguments of this process. Brigade's controller starts its worker by `yarn -s start`, so a
/// program of that name is told to run; and one that is called `slack-notify` or `check-run` does
/// what the program of that name did, or says what it is. They took no options.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let given: Vec<OsString> = given.collect();
    let name = given.first().and_then(|program| Path::new(program).file_name()?.to_str());
    let has = |options: [&str; 2]| given.iter().skip(1).any(|it| options.iter().any(|o| it == o));
    let arguments: &[&str] = match name {
        Some("yarn") => &["worker", "run"],
        Some("slack-notify" | "check-run") if has(["--help", "-h"]) => {
            &["worker", "notify", "--help"]
        }
        Some("slack-notify" | "check-run") if has(["--version", "-V"]) => &["worker", "--version"],
        Some("slack-notify") => &["worker", "notify", "slack", "--as-slack-notify"],
        Some("check-run") => &["worker", "notify", "github", "--as-check-run"],
        _ => return given,
    };
    arguments.iter().map(Into::into).collect()
}

#[test]
fn help_says_every_setting_of_a_role() {
    let mut command = command();
    let help = command.find_subcommand_mut("clone").unwrap().render_long_help().to_string();
    assert!(help.contains("CLONE_DEPTH") && help.contains("LOG_FORMAT"), "{help}");
    command.debug_assert();
}

#[test]
fn the_command_of_brigades_controller_runs_a_build() {
    use clap::error::ErrorKind;

    let role = |given: &[&str]| {
        let given = given.iter().map(OsString::from);
        Arguments::try_parse_from(arguments(given)).map(|arguments| arguments.role)
    };
    for given in
        [&["yarn", "-s", "start"][..], &["/usr/local/bin/yarn", "-s", "start"], &["worker", "run"]]
    {
        assert!(matches!(role(given), Ok(Role::Run)), "{given:?}");
    }
    assert!(matches!(role(&["worker", "clone"]), Ok(Role::Clone)));
    for given in [&["/slack-notify"][..], &["slack-notify", "--loud"]] {
        assert!(matches!(role(given), Ok(Role::Notify(it)) if it.as_slack_notify), "{given:?}");
    }
    // Whoever asks what it is tells nobody.
    for name in ["/slack-notify", "check-run"] {
        for (option, kind) in [
            ("--help", ErrorKind::DisplayHelp),
            ("-h", ErrorKind::DisplayHelp),
            ("--version", ErrorKind::DisplayVersion),
        ] {
            assert_eq!(role(&[name, option]).err().map(|error| error.kind()), Some(kind), "{name}");
        }
    }
    assert!(matches!(role(&["worker", "notify", "teams"]), Ok(Role::Notify(_))));
    assert!(role(&["worker", "notify", "pigeon"]).is_err());
    assert!(role(&["worker", "-s", "start"]).is_err());
}
