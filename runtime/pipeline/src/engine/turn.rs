//! What goes into a turn of a script, and what comes out of it.

use jiff::Timestamp;
use runtime::job::Job;

/// What the script asks the outside for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Make this job's objects; its outcome settles the promise of this id.
    Run { id: usize, job: Box<Job> },
    /// The job of this id cannot be run.
    Refuse { id: usize, name: String, pod: String, message: String },
    /// Somebody looks at the promise of this id.
    Awaited { id: usize },
    /// Read the log of the job of this id.
    Logs { id: usize, token: u64 },
    /// Ring after this many milliseconds; 0 is as soon as everything else has run.
    Timer { id: u64, delay: u64 },
    /// Never mind.
    Clear { id: u64 },
    /// Whether the build waits for the timer.
    Hold { id: u64, held: bool },
}

/// What is delivered to the script.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The script itself.
    Load { name: String, text: String },
    /// An event of this name.
    Fire(String),
    /// The end of a job.
    Settle { id: usize, result: Result<Returned, Failure> },
    /// A log that was asked for.
    Logs { token: u64, result: Result<String, String> },
    /// The ringing of a timer.
    Timer(u64),
    /// The end of everything that the events started.
    After,
    /// The build is ended from outside, and why.
    Cancel(String),
}

/// What a job that did its work gives to the script.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Returned {
    /// Its log.
    #[serde(skip)]
    pub(crate) text: String,
    pub(crate) pod_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<Timestamp>,
}

/// Why a job failed, as its promise says.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    #[serde(skip)]
    pub(crate) message: String,
    pub(crate) job: String,
    pub(crate) pod_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<Timestamp>,
}

/// What a turn came to.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) commands: Vec<Command>,
    /// Whether somebody listened to the event that was fired.
    pub(crate) heard: bool,
    /// What the script threw while it was loaded.
    pub(crate) thrown: Option<String>,
    /// Why the script may not run any more.
    pub(crate) stop: Option<Stop>,
    /// What it asked for that is not here.
    pub(crate) wants: Option<Want>,
    pub(crate) state: ScriptState,
}

/// What a script needs and not every process has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Want {
    /// A file of the repository.
    Repository,
    /// A package that may be one of those that the build depends on.
    Package,
    /// A compiler of TypeScript.
    #[cfg_attr(feature = "typescript", expect(dead_code, reason = "it is here"))]
    Compiler,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// The script called `process.exit`.
    Exit(i32),
    /// It has run for as long as it may.
    Time,
    /// The engine cannot go on.
    Broken(String),
}

/// How a script stands after a turn.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScriptState {
    /// The events that it registered handlers for, in the order of registration.
    pub(crate) handlers: Vec<String>,
    /// The name that it called `events.process` for: `source:type`, of Brigade 2's API.
    pub(crate) processed: Option<String>,
    /// The text that its handler of Brigade 2's API came to, in the turn in which it did.
    pub(crate) summary: Option<String>,
    /// Whether something went wrong that nobody caught.
    pub(crate) failed: bool,
    /// What that was.
    pub(crate) failure: Option<Uncaught>,
    /// Whether it is still being loaded: a module that awaits something at its top.
    pub(crate) loading: bool,
    /// What a module has thrown at its top after it awaited something there.
    pub(crate) thrown: Option<String>,
    /// Whether it listens to what goes wrong in its process.
    pub(crate) watches: bool,
    /// What it set `process.exitCode` to.
    pub(crate) exit_code: Option<i32>,
}

/// What a script did not catch.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Uncaught {
    pub(crate) text: String,
    /// The job whose failure it is.
    pub(crate) job: Option<String>,
}
