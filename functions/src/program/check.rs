//! `functions check`: what the cluster says of whoever asks with these settings, and what is missing.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use runtime::cluster::rights::Part;
use runtime::cluster::{Cluster, ConnectError, Report, Weight};
use runtime::settings::{LogFormat, Settings};
use runtime::telemetry;

/// Asks the cluster that the settings name who asks, and what they may do
///
/// Changes nothing. Ends with 0 if all is there, with 1 if something is missing, and with 2 if there is
/// no cluster. The page /healthz/cluster says the same to whoever bears CHECK_TOKEN.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    /// For which program it is asked what may be done: the identity is always that of the settings
    #[arg(long, value_enum, default_value = "functions")]
    program: Program,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Json,
    Text,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Program {
    Functions,
    Worker,
    Sweeper,
}

/// Checks, and writes what there is.
pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let settings = &Settings::from_environment()?;
    telemetry::init(&settings.log, LogFormat::Text, false, std::io::stderr)
        .context("the variable LOG is not understood")?;
    let part = match arguments.program {
        Program::Functions => Part::Functions,
        Program::Worker => Part::Worker,
        Program::Sweeper => Part::Sweeper,
    };
    let report = match Cluster::connect(&settings.cluster, &settings.namespace) {
        Ok(cluster) => cluster.check(part, settings).await,
        Err(error) => nowhere(&error, settings),
    };
    let out = std::io::stdout();
    let colours = out.is_terminal();
    let mut out = out.lock();
    match arguments.output {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        Format::Text => write(&mut out, &report, colours)?,
    }
    Ok(code(&report))
}

/// What there is to say where no cluster is configured.
fn nowhere(error: &ConnectError, settings: &Settings) -> Report {
    let mut report = Report {
        way: "none".to_owned(),
        namespace: settings.namespace.clone(),
        worker_image: settings.worker_image.clone(),
        ..Report::default()
    };
    report.problems.push(runtime::cluster::Problem {
        weight: Weight::NoCluster,
        what: error.to_string(),
        mend: "functions --help names the settings".to_owned(),
    });
    report
}

fn code(report: &Report) -> ExitCode {
    match report.worst() {
        None | Some(Weight::Remark) => ExitCode::SUCCESS,
        Some(Weight::Missing) => ExitCode::from(1),
        Some(Weight::NoCluster) => ExitCode::from(2),
    }
}

/// Writes a report for people.
fn write(out: &mut impl Write, report: &Report, colours: bool) -> std::io::Result<()> {
    let unknown = || "unknown".to_owned();
    let clock = match report.clock_skew {
        None => unknown(),
        Some(0) => "as the cluster's".to_owned(),
        Some(skew) if skew > 0 => format!("{skew} s ahead of the cluster's"),
        Some(skew) => format!("{} s behind the cluster's", skew.unsigned_abs()),
    };
    let broken = report.projects.iter().filter(|project| project.broken.is_some()).count();
    let projects = match (report.projects.len(), broken) {
        (0, _) => "none seen".to_owned(),
        (all, 0) => all.to_string(),
        (all, broken) => format!("{all}, of which {broken} cannot be loaded"),
    };
    for (name, value) in [
        ("found by", report.way.clone()),
        ("server", report.server.clone().unwrap_or_else(unknown)),
        ("version", report.version.clone().unwrap_or_else(unknown)),
        ("user", report.user.clone().unwrap_or_else(unknown)),
        ("groups", report.groups.join(", ")),
        ("clock", clock),
        ("namespace", report.namespace.clone()),
        ("projects", projects),
        ("worker image", report.worker_image.clone()),
    ] {
        writeln!(out, "{name:<13}{}", plain(&value))?;
    }
    if !report.rights.is_empty() {
        writeln!(out, "rights")?;
    }
    for right in &report.rights {
        let allowed = right.allowed.join(" ");
        write!(out, "  {:<44}{allowed}", format!("{}/{}", right.namespace, right.resource))?;
        match right.missing.is_empty() {
            true => writeln!(out)?,
            false => {
                writeln!(out, "  {}", red(&format!("not {}", right.missing.join(" ")), colours))?
            }
        }
    }
    for problem in &report.problems {
        let (word, is_bad) = match problem.weight {
            Weight::Remark => ("remark", false),
            Weight::Missing => ("missing", true),
            Weight::NoCluster => ("no cluster", true),
        };
        let word = if is_bad { red(word, colours) } else { word.to_owned() };
        writeln!(out, "\n{word}: {}", plain(&problem.what))?;
        writeln!(out, "  {}", plain(&problem.mend))?;
    }
    if report.problems.is_empty() {
        writeln!(out, "\nnothing is missing")?;
    }
    Ok(())
}

/// A text without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn red(text: &str, colours: bool) -> String {
    if colours { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use runtime::cluster::{Allowed, Found, Problem};

    use super::*;

    #[test]
    fn a_report_says_what_is_missing_and_the_command_that_mends_it() {
        let report = Report {
            way: "KUBECONFIG_TEXT".to_owned(),
            server: Some("https://10.0.0.1:6443".to_owned()),
            version: Some("v1.36.0".to_owned()),
            user: Some("lambda\u{1b}[2J".to_owned()),
            groups: vec!["system:authenticated".to_owned()],
            namespace: "ci".to_owned(),
            clock_skew: Some(-3),
            worker_image: "ghcr.io/brigantine/worker:latest".to_owned(),
            projects: vec![Found {
                name: "acme/app".to_owned(),
                namespace: "ci".to_owned(),
                broken: None,
            }],
            rights: vec![
                Allowed {
                    namespace: "ci".to_owned(),
                    resource: "pods",
                    allowed: vec!["create", "get"],
                    missing: vec!["delete"],
                },
                Allowed {
                    namespace: "ci".to_owned(),
                    resource: "configmaps",
                    allowed: vec!["get"],
                    missing: vec![],
                },
            ],
            problems: vec![Problem {
                weight: Weight::Missing,
                what: "in the namespace ci, pods must be allowed: delete".to_owned(),
                mend: "kubectl ...".to_owned(),
            }],
        };
        let mut out = Vec::new();
        write(&mut out, &report, false).unwrap();
        expect![[r#"
            found by     KUBECONFIG_TEXT
            server       https://10.0.0.1:6443
            version      v1.36.0
            user         lambda[2J
            groups       system:authenticated
            clock        3 s behind the cluster's
            namespace    ci
            projects     1
            worker image ghcr.io/brigantine/worker:latest
            rights
              ci/pods                                     create get  not delete
              ci/configmaps                               get

            missing: in the namespace ci, pods must be allowed: delete
              kubectl ...
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
        assert_eq!(code(&report), ExitCode::from(1));
        assert_eq!(code(&Report::default()), ExitCode::SUCCESS);
        let nothing = nowhere(&ConnectError::Unconfigured, &Settings::default());
        assert_eq!(code(&nothing), ExitCode::from(2));
        let mut out = Vec::new();
        write(&mut out, &nothing, true).unwrap();
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains("\u{1b}[31mno cluster\u{1b}[0m: no cluster is")
        );
    }
}
