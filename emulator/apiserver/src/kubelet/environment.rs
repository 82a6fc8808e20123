//! The environment of a container: `env`, `envFrom`, fields of the pod, and `$(NAME)`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector,
};
use kube::ResourceExt;

use super::objects::{ConfigError, Objects, Reference};
use super::quantity;

/// What of a pod is known to its node only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) address: &'a str,
}

/// The objects that a container's environment refers to.
pub(super) fn references(container: &Container) -> Vec<Reference> {
    let mut references = Vec::new();
    for source in container.env_from.iter().flatten() {
        if let Some(map) = &source.config_map_ref {
            references.push(Reference::ConfigMap(map.name.clone()));
        }
        if let Some(secret) = &source.secret_ref {
            references.push(Reference::Secret(secret.name.clone()));
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref())
    {
        if let Some(key) = &source.config_map_key_ref {
            references.push(Reference::ConfigMap(key.name.clone()));
        }
        if let Some(key) = &source.secret_key_ref {
            references.push(Reference::Secret(key.name.clone()));
        }
    }
    references
}

/// The variables of a container.
pub(super) fn variables(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    place: Place<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut variables = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let (reference, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => (Reference::ConfigMap(map.name.clone()), map.optional),
            (None, Some(secret)) => (Reference::Secret(secret.name.clone()), secret.optional),
            (None, None) => continue,
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in
            objects.data(&reference, optional.unwrap_or(false))?.into_iter().flatten()
        {
            variables.insert(format!("{prefix}{key}"), text(value));
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(source) => match from_source(pod, container, source, objects, place)? {
                Some(value) => value,
                None => continue,
            },
            None => expand(variable.value.as_deref().unwrap_or_default(), &variables),
        };
        variables.insert(variable.name.clone(), value);
    }
    // No process can have such a name.
    variables.retain(|name, _| !name.is_empty() && !name.contains(['=', '\0']));
    Ok(variables)
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    objects: &Objects,
    place: Place<'_>,
) -> Result<Option<String>, ConfigError> {
    if let Some(selector) = &source.config_map_key_ref {
        let reference = Reference::ConfigMap(selector.name.clone());
        let value = objects.value(&reference, &selector.key, selector.optional.unwrap_or(false))?;
        return Ok(value.map(text));
    }
    if let Some(selector) = &source.secret_key_ref {
        let reference = Reference::Secret(selector.name.clone());
        let value = objects.value(&reference, &selector.key, selector.optional.unwrap_or(false))?;
        return Ok(value.map(text));
    }
    if let Some(selector) = &source.field_ref {
        return field(pod, selector, place).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return resource(pod, container, selector).map(Some);
    }
    Err(ConfigError::lasting("a variable has a source that this node does not know"))
}

fn text(value: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(value.as_ref()).into_owned()
}

/// The value of a pod's field.
pub(super) fn field(
    pod: &Pod,
    selector: &ObjectFieldSelector,
    place: Place<'_>,
) -> Result<String, ConfigError> {
    let spec = pod.spec.as_ref();
    let subscript = |name: &str| {
        let key = selector.field_path.strip_prefix(name)?.strip_prefix("['")?;
        key.strip_suffix("']").map(str::to_owned)
    };
    if let Some(key) = subscript("metadata.labels") {
        return Ok(pod.labels().get(&key).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Ok(pod.annotations().get(&key).cloned().unwrap_or_default());
    }
    Ok(match selector.field_path.as_str() {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "metadata.labels" => listed(pod.labels()),
        "metadata.annotations" => listed(pod.annotations()),
        "spec.nodeName" => place.node.to_owned(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => {
            place.address.to_owned()
        }
        other => return Err(ConfigError::lasting(format!("unsupported fieldPath: {other}"))),
    })
}

/// Labels or annotations as a downward API file shows them.
fn listed(entries: &BTreeMap<String, String>) -> String {
    let lines: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a container's resource; this node's capacity where there is no limit.
pub(super) fn resource(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String, ConfigError> {
    let unknown =
        || ConfigError::lasting(format!("unsupported container resource: {}", selector.resource));
    let name = selector.container_name.as_deref().unwrap_or(&container.name);
    let containers = pod.spec.as_ref().map(|spec| spec.containers.iter()).into_iter().flatten();
    let container = containers.chain([container]).find(|container| container.name == name);
    let resources = container.and_then(|container| container.resources.as_ref());
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let of = |kind: &str| match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        _ => resources.and_then(|resources| resources.requests.as_ref()),
    };
    let found = of(kind).and_then(|entries| entries.get(name)).map(|quantity| quantity.0.as_str());
    let value = match (found, kind, name) {
        (Some(quantity), _, _) => quantity::parse(quantity).ok_or_else(unknown)?,
        (None, "limits", "cpu") => quantity::processors() as f64,
        (None, "limits", "memory") => quantity::memory() as f64,
        (None, "limits" | "requests", _) => 0.0,
        _ => return Err(unknown()),
    };
    let divisor = selector.divisor.as_ref().and_then(|divisor| quantity::parse(&divisor.0));
    let divisor = divisor.filter(|divisor| *divisor > 0.0).unwrap_or(1.0);
    Ok(format!("{:.0}", (value / divisor).ceil()))
}

/// Replaces `$(NAME)` where the name is known; `$$(NAME)` is a literal `$(NAME)`.
pub(super) fn expand(input: &str, variables: &BTreeMap<String, String>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('(')
            && let Some((name, after)) = after.split_once(')')
        {
            match variables.get(name) {
                Some(value) => output.push_str(value),
                None => output.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            output.push('$');
        }
    }
    output.push_str(rest);
    output
}
