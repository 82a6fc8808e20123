//! The roles and bindings that every cluster has from the start: `policy.txt`, read.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::managed::Writer;
use crate::server::Shared;
use crate::store::Key;
use crate::verbs::create;

const TEXT: &str = include_str!("policy.txt");

/// The text, read once.
static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(objects);

const GROUP: &str = "rbac.authorization.k8s.io";

/// Makes what is missing of them. What was changed since stays changed.
pub(crate) fn bootstrap(shared: &Shared) {
    let catalogue = shared.catalogue();
    let writer = Writer { manager: "kube-apiserver".into(), subresource: "" };
    let resource = |plural: &str| catalogue.storage(&format!("{plural}.{GROUP}"));
    let [roles, bindings, inner] = ["clusterroles", "clusterrolebindings", "roles"].map(resource);
    for object in OBJECTS.iter() {
        let resource = match object["kind"].as_str() {
            Some("ClusterRole") => &roles,
            Some("ClusterRoleBinding") => &bindings,
            _ => &inner,
        };
        let key = Key::of(object);
        if shared.store.get(&resource.storage, &key).is_some() {
            continue;
        }
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            map.remove("kind");
        }
        let made = create::add_unasked(shared, resource, &key.namespace, object, &writer);
        if let Err(failure) = made {
            tracing::warn!(name = key.name, reason = failure.message, "a role could not be made");
        }
    }
}

/// The objects of the text; roles that gather others hold their rules already.
pub(super) fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let inside = line.starts_with(' ');
        match (inside, words.next(), objects.last_mut()) {
            (true, Some(first), Some(role)) => {
                let rule = rule(first, &words.collect::<Vec<_>>());
                if let Some(Value::Array(rules)) = role.get_mut("rules") {
                    rules.push(rule);
                }
            }
            (false, Some("clusterrole"), _) => objects.push(cluster_role(words)),
            (false, Some("role"), _) => {
                let namespace = words.next();
                objects.push(json!({
                    "kind": "Role",
                    "metadata": metadata(words.next(), namespace),
                    "rules": [],
                }));
            }
            (false, Some("bind"), _) => objects.push(binding(words)),
            _ => unreachable!("the text is ours"),
        }
    }
    gather(objects)
}

fn metadata(name: Option<&str>, namespace: Option<&str>) -> Value {
    let mut metadata = json!({
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn label(role: &str) -> String {
    format!("{GROUP}/aggregate-to-{role}")
}

fn cluster_role<'a>(mut words: impl Iterator<Item = &'a str>) -> Value {
    let mut role = json!({
        "kind": "ClusterRole",
        "metadata": metadata(words.next(), None),
        "rules": [],
    });
    for word in words {
        match word.split_at(1) {
            ("+", into) => role["metadata"]["labels"][label(into)] = json!("true"),
            (_, of) => {
                let labels: Map<String, Value> = [(label(of), json!("true"))].into_iter().collect();
                role["aggregationRule"] =
                    json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
            }
        }
    }
    role
}

fn rule(first: &str, rest: &[&str]) -> Value {
    let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let verbs = |text: &str| match text {
        "read" => list("get,list,watch"),
        "write" => list("create,delete,deletecollection,patch,update"),
        "change" => list("create,patch,update"),
        text => list(text),
    };
    match (first, rest) {
        ("path", [paths, what]) => json!({"nonResourceURLs": list(paths), "verbs": verbs(what)}),
        (groups, [resources, what, names @ ..]) => {
            let groups = list(groups).into_iter();
            let groups: Vec<String> =
                groups.map(|group| if group == "core" { String::new() } else { group }).collect();
            let mut rule = json!({
                "apiGroups": groups,
                "resources": list(resources),
                "verbs": verbs(what),
            });
            if let [names] = names {
                rule["resourceNames"] = json!(list(names));
            }
            rule
        }
        _ => unreachable!("the text is ours"),
    }
}

fn binding<'a>(mut words: impl Iterator<Item = &'a str>) -> Value {
    let role = words.next();
    let subjects = words.filter_map(|word| word.split_once(':')).map(|(kind, name)| {
        match (kind, name.split_once('/')) {
            ("ServiceAccount", Some((namespace, name))) => {
                json!({"kind": kind, "name": name, "namespace": namespace})
            }
            _ => json!({"kind": kind, "name": name, "apiGroup": GROUP}),
        }
    });
    let subjects: Vec<Value> = subjects.collect();
    let mut binding = json!({
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role, None),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
    });
    if !subjects.is_empty() {
        binding["subjects"] = json!(subjects);
    }
    binding
}

/// Fills the roles that gather others, the innermost first.
fn gather(mut objects: Vec<Value>) -> Vec<Value> {
    for name in ["view", "edit", "admin"] {
        let label = label(name);
        let mut parts: Vec<&Value> =
            objects.iter().filter(|one| one["metadata"]["labels"].get(&label).is_some()).collect();
        parts.sort_by_key(|one| one["metadata"]["name"].as_str());
        let rules = super::rules::union(parts.into_iter());
        if let Some(role) = objects.iter_mut().find(|one| one["metadata"]["name"] == name) {
            role["rules"] = json!(rules);
        }
    }
    objects
}
