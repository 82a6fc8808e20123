//! The role `notify`: one thing is told, once, as the pod of a notifier does.
//!
//! It takes the places of technosophos/slack-notify and of Brigade's image for check runs, too.

use std::io::Write;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use notify::{
    CLASSIC_NAMES, Field, Notification, Outbox, OutboxOptions, TellError, Told, Tone, Variables,
    check_run, names, tell, tell_as_written, text,
};
use runtime::project::NotifierKind;
use runtime::settings::{NoticeSettings, Settings};

#[cfg(test)]
mod tests;

/// What ends a program that would succeed later: `EX_TEMPFAIL` of sysexits.h.
const LATER: u8 = 75;

/// What technosophos/slack-notify ended with when Slack was not told.
const NOT_SENT: u8 = 2;

pub(crate) const EXAMPLES: &str = "Examples:
  worker notify slack --title 'New Build' --message 'acme/app:v1 available!' --tone good
  worker notify teams --message 'only to look at' --dry-run
  NOTIFICATION='{\"title\": \"Tide\", \"fields\": [{\"name\": \"Place\", \"value\": \"Kiel\"}]}' \\
    worker notify webhook

By the names slack-notify and check-run, this program takes no options, and tells what the
variables of technosophos/slack-notify (SLACK_WEBHOOK, SLACK_MESSAGE, ...) and of Brigade's
image for check runs (CHECK_PAYLOAD, CHECK_NAME, ...) say.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Who is told
    #[arg(value_parser = kind())]
    kind: NotifierKind,
    /// What is told, in plain text, instead of the variable NOTIFICATION; not for github
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Its line above
    #[arg(long, short, value_name = "TEXT")]
    title: Option<String>,
    /// How it is meant, which has a colour
    #[arg(long, value_parser = tone())]
    tone: Option<Tone>,
    /// A colour of its own, #rrggbb, or in Slack good, warning or danger
    #[arg(long, value_parser = color)]
    color: Option<String>,
    /// A named value; may be given several times
    #[arg(long = "field", short, value_name = "NAME=VALUE", value_parser = field)]
    fields: Vec<Field>,
    /// Where there is more of it
    #[arg(long)]
    url: Option<String>,
    /// Say what would be sent, and send nothing [default: the variable NOTIFY_DRY_RUN, else no]
    #[arg(long)]
    dry_run: bool,
    /// Do as technosophos/slack-notify did
    #[arg(long, hide = true)]
    pub(crate) as_slack_notify: bool,
    /// Do as Brigade's check-run did
    #[arg(long, hide = true)]
    as_check_run: bool,
}

/// What is told.
enum Wanted {
    /// This.
    Notification(Box<Notification>),
    /// What technosophos/slack-notify would tell.
    SlackNotify,
    /// What Brigade's image for check runs would.
    CheckRun,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Notified {
    /// What is printed of what was done, or would be.
    said: Vec<String>,
    /// What went wrong, and the exit code that says so.
    wrong: Option<(String, u8)>,
}

impl Arguments {
    /// The variables that say whom to tell, and what.
    pub(crate) fn environment(&self) -> NoticeSettings {
        NoticeSettings::from_environment(&self.names())
    }

    fn names(&self) -> Vec<&'static str> {
        let classic = match self.kind {
            NotifierKind::Slack => CLASSIC_NAMES,
            NotifierKind::Github => check_run::NAMES,
            _ => &[],
        };
        [&["NOTIFICATION"], names(self.kind), classic].concat()
    }

    /// What the options say, if they say anything.
    fn notification(&self) -> Option<Notification> {
        let says_nothing = self.message.is_none() && self.title.is_none() && self.fields.is_empty();
        (!says_nothing).then(|| Notification {
            id: format!("notify-{}", Timestamp::now().as_nanosecond()),
            title: self.title.clone().unwrap_or_default(),
            message: self.message.clone().unwrap_or_default(),
            tone: self.tone.unwrap_or_default(),
            color: self.color.clone(),
            fields: self.fields.clone(),
            url: self.url.clone(),
            time: Some(Timestamp::now()),
            ..Notification::default()
        })
    }
}

/// Tells it, unless it is to end before.
pub(crate) async fn run(
    arguments: &Arguments,
    environment: &NoticeSettings,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
) -> Notified {
    let mut options = OutboxOptions::of(settings);
    options.dry_run |= arguments.dry_run;
    let outbox = Outbox::new(options);
    let telling = async {
        let told = match choose(arguments, environment) {
            Ok(Wanted::Notification(notification)) => {
                let variables = variables(&arguments.names(), environment);
                tell(arguments.kind, &variables, &notification, None, &outbox).await
            }
            Ok(Wanted::SlackNotify) => {
                let variables = variables(CLASSIC_NAMES, environment);
                tell_as_written(&variables, &outbox).await
            }
            Ok(Wanted::CheckRun) => {
                let variables = variables(check_run::NAMES, environment);
                let told = check_run::tell(&variables, &outbox).await;
                return told.map_err(|error| (error.to_string(), error.code()));
            }
            Err(error) => Err(error),
        };
        told.map_err(
            |error| {
                if arguments.as_slack_notify { classic(&error) } else { wrong(&error) }
            },
        )
    };
    let told = tokio::select! {
        biased;
        () = shutdown => {
            let words = "the program was told to end";
            Err((format!("{} was not told: {words}", arguments.kind), LATER))
        }
        told = telling => told,
    };
    match told {
        Ok(Told { said, .. }) if outbox.is_dry() => {
            let withheld = outbox.withheld();
            // There may be nothing that would be sent, which is said.
            let said = if withheld.is_empty() { vec![said] } else { withheld };
            Notified { said, wrong: None }
        }
        Ok(_) if arguments.as_slack_notify => {
            // The status of Slack's only yes.
            Notified { said: vec!["200 OK".to_owned()], wrong: None }
        }
        Ok(Told { said, .. }) => Notified { said: vec![said], wrong: None },
        Err(wrong) => Notified { said: Vec::new(), wrong: Some(wrong) },
    }
}

/// Prints what came of it; the exit code says whether it was told.
pub(crate) fn say(notified: Notified, mut out: impl Write, mut err: impl Write) -> ExitCode {
    for said in notified.said {
        let _nobody_reads = writeln!(out, "{said}");
    }
    match notified.wrong {
        None => ExitCode::SUCCESS,
        Some((words, code)) => {
            let _nobody_reads = writeln!(err, "{words}");
            ExitCode::from(code)
        }
    }
}

/// What is told.
fn choose(arguments: &Arguments, environment: &NoticeSettings) -> Result<Wanted, TellError> {
    if arguments.as_slack_notify {
        return Ok(Wanted::SlackNotify);
    }
    if arguments.as_check_run {
        return Ok(Wanted::CheckRun);
    }
    let unfit = |problem: &str| TellError::Unfit {
        sink: arguments.kind.to_string(),
        problem: problem.to_owned(),
    };
    let notification = |said: Notification| match said.says_nothing() {
        true => Err(unfit(
            "it says nothing: give it a title, a message or fields, by options or as members of \
             NOTIFICATION",
        )),
        false => Ok(Wanted::Notification(Box::new(said))),
    };
    if let Some(said) = arguments.notification() {
        if arguments.kind == NotifierKind::Github {
            return Err(unfit(
                "options say nothing of a build: set NOTIFICATION to one with `build`, or \
                 CHECK_PAYLOAD",
            ));
        }
        return notification(said);
    }
    let set = |name| environment.get(name).filter(|value| !value.trim().is_empty());
    let wrong = |problem: String| TellError::Variable { name: "NOTIFICATION", problem };
    match set("NOTIFICATION") {
        // A list would do for the parser.
        Some(json) if !json.trim_start().starts_with('{') => {
            Err(wrong("is no notification in JSON: it does not begin with {".to_owned()))
        }
        Some(json) => {
            let read = serde_json::from_str(json).map_err(|error| {
                let error = text::line(&error.to_string(), 200);
                wrong(format!("is no notification in JSON: {error}"))
            })?;
            notification(read)
        }
        None if arguments.kind == NotifierKind::Slack && set("SLACK_MESSAGE").is_some() => {
            Ok(Wanted::SlackNotify)
        }
        None if arguments.kind == NotifierKind::Github && set("CHECK_PAYLOAD").is_some() => {
            Ok(Wanted::CheckRun)
        }
        None => Err(wrong("is not set: set it, or say what is told by --message".to_owned())),
    }
}

/// The variables of a notifier; of one of Slack's it counts that it is there, not what is in it.
fn variables(names: &[&str], environment: &NoticeSettings) -> Variables {
    Variables::of(names, |name| match environment.get(name)? {
        "" if name == "SLACK_MARKDOWN" => Some("true".to_owned()),
        value => Some(value.to_owned()),
    })
}

/// What is printed of an error, and the exit code that says whether it passes.
fn wrong(error: &TellError) -> (String, u8) {
    match error {
        TellError::Away { .. } => (error.to_string(), LATER),
        TellError::Partly { error, .. } => wrong(error),
        _ => (error.to_string(), 1),
    }
}

/// The words and the exit codes of technosophos/slack-notify.
fn classic(error: &TellError) -> (String, u8) {
    match error {
        TellError::Variable { name: "SLACK_WEBHOOK", .. } => ("URL is required".to_owned(), 1),
        TellError::Variable { name: "SLACK_MESSAGE", .. } => ("Message is required".to_owned(), 1),
        _ => (format!("Error sending message: {error}"), NOT_SENT),
    }
}

fn kind() -> impl TypedValueParser<Value = NotifierKind> {
    PossibleValuesParser::new(NotifierKind::ALL.map(NotifierKind::name))
        .try_map(|name| NotifierKind::parse(&name).ok_or("no such notifier"))
}

fn tone() -> impl TypedValueParser<Value = Tone> {
    PossibleValuesParser::new(["neutral", "running", "good", "warning", "bad"])
        .try_map(|name| serde_json::from_value(name.into()).map_err(|_quoting| "no such tone"))
}

fn color(text: &str) -> Result<String, &'static str> {
    let hex = text.strip_prefix('#').unwrap_or_default();
    let is_hex = matches!(hex.len(), 3 | 6) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex || ["good", "warning", "danger"].contains(&text) {
        return Ok(text.to_owned());
    }
    Err("it is none of #rrggbb, #rgb, good, warning and danger")
}

fn field(text: &str) -> Result<Field, &'static str> {
    let (name, value) = text.split_once('=').ok_or("it has no `=` between a name and a value")?;
    Ok(Field { name: name.trim().to_owned(), value: value.to_owned() })
}
