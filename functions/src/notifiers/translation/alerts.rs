//! What Prometheus' Alertmanager tells, and Grafana, which tells the same: a group of alerts, of which
//! some fire and some are over.
//!
//! Alertmanager sends a group again whenever `repeat_interval` has passed, with the same body, and
//! means that; and it sends a group again that was not answered, with the same body, too, within the
//! `group_interval`. Nothing but the time tells the one from the other.
//!
//! <https://prometheus.io/docs/alerting/latest/notifications/#data>,
//! <https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/>

use notify::{Notification, Tone};
use serde_json::Value;

use super::{Key, Said, field, scalar, text};
use crate::body::digest;
use crate::lenient::moment;
use crate::notifiers::fit;

/// How many alerts a message tells of one by one, and how many of their labels.
const NAMED: usize = 10;

/// What a group of alerts tells, if it is one; or why nobody is to be told.
pub(super) fn read(value: &Value) -> Option<Result<Said, String>> {
    let alerts = value["alerts"].as_array()?;
    let is_alert = |alert: &Value| alert["labels"].is_object();
    if !alerts.iter().all(is_alert) || (alerts.is_empty() && !value["groupLabels"].is_object()) {
        return None;
    }
    if alerts.is_empty() {
        return Some(Err("there are no alerts in the group".to_owned()));
    }
    let over: Vec<&Value> = alerts.iter().filter(|alert| alert["status"] == "resolved").collect();
    let firing: Vec<&Value> = alerts.iter().filter(|alert| alert["status"] != "resolved").collect();
    let beyond = value["truncatedAlerts"].as_u64().unwrap_or_default();
    let lines = firing.iter().map(|alert| line(alert, "firing"));
    let lines = lines.chain(over.iter().map(|alert| line(alert, "resolved")));
    let mut lines: Vec<String> = lines.take(NAMED).collect();
    let beyond = beyond.saturating_add(alerts.len().saturating_sub(NAMED) as u64);
    if beyond > 0 {
        lines.push(format!("and {beyond} more"));
    }
    let common = value["commonLabels"].as_object().into_iter().flatten();
    let fields = common.filter(|(name, _)| *name != "alertname").take(NAMED);
    let time = |place: &str, of: &[&Value]| {
        of.iter().filter_map(|alert| moment(alert[place].clone()).ok().flatten()).max()
    };
    Some(Ok(Said {
        notification: Notification {
            title: title(value, alerts, firing.len()),
            message: lines.join("\n"),
            tone: tone(&firing),
            fields: fields.filter_map(|(name, value)| Some(field(name, &scalar(value)?))).collect(),
            url: value["externalURL"].as_str().and_then(fit::link),
            time: time("startsAt", &firing).max(time("endsAt", &over)),
            ..Notification::default()
        },
        key: Key::Recent(format!("alerts {}", digest(value.to_string().as_bytes()))),
        ..Said::default()
    }))
}

/// `[FIRING:2] DiskFull`, as Alertmanager's own notifications have it.
fn title(value: &Value, alerts: &[Value], firing: usize) -> String {
    let name = |labels: &Value| text(&labels["alertname"]).map(|name| name.into_owned());
    let common = name(&value["commonLabels"]).or_else(|| name(&value["groupLabels"]));
    let name = common.or_else(|| match alerts {
        [alert] => name(&alert["labels"]),
        _ => None,
    });
    let status = match firing {
        0 => "RESOLVED".to_owned(),
        firing => format!("FIRING:{firing}"),
    };
    format!("[{status}] {}", name.unwrap_or_else(|| "Alerts".to_owned()))
}

/// The worst of those that fire.
fn tone(firing: &[&Value]) -> Tone {
    let severity = |alert: &&Value| {
        let severity = text(&alert["labels"]["severity"]).unwrap_or_default();
        match severity.to_ascii_lowercase().as_str() {
            "warning" | "warn" | "minor" => 1,
            "info" | "information" | "none" | "low" => 0,
            _ => 2,
        }
    };
    match firing.iter().map(severity).max() {
        None => Tone::Good,
        Some(0) => Tone::Neutral,
        Some(1) => Tone::Warning,
        Some(_) => Tone::Bad,
    }
}

/// What one alert says, or else what it is about.
fn line(alert: &Value, status: &str) -> String {
    let said = ["summary", "description", "message"]
        .into_iter()
        .find_map(|name| text(&alert["annotations"][name]));
    let said = said.map(|said| said.into_owned()).unwrap_or_else(|| {
        let labels = alert["labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some(format!("{name}={}", scalar(value)?)));
        labels.take(NAMED).collect::<Vec<_>>().join(" ")
    });
    let mut line = format!("{status}: {said}");
    fit::cut(&mut line, 1000);
    line
}
