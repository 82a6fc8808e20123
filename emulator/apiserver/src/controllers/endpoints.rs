//! Endpoints: for each service with a selector, the addresses of its pods, in both forms.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::queue::{Item, later};
use super::work::{Owner, Work, is_finished, is_ready};
use super::{controller, edit};
use crate::failure::Failure;
use crate::object;
use crate::selectors::Labels;
use crate::store::{Change, Key, Object};
use crate::verbs::create;
use crate::verbs::delete::{Options, remove};

const SERVICES: &str = "services";
const ENDPOINTS: &str = "endpoints";
const SLICES: &str = "endpointslices.discovery.k8s.io";
/// Changes of pods that come close together make one change of the endpoints.
const GATHER: SignedDuration = SignedDuration::from_millis(50);
/// The most addresses in one slice, and in one object of the old form.
const SLICE: usize = 100;
const MOST: usize = 1000;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICE_MANAGER: &str = "endpointslice.kubernetes.io/managed-by";
const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
const MANAGER: &str = "endpoints.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Looks at every service after a start.
pub(super) fn resume(work: &mut Work) {
    for service in work.shared.store.list(SERVICES, None).1 {
        work.queue.add(Item::Service(Key::of(&service.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        SERVICES => work.queue.add(Item::Service(change.key.clone())),
        ENDPOINTS if change.deleted => work.queue.add(Item::Service(change.key.clone())),
        SLICES if change.deleted => {
            if let Some(name) = change.new.value["metadata"]["labels"][SERVICE_NAME].as_str() {
                work.queue.add(Item::Service(Key::new(&*change.key.namespace, name)));
            }
        }
        "pods" => {
            let new = Some(&change.new.value).filter(|_| !change.deleted);
            let old = change.old.as_ref().map(|old| &old.value);
            if old.map(shown) == new.map(shown) {
                return;
            }
            let services = work.shared.store.list(SERVICES, Some(&change.key.namespace)).1;
            let due = later(work.now(), GATHER);
            for service in services {
                let selects =
                    |pod: &Value| selector(&service.value).is_some_and(|s| s.matches(pod));
                if old.is_some_and(selects) || new.is_some_and(selects) {
                    work.queue.add_at(due, Item::Service(Key::of(&service.value)));
                }
            }
        }
        _ => {}
    }
}

/// What the endpoints show of a pod.
fn shown(pod: &Value) -> (bool, bool, bool, &Value, &Value) {
    (
        is_ready(pod),
        is_finished(pod),
        object::is_deleting(pod),
        &pod["status"]["podIP"],
        &pod["metadata"]["labels"],
    )
}

/// The selector of a service; none where somebody else writes the endpoints.
fn selector(service: &Value) -> Option<Labels> {
    let labels = service["spec"]["selector"].as_object().filter(|labels| !labels.is_empty())?;
    if service["spec"]["type"] == "ExternalName" {
        return None;
    }
    Labels::of(&json!({"matchLabels": labels}))
}

/// Writes the endpoints of a service.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(service) = work.shared.store.get(SERVICES, key) else {
        return clear(work, key);
    };
    let Some(selector) = selector(&service.value) else { return Ok(()) };
    if object::is_deleting(&service.value) {
        return Ok(());
    }
    let all = work.shared.store.list("pods", Some(&key.namespace)).1;
    let pods: Vec<&Arc<Object>> = all
        .iter()
        .filter(|pod| {
            let addressed = !object::text(&pod.value, &["status", "podIP"]).is_empty();
            addressed && !is_finished(&pod.value) && selector.matches(&pod.value)
        })
        .collect();
    write_endpoints(work, &service.value, &pods)?;
    write_slices(work, &service.value, &pods)
}

/// The endpoints of a service that is gone go, too.
fn clear(work: &Work, key: &Key) -> Result<(), Failure> {
    let Some(found) = work.shared.store.get(ENDPOINTS, key) else { return Ok(()) };
    if found.value["metadata"]["labels"][MANAGER].is_null() {
        return Ok(());
    }
    let resource = work.shared.catalogue().storage(ENDPOINTS);
    match remove(&work.shared, &resource, key, &Options::default()) {
        Err(failure) if failure.code != 404 => Err(failure),
        _ => Ok(()),
    }
}

/// The ports of a service on one pod: those that the pod has.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let declared = object::list(service, &["spec", "ports"]);
    declared
        .iter()
        .filter_map(|port| {
            let number = match &port["targetPort"] {
                Value::String(name) => named_port(pod, name)?,
                target => target.as_i64().filter(|one| *one > 0).or(port["port"].as_i64())?,
            };
            let mut shown = Map::new();
            if let Some(name) = port.get("name") {
                shown.insert("name".into(), name.clone());
            }
            shown.insert("port".into(), json!(number));
            shown.insert("protocol".into(), port["protocol"].clone());
            if let Some(protocol) = port.get("appProtocol") {
                shown.insert("appProtocol".into(), protocol.clone());
            }
            Some(Value::Object(shown))
        })
        .collect()
}

fn named_port(pod: &Value, name: &str) -> Option<i64> {
    object::list(pod, &["spec", "containers"])
        .iter()
        .flat_map(|container| object::list(container, &["ports"]))
        .find(|port| port["name"] == name)?["containerPort"]
        .as_i64()
}

fn reference(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "namespace": object::namespace(pod),
        "name": object::name(pod),
        "uid": object::uid(pod),
    })
}

fn is_shown_ready(service: &Value, pod: &Value) -> bool {
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    always || (is_ready(pod) && !object::is_deleting(pod))
}

fn is_headless(service: &Value) -> bool {
    service["spec"]["clusterIP"] == "None"
}

fn labels_of(service: &Value) -> Map<String, Value> {
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    if is_headless(service) {
        labels.insert(HEADLESS.into(), json!(""));
    }
    labels
}

fn write_endpoints(work: &Work, service: &Value, pods: &[&Arc<Object>]) -> Result<(), Failure> {
    // Pods with the same ports share one subset; the ports are the key, as text.
    let mut subsets: BTreeMap<String, (Vec<Value>, [Vec<Value>; 2])> = BTreeMap::new();
    for pod in pods.iter().take(MOST) {
        let pod = &pod.value;
        let ports = ports(service, pod);
        if ports.is_empty() && !is_headless(service) {
            continue;
        }
        let mut address = json!({"ip": pod["status"]["podIP"], "targetRef": reference(pod)});
        if let Some(node) = pod["spec"].get("nodeName") {
            address["nodeName"] = node.clone();
        }
        let key = json!(ports).to_string();
        let (_, sides) = subsets.entry(key).or_insert_with(|| (ports, Default::default()));
        sides[usize::from(!is_shown_ready(service, pod))].push(address);
    }
    let subsets: Vec<Value> = subsets
        .into_values()
        .map(|(ports, [ready, unready])| {
            let mut subset = Map::new();
            for (key, list) in
                [("addresses", ready), ("notReadyAddresses", unready), ("ports", ports)]
            {
                if !list.is_empty() {
                    subset.insert(key.into(), json!(list));
                }
            }
            Value::Object(subset)
        })
        .collect();
    let mut labels = labels_of(service);
    labels.insert(MANAGER.into(), json!("endpoint-controller"));
    let key = Key::of(service);
    let write = |value: &mut Value| {
        value["metadata"]["labels"] = json!(labels);
        let map = object::map_mut(value);
        if subsets.is_empty() {
            map.remove("subsets");
        } else {
            map.insert("subsets".into(), json!(subsets));
        }
    };
    if work.shared.store.get(ENDPOINTS, &key).is_some() {
        edit(&work.shared, ENDPOINTS, &key, &controller(""), write);
        return Ok(());
    }
    let mut value = json!({"metadata": {"name": key.name, "namespace": key.namespace}});
    write(&mut value);
    make(work, ENDPOINTS, value)
}

fn make(work: &Work, storage: &str, value: Value) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage(storage);
    let namespace = object::namespace(&value).to_owned();
    let made = create::add_unasked(&work.shared, &resource, &namespace, value, &controller(""));
    match made {
        Err(failure) if !super::work::is_terminating(&failure) => Err(failure),
        _ => Ok(()),
    }
}

fn write_slices(work: &Work, service: &Value, pods: &[&Arc<Object>]) -> Result<(), Failure> {
    let owner = Owner {
        api_version: "v1",
        kind: "Service",
        component: "endpoint-slice-controller",
        value: service,
    };
    let name = object::name(service);
    let namespace = object::namespace(service);
    let mut by_ports: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in pods {
        let pod = &pod.value;
        let mut ports = ports(service, pod);
        for port in ports.iter_mut().filter(|port| port["name"].is_null()) {
            port["name"] = json!("");
        }
        let going = object::is_deleting(pod);
        let mut endpoint = json!({
            "addresses": [pod["status"]["podIP"]],
            "conditions": {
                "ready": is_shown_ready(service, pod),
                "serving": is_ready(pod),
                "terminating": going,
            },
            "targetRef": reference(pod),
        });
        if let Some(node) = pod["spec"].get("nodeName") {
            endpoint["nodeName"] = node.clone();
        }
        let key = json!(ports).to_string();
        by_ports.entry(key).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
    }
    let mut wanted: Vec<(Vec<Value>, Vec<Value>)> = by_ports
        .into_values()
        .flat_map(|(ports, endpoints)| {
            let parts: Vec<Vec<Value>> = endpoints.chunks(SLICE).map(<[Value]>::to_vec).collect();
            parts.into_iter().map(move |part| (ports.clone(), part))
        })
        .collect();
    if wanted.is_empty() {
        wanted.push((Vec::new(), Vec::new()));
    }
    let mut labels = labels_of(service);
    labels.insert(SLICE_MANAGER.into(), json!(SLICE_CONTROLLER));
    labels.insert(SERVICE_NAME.into(), json!(name));
    let mut own: Vec<Arc<Object>> = work
        .shared
        .store
        .list(SLICES, Some(namespace))
        .1
        .into_iter()
        .filter(|slice| {
            let labels = &slice.value["metadata"]["labels"];
            labels[SERVICE_NAME] == name && labels[SLICE_MANAGER] == SLICE_CONTROLLER
        })
        .collect();
    for (ports, endpoints) in wanted {
        let write = |value: &mut Value| {
            value["metadata"]["labels"] = json!(labels);
            value["endpoints"] = json!(endpoints);
            value["ports"] = json!(ports);
        };
        if own.is_empty() {
            let mut value = json!({
                "metadata": {
                    "generateName": format!("{name}-"),
                    "namespace": namespace,
                    "ownerReferences": [owner.reference()],
                },
                "addressType": "IPv4",
            });
            write(&mut value);
            make(work, SLICES, value)?;
        } else {
            let slice = own.remove(0);
            edit(&work.shared, SLICES, &Key::of(&slice.value), &controller(""), write);
        }
    }
    let resource = work.shared.catalogue().storage(SLICES);
    for slice in own {
        match remove(&work.shared, &resource, &Key::of(&slice.value), &Options::default()) {
            Err(failure) if failure.code != 404 => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}
