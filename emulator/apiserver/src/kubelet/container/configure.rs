//! Looks up everything that a container needs before it can be started.

use std::{fs, io};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::environment::{self, expand};
use super::super::events::Kind;
use super::super::folders;
use super::super::objects::{ConfigError, Objects, Watched, await_change};
use super::super::runtime::{ContainerRun, Mount};
use super::super::status::Change;
use super::super::volumes;
use super::{Job, Stopped};

impl Job {
    /// Looks everything up, as often as it takes.
    pub(super) async fn configure(&mut self) -> Result<ContainerRun, Stopped> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let mut watched = Watched::default();
        let mut last = None;
        loop {
            if self.is_stopped() {
                return Err(Stopped);
            }
            let error = match self.resolve().await {
                Ok(run) => return Ok(run),
                Err(error) => error,
            };
            if last.as_ref() != Some(&error) {
                self.event(Kind::Warning, "Failed", format!("Error: {error}"));
                self.report(Change::Waiting {
                    reason: "CreateContainerConfigError",
                    message: Some(error.message.clone()),
                });
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                () = await_change(&self.node.client, &namespace, &error, &mut watched) => {}
                _ = stop.wait_for(Option::is_some) => return Err(Stopped),
            }
            last = Some(error);
        }
    }

    async fn resolve(&self) -> Result<ContainerRun, ConfigError> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let references = environment::references(&self.container);
        let objects = Objects::fetch(&self.node.client, &namespace, references).await?;
        let place = self.node.place();
        let variables = environment::variables(&self.pod, &self.container, &objects, place)?;
        let mut mounts = volumes::mounts(&self.container, &self.volumes, &variables)?;
        if !folders::is_plain(&self.container.name) {
            return Err(ConfigError::lasting("the container's name is no name for a folder"));
        }
        let folder = self.folder.join("containers").join(&self.container.name);
        let failed = |error: io::Error| {
            ConfigError::lasting(format!("no folder for the container: {error}"))
        };
        folders::create(&folder, 0o700).map_err(failed)?;
        let message = folder.join("termination-log");
        fs::write(&message, "").map_err(failed)?;
        let path = self.container.termination_message_path.as_deref();
        let path = path.filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log");
        mounts.push(Mount { source: message, path: path.to_owned(), read_only: false });
        let spec = self.pod.spec.as_ref();
        let pod_context = spec.and_then(|spec| spec.security_context.as_ref());
        let context = self.container.security_context.as_ref();
        let not_root = context.and_then(|context| context.run_as_non_root);
        let not_root = not_root.or(pod_context.and_then(|context| context.run_as_non_root));
        let user = context.and_then(|context| context.run_as_user);
        let user = user.or(pod_context.and_then(|context| context.run_as_user));
        let group = context.and_then(|context| context.run_as_group);
        let group = group.or(pod_context.and_then(|context| context.run_as_group));
        let id = |id: i64| u32::try_from(id).ok();
        let user = match (user.and_then(id), not_root) {
            (Some(0), Some(true)) => {
                return Err(ConfigError::lasting(
                    "container's runAsUser breaks non-root policy (runAsUser is 0, runAsNonRoot is set)",
                ));
            }
            // No image says which user to take.
            (None, Some(true)) => Some(1000),
            (user, _) => user,
        };
        let words = |words: &Option<Vec<String>>| {
            words.iter().flatten().map(|word| expand(word, &variables)).collect()
        };
        let aliases = spec.and_then(|spec| spec.host_aliases.as_ref()).into_iter().flatten();
        Ok(ContainerRun {
            pod: self.pod.name_any(),
            image: self.container.image.clone().unwrap_or_default(),
            command: words(&self.container.command),
            arguments: words(&self.container.args),
            working_folder: self.container.working_dir.clone().filter(|folder| !folder.is_empty()),
            mounts,
            hostname: hostname(&self.pod),
            host_aliases: aliases
                .filter_map(|alias| {
                    Some((alias.ip.parse().ok()?, alias.hostnames.clone().unwrap_or_default()))
                })
                .collect(),
            user,
            group: group.and_then(id),
            read_only_root: context
                .and_then(|context| context.read_only_root_filesystem)
                .unwrap_or(false),
            folder,
            environment: variables,
        })
    }
}

fn hostname(pod: &Pod) -> String {
    let set = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name: String = set.unwrap_or_else(|| pod.name_any()).chars().take(63).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}
