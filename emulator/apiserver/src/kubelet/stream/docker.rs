//! Into a container of a Docker engine, or of Podman's service.

use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bollard::Docker as Engine;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{AttachContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use futures::{Stream, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::streams::{Input, Output, Served, Size, Wanted};

/// What is needed to enter a container.
#[derive(Debug)]
pub(crate) struct DockerInside {
    pub(crate) engine: Engine,
    pub(crate) id: String,
    /// The container that owns the pod's network.
    pub(crate) first: String,
}

impl DockerInside {
    /// A process in the pod's network, on this host.
    pub(super) async fn process(&self) -> io::Result<Pid> {
        let found = self.engine.inspect_container(&self.first, None).await;
        let state = found.map_err(io::Error::other)?.state.unwrap_or_default();
        let process = state.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        process.ok_or_else(|| io::Error::other("the pod's own container does not run"))
    }
}

type Outputs = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;
type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// Runs a command in the container to its end.
pub(super) async fn exec(
    inside: Arc<DockerInside>,
    command: Vec<String>,
    wanted: Wanted,
    served: Served,
) {
    let Served { input, output } = served;
    let exit = match run(&inside, command, wanted, input, &output).await {
        Ok(code) => Ok(code),
        Err(error) => Err(format!("error executing command in container: {error}")),
    };
    // Whoever has gone wants no answer.
    let _ = output.send(Output::Exit(exit)).await;
}

async fn run(
    inside: &DockerInside,
    command: Vec<String>,
    wanted: Wanted,
    input: mpsc::Receiver<Input>,
    output: &mpsc::Sender<Output>,
) -> Result<i32, Error> {
    let engine = &inside.engine;
    let options = CreateExecOptions {
        attach_stdin: Some(wanted.stdin),
        attach_stdout: Some(wanted.stdout),
        attach_stderr: Some(wanted.stderr),
        tty: Some(wanted.tty),
        cmd: Some(command),
        ..CreateExecOptions::default()
    };
    let id = engine.create_exec(&inside.id, options).await?.id;
    let options = StartExecOptions { tty: wanted.tty, ..StartExecOptions::default() };
    let StartExecResults::Attached { output: said, input: writer } =
        engine.start_exec(&id, Some(options)).await?
    else {
        return Ok(0);
    };
    let resize = |size: Size| {
        let id = id.clone();
        async move {
            let options = ResizeExecOptions { height: size.height, width: size.width };
            engine.resize_exec(&id, options).await
        }
    };
    let writer = wanted.stdin.then_some(writer);
    tokio::select! {
        result = copy(said, output) => {
            if output.is_closed() {
                end(inside, &id).await;
            }
            result?;
        }
        () = feed(input, writer, resize) => end(inside, &id).await,
    }
    let found = engine.inspect_exec(&id).await?;
    let code = found.exit_code.and_then(|code| i32::try_from(code).ok());
    Ok(code.unwrap_or(137))
}

/// Connects a client to the container's first program, until that ends.
pub(super) async fn attach(inside: Arc<DockerInside>, wanted: Wanted, served: Served) {
    let Served { input, output } = served;
    let (engine, id) = (&inside.engine, inside.id.as_str());
    let options = AttachContainerOptionsBuilder::default()
        .stdin(wanted.stdin)
        .stdout(wanted.stdout)
        .stderr(wanted.stderr)
        .stream(true)
        .build();
    let exit = match engine.attach_container(id, Some(options)).await {
        Ok(attached) => {
            let resize = |size: Size| async move {
                let options = ResizeContainerTTYOptionsBuilder::default()
                    .h(i32::from(size.height))
                    .w(i32::from(size.width))
                    .build();
                engine.resize_container_tty(id, options).await
            };
            let writer = wanted.stdin.then_some(attached.input);
            tokio::select! {
                result = copy(attached.output, &output) => result.map(|()| 0),
                () = feed(input, writer, resize) => return,
            }
        }
        Err(error) => Err(error),
    };
    let exit = exit.map_err(|error| format!("error attaching to container: {error}"));
    // Whoever has gone wants no answer.
    let _ = output.send(Output::Exit(exit)).await;
}

/// Hands on what is said, until there is no more or nobody listens.
async fn copy(mut said: Outputs, output: &mpsc::Sender<Output>) -> Result<(), Error> {
    while let Some(next) = said.next().await {
        let item = match next? {
            LogOutput::StdErr { message } => Output::Stderr(message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                Output::Stdout(message)
            }
            LogOutput::StdIn { .. } => continue,
        };
        if output.send(item).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Gives the client's input; returns when the client is gone.
async fn feed<R>(
    mut input: mpsc::Receiver<Input>,
    mut writer: Option<Writer>,
    resize: impl Fn(Size) -> R,
) where
    R: Future<Output = Result<(), Error>>,
{
    while let Some(item) = input.recv().await {
        match item {
            Input::Data(data) => {
                if let Some(stdin) = &mut writer
                    && (stdin.write_all(&data).await.is_err() || stdin.flush().await.is_err())
                {
                    writer = None;
                }
            }
            Input::End => {
                if let Some(mut stdin) = writer.take() {
                    // Where it has ended already nothing has to be closed.
                    let _ = stdin.shutdown().await;
                }
            }
            Input::Resize(size) => {
                if let Err(error) = resize(size).await {
                    tracing::debug!(%error, "a terminal keeps its size");
                }
            }
        }
    }
}

/// Ends a command whose client is gone; the engine itself offers no way to.
async fn end(inside: &DockerInside, id: &str) {
    let Ok(found) = inside.engine.inspect_exec(id).await else { return };
    let process = found.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let Some(process) = process.filter(|_| found.running == Some(true)) else { return };
    // The engine may be on another machine, where the number means another process.
    let group = fs::read_to_string(format!("/proc/{}/cgroup", process.as_raw_nonzero()));
    if !group.is_ok_and(|group| group.contains(&inside.id)) {
        tracing::warn!(container.id = inside.id, "a command goes on without its client");
        return;
    }
    if let Err(error) = kill_process(process, Signal::KILL) {
        tracing::debug!(%error, "a command has ended before it was told to");
    }
}
