//! The ways into running containers that a kubelet offers.

mod console;
mod docker;
mod enter;
mod inside;
mod network;
mod taps;
mod terminal;

use std::io;
use std::sync::Arc;

pub(crate) use self::console::Console;
pub(crate) use self::docker::DockerInside;
pub(crate) use self::inside::{Inside, Reader};
pub(crate) use self::network::Connection;
pub(crate) use self::taps::Taps;
use crate::streams::{self, Attachment, Input, Output, Served, Wanted};

/// A way into one container that runs.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    /// A Docker engine's container.
    Docker(Arc<DockerInside>),
    /// A bubblewrap.
    Sandbox(Arc<Inside>),
    /// Nothing runs: commands are told back, with their input.
    Simulated,
}

impl Entrance {
    /// Runs a command beside what runs; it is ended when the attachment is dropped.
    pub(crate) fn exec(&self, command: Vec<String>, wanted: Wanted) -> Attachment {
        let (attachment, served) = streams::attachment();
        match self {
            Entrance::Docker(inside) => {
                tokio::spawn(docker::exec(inside.clone(), command, wanted, served));
            }
            Entrance::Sandbox(inside) => {
                tokio::spawn(inside::exec(inside.clone(), command, wanted, served));
            }
            Entrance::Simulated => {
                let text = format!("simulated: {}\n", command.join(" "));
                tokio::spawn(simulate(text, wanted, served));
            }
        }
        attachment
    }

    /// Connects to the container's first program, which goes on when the attachment is dropped.
    pub(crate) fn attach(&self, wanted: Wanted) -> Attachment {
        let (attachment, served) = streams::attachment();
        match self {
            Entrance::Docker(inside) => {
                tokio::spawn(docker::attach(inside.clone(), wanted, served));
            }
            Entrance::Sandbox(inside) => {
                tokio::spawn(inside::attach(inside.clone(), wanted, served));
            }
            Entrance::Simulated => {
                tokio::spawn(simulate("simulated: attached\n".to_owned(), wanted, served));
            }
        }
        attachment
    }

    /// Connects to a port of the pod's own loopback.
    pub(crate) async fn connect(&self, port: u16) -> io::Result<Connection> {
        let process = match self {
            Entrance::Docker(inside) => inside.process().await?,
            Entrance::Sandbox(inside) => inside.reaper,
            Entrance::Simulated => {
                return Err(io::Error::other("the pod is simulated: nothing listens in it"));
            }
        };
        network::connect(process, port).await
    }
}

/// Says what would be done, gives the input back, and ends well when the input ends.
async fn simulate(text: String, wanted: Wanted, served: Served) {
    let Served { mut input, output } = served;
    // Whoever has gone wants no answer.
    let mut said = output.send(Output::Stdout(text.into())).await;
    while wanted.stdin && said.is_ok() {
        match input.recv().await {
            Some(Input::Data(data)) => said = output.send(Output::Stdout(data)).await,
            Some(Input::Resize(_)) => {}
            Some(Input::End) | None => break,
        }
    }
    let _ = output.send(Output::Exit(Ok(0))).await;
}
