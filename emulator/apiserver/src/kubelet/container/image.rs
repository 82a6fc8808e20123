//! Obtains a container's image: as its pull policy says, with a pause between failures.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::{Instant, timeout};

use super::super::events::Kind;
use super::super::objects::{Objects, Reference};
use super::super::runtime::Image;
use super::super::runtime::credentials::{self, Credentials};
use super::super::runtime::image::qualified;
use super::super::status::Change;
use super::{Job, LONGEST_BACK_OFF, Stopped};

/// How long the first reason of a failure is shown before that of the pause.
const SHOWN: Duration = Duration::from_secs(1);
/// How long to wait for what only somebody else can mend.
const LONG_RETRY: Duration = Duration::from_secs(10);

impl Job {
    /// Makes sure that the image is there, as often as it takes.
    pub(super) async fn obtain_image(&mut self) -> Result<Image, Stopped> {
        let image = self.container.image.clone().unwrap_or_default();
        if !self.node.runtime.has_images() {
            self.event(Kind::Normal, "Pulled", self.node.runtime.pulled(&image));
            return Ok(Image::default());
        }
        let Some(reference) = qualified(&image) else {
            let message = format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
            );
            self.event(Kind::Warning, "InspectFailed", message.clone());
            self.wait_with("InvalidImageName", &message);
            // Only another pod can have another image.
            self.pause(Duration::MAX).await?;
            return Err(Stopped);
        };
        let (always, never) = match self.container.image_pull_policy.as_deref() {
            Some("Always") => (true, false),
            Some("Never") => (false, true),
            Some(_) => (false, false),
            None => (reference.ends_with(":latest"), false),
        };
        let mut failures = 0;
        loop {
            let present = match self.node.runtime.image(&reference).await {
                Ok(present) => present,
                Err(error) => {
                    let message = format!("Failed to inspect image \"{image}\": {error}");
                    self.event(Kind::Warning, "InspectFailed", message.clone());
                    self.wait_with("ImageInspectError", &message);
                    self.pause(LONG_RETRY).await?;
                    continue;
                }
            };
            match present {
                Some(found) if !always => {
                    self.event(Kind::Normal, "Pulled", self.node.runtime.pulled(&image));
                    return Ok(found);
                }
                None if never => {
                    let message = format!(
                        "Container image \"{image}\" is not present with pull policy of Never"
                    );
                    self.event(Kind::Warning, "ErrImageNeverPull", message.clone());
                    self.wait_with("ErrImageNeverPull", &message);
                    self.pause(LONG_RETRY).await?;
                    continue;
                }
                _ => {}
            }
            self.event(Kind::Normal, "Pulling", format!("Pulling image \"{image}\""));
            let error = match self.pull(&image, &reference).await? {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            self.event(
                Kind::Warning,
                "Failed",
                format!("Failed to pull image \"{image}\": {error}"),
            );
            self.wait_with("ErrImagePull", &error);
            let delay = self.node.back_off.saturating_mul(2_u32.saturating_pow(failures));
            let delay = delay.min(LONGEST_BACK_OFF);
            failures += 1;
            self.pause(delay.min(SHOWN)).await?;
            let message = format!("Back-off pulling image \"{image}\"");
            self.event(Kind::Normal, "BackOff", message.clone());
            self.wait_with("ImagePullBackOff", &format!("{message}: ErrImagePull: {error}"));
            self.pause(delay.saturating_sub(SHOWN)).await?;
        }
    }

    async fn pull(
        &mut self,
        image: &str,
        reference: &str,
    ) -> Result<Result<Image, String>, Stopped> {
        let begun = Instant::now();
        let credentials = self.credentials(reference).await;
        let mut stop = self.stop.clone();
        let pulled = tokio::select! {
            pulled = self.node.runtime.pull(reference, &credentials) => pulled,
            _ = stop.wait_for(Option::is_some) => return Err(Stopped),
        };
        if let Ok(found) = &pulled {
            let took = go_duration(begun.elapsed());
            let message = format!(
                "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {} bytes.",
                found.bytes
            );
            self.event(Kind::Normal, "Pulled", message);
        }
        Ok(pulled)
    }

    /// What the pod's Secrets have for the image's registry.
    async fn credentials(&self, reference: &str) -> Vec<Credentials> {
        let spec = self.pod.spec.as_ref();
        let names = spec.and_then(|spec| spec.image_pull_secrets.as_ref()).into_iter().flatten();
        let names: Vec<_> = names.map(|secret| secret.name.clone()).collect();
        let mut found = Vec::new();
        let mut missing = Vec::new();
        let namespace = self.pod.namespace().unwrap_or_default();
        for name in names {
            let wanted = Reference::Secret(name.clone());
            let objects = Objects::fetch(&self.node.client, &namespace, [wanted.clone()]).await;
            match objects.as_ref().map(|objects| objects.data(&wanted, false)) {
                Ok(Ok(Some(data))) => found.extend(credentials::matching(data, reference)),
                _ => missing.push(name),
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.event(Kind::Warning, "FailedToRetrieveImagePullSecret", message);
        }
        let unique: BTreeMap<_, _> = found
            .into_iter()
            .map(|one: Credentials| ((one.registry.clone(), one.user.clone()), one))
            .collect();
        unique.into_values().rev().collect()
    }

    /// Shows why the container waits; a real kubelet has an event for it, too.
    fn wait_with(&self, reason: &'static str, message: &str) {
        self.event(Kind::Warning, "Failed", format!("Error: {reason}"));
        self.report(Change::Waiting { reason, message: Some(message.to_owned()) });
    }

    async fn pause(&mut self, pause: Duration) -> Result<(), Stopped> {
        match timeout(pause, self.stop.wait_for(Option::is_some)).await {
            Err(_) => Ok(()),
            Ok(_) => Err(Stopped),
        }
    }
}

/// A duration as Go prints it, to the millisecond.
pub(super) fn go_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    while seconds.ends_with(['0', '.']) && seconds.contains('.') {
        seconds.pop();
    }
    match minutes {
        _ if milliseconds == 0 => "0s".to_owned(),
        _ if milliseconds < 1000 => format!("{milliseconds}ms"),
        0 => format!("{seconds}s"),
        minutes if minutes >= 60 => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
        minutes => format!("{minutes}m{seconds}s"),
    }
}

#[test]
fn durations_are_as_go_prints_them() {
    for (milliseconds, expected) in [
        (0, "0s"),
        (313, "313ms"),
        (1000, "1s"),
        (1594, "1.594s"),
        (20_000, "20s"),
        (62_500, "1m2.5s"),
        (300_000, "5m0s"),
        (3_600_000, "1h0m0s"),
    ] {
        assert_eq!(go_duration(Duration::from_millis(milliseconds)), expected);
    }
}
