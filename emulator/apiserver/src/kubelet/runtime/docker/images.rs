//! Images of the engine: looked up, and pulled.

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;

use super::super::Image;
use super::super::credentials::Credentials;
use super::{Docker, LONGEST_PULL, said};

impl Docker {
    /// The image of a reference, if the engine has it.
    pub(crate) async fn image(&self, reference: &str) -> Result<Option<Image>, String> {
        match self.engine.inspect_image(reference).await {
            Ok(found) => Ok(Some(described(found))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(said(&error)),
        }
    }

    /// Pulls an image; without credentials if there are none.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        credentials: &[Credentials],
    ) -> Result<Image, String> {
        let _pull = self.pulls.acquire().await.map_err(|error| error.to_string())?;
        let mut attempts: Vec<_> = credentials.iter().map(Some).collect();
        if attempts.is_empty() {
            attempts.push(None);
        }
        let mut failures: Vec<String> = Vec::new();
        for attempt in attempts {
            match self.pull_with(reference, attempt).await {
                Ok(()) => {
                    let image = self.image(reference).await?;
                    return image.ok_or_else(|| format!("no such image: {reference}"));
                }
                Err(error) => failures.push(without_secrets(said(&error), credentials)),
            }
        }
        failures.dedup();
        Err(failures.join(", "))
    }

    async fn pull_with(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
    ) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let credentials = credentials.map(|credentials| DockerCredentials {
            username: Some(credentials.user.clone()),
            password: Some(credentials.password.clone()),
            serveraddress: Some(credentials.registry.clone()),
            ..DockerCredentials::default()
        });
        let engine = self.engine.clone().with_timeout(LONGEST_PULL);
        let mut progress = Box::pin(engine.create_image(Some(options), None, credentials));
        while let Some(step) = progress.try_next().await? {
            if let Some(message) = step.error_detail.and_then(|detail| detail.message) {
                return Err(Error::DockerStreamError { error: message });
            }
        }
        Ok(())
    }
}

fn described(found: ImageInspect) -> Image {
    let config = found.config.unwrap_or_default();
    let digest = found.repo_digests.into_iter().flatten().next();
    Image {
        id: match (digest, found.id) {
            (Some(digest), _) => format!("docker-pullable://{digest}"),
            (None, Some(id)) => format!("docker://{id}"),
            (None, None) => String::new(),
        },
        bytes: found.size.unwrap_or(0),
        user: config.user.unwrap_or_default(),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
    }
}

/// What an engine says of a failed pull goes into an Event that many may read.
fn without_secrets(mut text: String, credentials: &[Credentials]) -> String {
    for Credentials { user, password, .. } in credentials {
        for secret in [format!("{user}:{password}"), password.clone()] {
            if !secret.is_empty() {
                text = text.replace(&secret, "<hidden>");
            }
        }
    }
    text
}
