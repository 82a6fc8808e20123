//! Containers: defaults and checks.

use serde_json::{Map, Value, json};

use super::default;
use super::podspec::{field_defaults, one_of};
use crate::failure::FieldError;
use crate::names::{Rule, check_name};
use crate::object;
use crate::schema::quantity::Quantity;

pub(crate) fn defaults(container: &mut Map<String, Value>, host_network: bool) {
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
    default(container, "imagePullPolicy", json!(policy));
    for port in list(container, "ports") {
        let port = object::map_mut(port);
        default(port, "protocol", json!("TCP"));
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default(port, "hostPort", number);
        }
    }
    for variable in list(container, "env") {
        if let Some(from) = variable.get_mut("valueFrom") {
            field_defaults(from);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            for (key, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                default(probe, key, json!(value));
            }
            http_defaults(probe);
        }
    }
    if let Some(Value::Object(lifecycle)) = container.get_mut("lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(Value::Object(hook)) = lifecycle.get_mut(hook) {
                http_defaults(hook);
            }
        }
    }
    resource_defaults(container);
}

fn list<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Value> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Whether the tag of an image is `latest`, or missing.
fn is_latest(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains('@') {
        return false;
    }
    match name.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

fn http_defaults(handler: &mut Map<String, Value>) {
    if let Some(Value::Object(http)) = handler.get_mut("httpGet") {
        default(http, "path", json!("/"));
        default(http, "scheme", json!("HTTP"));
    }
}

/// A limit without a request is also the request.
fn resource_defaults(container: &mut Map<String, Value>) {
    let Some(Value::Object(resources)) = container.get_mut("resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = object::child_mut(resources, "requests");
    for (name, limit) in limits {
        default(requests, &name, limit);
    }
}

/// The faults of a container. `names` are those of the containers before.
pub(crate) fn check<'a>(
    container: &'a Value,
    field: &str,
    names: &mut Vec<&'a str>,
    volumes: &[&str],
    errors: &mut Vec<FieldError>,
) {
    let name = object::text(container, &["name"]);
    let at = format!("{field}.name");
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if names.contains(&name) {
        errors.push(FieldError::duplicate(at, &json!(name)));
    } else {
        check_name(Rule::Label, &at, name, errors);
        names.push(name);
    }
    let image = object::text(container, &["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(format!("{field}.image"), ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(
            format!("{field}.image"),
            &json!(image),
            "must not have leading or trailing whitespace",
        ));
    }
    check_ports(container, field, errors);
    check_environment(container, field, errors);
    check_mounts(container, field, volumes, errors);
    check_probes(container, field, errors);
    one_of(
        &format!("{field}.imagePullPolicy"),
        object::text(container, &["imagePullPolicy"]),
        &["Always", "IfNotPresent", "Never"],
        errors,
    );
    check_resources(&container["resources"], &format!("{field}.resources"), errors);
    check_security(&container["securityContext"], &format!("{field}.securityContext"), errors);
}

fn check_ports(container: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (index, port) in object::list(container, &["ports"]).iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        let name = object::text(port, &["name"]);
        if name.len() > 15 {
            errors.push(FieldError::invalid(
                format!("{field}.name"),
                &json!(name),
                "must be no more than 15 characters",
            ));
        }
        for (key, required) in [("containerPort", true), ("hostPort", false)] {
            let number = port[key].as_i64().unwrap_or_default();
            if number == 0 && required {
                errors.push(FieldError::required(format!("{field}.{key}"), ""));
            } else if number != 0 && !(1..=65535).contains(&number) {
                errors.push(FieldError::invalid(
                    format!("{field}.{key}"),
                    &json!(number),
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
        one_of(
            &format!("{field}.protocol"),
            object::text(port, &["protocol"]),
            &["SCTP", "TCP", "UDP"],
            errors,
        );
    }
}

const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn check_environment(container: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (index, variable) in object::list(container, &["env"]).iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        let name = object::text(variable, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        } else if !name.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=') {
            errors.push(FieldError::invalid(
                format!("{field}.name"),
                &json!(name),
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ));
        }
        let Some(from) = variable.get("valueFrom") else { continue };
        let field = format!("{field}.valueFrom");
        if !object::text(variable, &["value"]).is_empty() {
            errors.push(FieldError::invalid(
                field,
                &json!(""),
                "may not be specified when `value` is not empty",
            ));
            continue;
        }
        check_source(from, &field, errors);
    }
    for (index, from) in object::list(container, &["envFrom"]).iter().enumerate() {
        let field = format!("{field}.envFrom[{index}]");
        for source in ["configMapRef", "secretRef"] {
            if from.get(source).is_some() && object::text(from, &[source, "name"]).is_empty() {
                errors.push(FieldError::required(format!("{field}.{source}.name"), ""));
            }
        }
    }
}

fn check_source(from: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let found = sources.iter().filter(|source| from.get(**source).is_some()).count();
    if found == 0 {
        errors.push(FieldError::invalid(
            field,
            &json!(""),
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ));
    } else if found > 1 {
        errors.push(FieldError::invalid(
            field,
            &json!(""),
            "may not have more than one field specified at a time",
        ));
    }
    if let Some(reference) = from.get("fieldRef") {
        let path = object::text(reference, &["fieldPath"]);
        let known = FIELDS.contains(&path)
            || path.starts_with("metadata.annotations[")
            || path.starts_with("metadata.labels[");
        if path.is_empty() {
            errors.push(FieldError::required(format!("{field}.fieldRef.fieldPath"), ""));
        } else if !known {
            errors.push(FieldError::invalid(
                format!("{field}.fieldRef.fieldPath"),
                &json!(path),
                &format!("error converting fieldPath: field label not supported: {path}"),
            ));
        }
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = from.get(source) {
            for key in ["name", "key"] {
                if object::text(reference, &[key]).is_empty() {
                    errors.push(FieldError::required(format!("{field}.{source}.{key}"), ""));
                }
            }
        }
    }
}

fn check_mounts(container: &Value, field: &str, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let mut paths: Vec<&str> = Vec::new();
    for (index, mount) in object::list(container, &["volumeMounts"]).iter().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        let name = object::text(mount, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        }
        if !volumes.contains(&name) {
            errors.push(FieldError::unknown(format!("{field}.name"), &json!(name)));
        }
        let path = object::text(mount, &["mountPath"]);
        if path.is_empty() {
            errors.push(FieldError::required(format!("{field}.mountPath"), ""));
        }
        if paths.contains(&path) {
            errors.push(FieldError::invalid(
                format!("{field}.mountPath"),
                &json!(path),
                "must be unique",
            ));
        }
        paths.push(path);
        let below = object::text(mount, &["subPath"]);
        if below.starts_with('/') {
            errors.push(FieldError::invalid(
                format!("{field}.subPath"),
                &json!(below),
                "must be a relative path",
            ));
        } else if below.split('/').any(|step| step == "..") {
            errors.push(FieldError::invalid(
                format!("{field}.subPath"),
                &json!(below),
                "must not contain '..'",
            ));
        }
    }
}

fn check_probes(container: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(value) = container.get(probe) else { continue };
        let handled =
            ["exec", "httpGet", "tcpSocket", "grpc"].iter().any(|one| value.get(*one).is_some());
        if !handled {
            errors.push(FieldError::required(
                format!("{field}.{probe}"),
                "must specify a handler type",
            ));
        }
    }
}

fn check_resources(resources: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let quantity = |value: &Value| value.as_str().and_then(Quantity::parse);
    for kind in ["limits", "requests"] {
        for (name, value) in resources[kind].as_object().into_iter().flatten() {
            if quantity(value).is_some_and(|one| one.is_negative()) {
                errors.push(FieldError::invalid(
                    format!("{field}.{kind}[{name}]"),
                    value,
                    "must be greater than or equal to 0",
                ));
            }
        }
    }
    for (name, value) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if let (Some(request), Some(most)) = (quantity(value), quantity(limit))
            && request > most
        {
            errors.push(FieldError::invalid(
                format!("{field}.requests"),
                value,
                &format!(
                    "must be less than or equal to {name} limit of {}",
                    limit.as_str().unwrap_or_default()
                ),
            ));
        }
    }
}

fn check_security(context: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for key in ["runAsUser", "runAsGroup"] {
        if let Some(number) = context[key].as_i64()
            && !(0..=i64::from(i32::MAX)).contains(&number)
        {
            errors.push(FieldError::invalid(
                format!("{field}.{key}"),
                &json!(number),
                "must be between 0 and 2147483647, inclusive",
            ));
        }
    }
    if context["allowPrivilegeEscalation"] == false && context["privileged"] == true {
        let shown = internal(context);
        errors.push(FieldError {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message: format!(
                "Invalid value: {shown}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            ),
        });
    }
}

/// A security context as the real server prints it: every field, under its name in Go.
fn internal(context: &Value) -> String {
    const NAMES: &[(&str, &str)] = &[
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let fields: Vec<String> =
        NAMES.iter().map(|(name, key)| format!("{name:?}:{}", context[*key])).collect();
    format!("{{{}}}", fields.join(","))
}
