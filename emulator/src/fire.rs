//! Sends a sample of an event, as its sender would, signed with the project's secret.
//!
//! A sample is a recorded request of `tests/payloads` with some of its values changed: those that
//! the options name, and those that make it another event than the one before.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::Url;
use runtime::project::Project;
use serde_json::json;

use crate::folder::Folder;
use crate::replay::{self, Output, pretty};

use self::sample::{Choice, SAMPLES, Sample, Values};

mod events;
mod github;
mod hosts;
mod notify;
mod registry;
mod sample;

#[cfg(test)]
mod tests;

/// The options of `emulator fire`.
#[derive(Args, Debug)]
pub struct Options {
    /// Who sends it: github, registry, ..., or who is told: notify-slack, ... (--list names them)
    #[arg(required_unless_present = "list")]
    source: Option<String>,
    /// What is sent: push, pull_request, ...
    #[arg(required_unless_present = "list")]
    event: Option<String>,
    /// List the samples, and the options that each takes
    #[arg(long)]
    list: bool,
    /// Where the functions are
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7744")]
    to: Url,
    /// The project whose event it is, and whose secrets sign it: its folder or its values file
    /// [default: the nearest folder, from the working directory upwards, that holds a project.yaml]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// The repository that it is about [default: the project's name]
    #[arg(long, value_name = "ORG/NAME")]
    repository: Option<String>,
    /// The branch or reference: main, refs/heads/main
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// The tag, of a commit or of an image
    #[arg(long)]
    tag: Option<String>,
    /// The commit's id [default: a new one each time]
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// The image: registry.example/team/app:1.0
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// What happened to the subject: opened, closed, created, ...
    #[arg(long)]
    action: Option<String>,
    /// The number of the pull request or the issue
    #[arg(long)]
    number: Option<u64>,
    /// What somebody wrote: a commit's message, a comment
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// The type of an event whose sender chooses it
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Print the request as a recording (.http) for `emulator replay`, and send nothing
    #[arg(long)]
    print: bool,
    /// How the answer, or the list, is printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Sends the sample, and prints what the sender is told; an error unless that is a 2xx.
pub async fn run(options: &Options, out: &mut impl Write) -> Result<()> {
    if options.list {
        return list(options.output, out);
    }
    let named = options.source.as_deref().unwrap_or_default();
    let sample = find(named, options.event.as_deref().unwrap_or_default())?;
    let project = project(options)?;
    let request = sample.request(&options.values(sample, &project)?)?;
    if options.print {
        write!(out, "{}", request.recorded())?;
        return Ok(());
    }
    let headers = request.headers(Some(&project))?;
    let addressed = request.addressed(Some(&project))?;
    let answer = replay::send(&replay::client()?, &options.to, &addressed, headers).await?;
    match options.output {
        Output::Json => {
            let line = json!({
                "source": sample.source,
                "event": sample.event,
                "status": answer.status,
                "body": answer.body,
            });
            writeln!(out, "{line}")?;
        }
        Output::Text => {
            writeln!(out, "{} {} {}", answer.status, sample.source, sample.event)?;
            writeln!(out, "{}", pretty(&answer.body))?;
        }
    }
    if !(200..300).contains(&answer.status) {
        bail!("the answer was {}", answer.status);
    }
    Ok(())
}

/// The sample of this name, or an error that names those there are.
fn find(source: &str, event: &str) -> Result<&'static Sample> {
    let own: Vec<&Sample> = samples().filter(|sample| sample.source == source).collect();
    if own.is_empty() {
        let mut sources: Vec<&str> = samples().map(|sample| sample.source).collect();
        sources.dedup();
        bail!("there are no samples of {source:?}; there are of: {}", sources.join(", "));
    }
    let found = samples().find(|sample| sample.source == source && sample.event == event);
    found.with_context(|| {
        let events: Vec<&str> = own.iter().map(|sample| sample.event).collect();
        format!("{source} has no sample {event:?}; it has: {}", events.join(", "))
    })
}

fn samples() -> impl Iterator<Item = &'static Sample> {
    SAMPLES.into_iter().flatten()
}

fn list(output: Output, out: &mut impl Write) -> Result<()> {
    for sample in samples() {
        let takes: Vec<&str> = sample.takes.iter().map(|choice| choice.name()).collect();
        match output {
            Output::Json => {
                let line = json!({
                    "source": sample.source,
                    "event": sample.event,
                    "fires": sample.fires,
                    "about": sample.about,
                    "options": takes,
                });
                writeln!(out, "{line}")?;
            }
            Output::Text => {
                writeln!(out, "{:<14} {:<22} {}", sample.source, sample.event, sample.about)?;
                if !takes.is_empty() {
                    writeln!(out, "{:<14} {:<22}   {}", "", "", takes.join(" "))?;
                }
            }
        }
    }
    Ok(())
}

/// The project that is named, or the one whose folder this is.
fn project(options: &Options) -> Result<Project> {
    if let Some(path) = &options.project {
        return Ok(Folder::read(path, "default")?.project);
    }
    let here = std::env::current_dir().context("there is no working directory")?;
    let folder = here.ancestors().find(|folder| folder.join("project.yaml").is_file());
    let folder = folder.context(
        "no folder from here upwards holds a project.yaml: name the project's with --project",
    )?;
    Ok(Folder::read(folder, "default")?.project)
}

impl Options {
    /// What is to be sent, if the sample takes all that is asked for.
    fn values(&self, sample: &Sample, project: &Project) -> Result<Values> {
        let given = [
            (Choice::Ref, self.reference.is_some()),
            (Choice::Tag, self.tag.is_some()),
            (Choice::Commit, self.commit.is_some()),
            (Choice::Image, self.image.is_some()),
            (Choice::Action, self.action.is_some()),
            (Choice::Number, self.number.is_some()),
            (Choice::Message, self.message.is_some()),
            (Choice::Type, self.kind.is_some()),
        ];
        for (choice, is_given) in given {
            if is_given && !sample.takes.contains(&choice) {
                let takes: Vec<&str> = sample.takes.iter().map(|choice| choice.name()).collect();
                bail!(
                    "{} {} takes no {}; it takes: --repository {}",
                    sample.source,
                    sample.event,
                    choice.name(),
                    takes.join(" ")
                );
            }
        }
        let mut values = Values::new(project);
        if let Some(repository) = &self.repository {
            values.repository.clone_from(repository);
        }
        if let Some(commit) = &self.commit {
            values.commit.clone_from(commit);
        }
        values.reference.clone_from(&self.reference);
        values.tag.clone_from(&self.tag);
        values.image.clone_from(&self.image);
        values.action.clone_from(&self.action);
        values.number = self.number;
        values.message.clone_from(&self.message);
        values.kind.clone_from(&self.kind);
        Ok(values)
    }
}
