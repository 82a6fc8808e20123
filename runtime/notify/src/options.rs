//! What the settings of an installation mean for messages.

use reqwest::Url;
use runtime::github::App;
use runtime::settings::Settings;

use crate::{Outbox, OutboxOptions, ReportOptions};

impl OutboxOptions {
    /// Those of an installation.
    pub fn of(settings: &Settings) -> OutboxOptions {
        let notify = &settings.notify;
        OutboxOptions {
            budget: notify.budget,
            allowed_hosts: notify.allowed_hosts.clone(),
            // It was looked at when it was read.
            relay: notify.relay.as_deref().and_then(|text| Url::parse(text).ok()),
            smtp_relay: notify.smtp_relay.clone(),
            dry_run: notify.dry_run,
            app: settings.app_id.map(|id| App {
                id,
                key: settings.app_key.clone(),
                hosts: settings.github_hosts.clone(),
            }),
            app_problem: settings.app_problem.clone(),
            ..OutboxOptions::default()
        }
    }
}

impl Outbox {
    /// That of an installation.
    pub fn of(settings: &Settings) -> Outbox {
        Outbox::new(OutboxOptions::of(settings))
    }
}

impl ReportOptions {
    /// Those of an installation.
    pub fn of(settings: &Settings) -> ReportOptions {
        let notify = &settings.notify;
        let (budget, build_url) = (notify.budget, notify.build_url.clone());
        ReportOptions { budget, build_url, ..ReportOptions::default() }
    }
}
