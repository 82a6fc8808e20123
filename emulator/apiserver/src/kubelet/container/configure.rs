//! Looks up everything that a container needs before it can be started.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::{fs, io};

use k8s_openapi::api::core::v1::{Container, HostAlias, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::super::environment::{self, Place, expand};
use super::super::events::Kind;
use super::super::folders;
use super::super::objects::{ConfigError, Objects, Watched, await_change};
use super::super::quantity;
use super::super::runtime::{ContainerRun, Image, Mount, Resources};
use super::super::status::Change;
use super::super::volumes;
use super::Restart;
use super::{Job, Stopped};

impl Job {
    /// Looks everything up, as often as it takes.
    pub(super) async fn configure(&mut self, image: Image) -> Result<ContainerRun, Stopped> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let mut watched = Watched::default();
        let mut last = None;
        loop {
            if self.is_stopped() {
                return Err(Stopped);
            }
            let error = match self.resolve(&image).await {
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

    async fn resolve(&self, image: &Image) -> Result<ContainerRun, ConfigError> {
        let namespace = self.pod.namespace().unwrap_or_default();
        let references = environment::references(&self.container);
        let objects = Objects::fetch(&self.node.client, &namespace, references).await?;
        let place = Place { address: &self.address, ..self.node.place() };
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
        // Whichever user the container runs as.
        fs::set_permissions(&message, fs::Permissions::from_mode(0o666)).map_err(failed)?;
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
        let user = self.user(user.and_then(id), not_root == Some(true), image)?;
        let groups = pod_context.into_iter().flat_map(|context| {
            context.supplemental_groups.iter().flatten().chain(&context.fs_group)
        });
        let capabilities = context.and_then(|context| context.capabilities.clone());
        let capabilities = capabilities.unwrap_or_default();
        let words = |words: &Option<Vec<String>>| {
            words.iter().flatten().map(|word| expand(word, &variables)).collect()
        };
        let privileged = context.and_then(|context| context.privileged).unwrap_or(false);
        Ok(ContainerRun {
            id: format!("{}://{}", self.node.runtime.name(), uuid::Uuid::new_v4().simple()),
            pod: self.pod.name_any(),
            pod_uid: self.pod.uid().unwrap_or_default(),
            namespace,
            container: self.container.name.clone(),
            restart_count: self.restart_count,
            serves: self.restart == Restart::Always,
            found: image.clone(),
            image: self.container.image.clone().unwrap_or_default(),
            command: words(&self.container.command),
            arguments: words(&self.container.args),
            working_folder: self.container.working_dir.clone().filter(|folder| !folder.is_empty()),
            mounts,
            hostname: hostname(&self.pod),
            host_aliases: host_aliases(&self.pod),
            user,
            group: group.and_then(id),
            supplemental_groups: groups.copied().filter_map(id).collect(),
            privileged,
            may_gain_privileges: context
                .and_then(|context| context.allow_privilege_escalation)
                .unwrap_or(true),
            added_capabilities: capabilities.add.unwrap_or_default(),
            dropped_capabilities: capabilities.drop.unwrap_or_default(),
            resources: resources(&self.container),
            shares_processes: spec.and_then(|spec| spec.share_process_namespace).unwrap_or(false),
            terminal: self.container.tty.unwrap_or(false),
            input: self.container.stdin.unwrap_or(false),
            input_once: self.container.stdin_once.unwrap_or(false),
            read_only_root: context
                .and_then(|context| context.read_only_root_filesystem)
                .unwrap_or(false),
            folder,
            environment: variables,
        })
    }
}

impl Job {
    /// The user that a container runs as; `None` leaves it to the image.
    fn user(
        &self,
        user: Option<u32>,
        not_root: bool,
        image: &Image,
    ) -> Result<Option<u32>, ConfigError> {
        let pod = format!(
            "{}_{}({})",
            self.pod.name_any(),
            self.pod.namespace().unwrap_or_default(),
            self.pod.uid().unwrap_or_default()
        );
        let whose = format!("(pod: {pod:?}, container: {})", self.container.name);
        let image_user = image.user.split(':').next().unwrap_or_default();
        match (user, not_root) {
            (Some(0), true) => Err(ConfigError::lasting(format!(
                "container's runAsUser breaks non-root policy {whose}"
            ))),
            // Host tools say nothing of a user.
            (None, true) if !self.node.runtime.has_images() => Ok(Some(1000)),
            (None, true) if matches!(image_user, "" | "0" | "root") => Err(ConfigError::lasting(
                format!("container has runAsNonRoot and image will run as root {whose}"),
            )),
            (None, true) if image_user.parse::<u32>().is_err() => {
                Err(ConfigError::lasting(format!(
                    "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {whose}"
                )))
            }
            (user, _) => Ok(user),
        }
    }
}

fn resources(container: &Container) -> Resources {
    let resources = container.resources.clone().unwrap_or_default();
    let of = |entries: &Option<BTreeMap<String, Quantity>>, name: &str| {
        quantity::parse(&entries.as_ref()?.get(name)?.0).filter(|amount| *amount > 0.0)
    };
    Resources {
        memory: of(&resources.limits, "memory").map(|bytes| bytes as u64),
        processors: of(&resources.limits, "cpu"),
        requested_processors: of(&resources.requests, "cpu").or(of(&resources.limits, "cpu")),
    }
}

/// Names that the pod wants to find in `/etc/hosts`.
pub(in super::super) fn host_aliases(pod: &Pod) -> Vec<(IpAddr, Vec<String>)> {
    let aliases = pod.spec.as_ref().and_then(|spec| spec.host_aliases.as_ref());
    let address = |alias: &HostAlias| {
        Some((alias.ip.parse().ok()?, alias.hostnames.clone().unwrap_or_default()))
    };
    aliases.into_iter().flatten().filter_map(address).collect()
}

pub(in super::super) fn hostname(pod: &Pod) -> String {
    let set = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name: String = set.unwrap_or_else(|| pod.name_any()).chars().take(63).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}
