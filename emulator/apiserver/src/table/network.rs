//! The cells of services and of what leads to them.

use serde_json::{Value, json};

use super::cells::{NONE, labels, name, number, or};
use crate::object;

/// So many hosts or addresses are shown; of more it is said how many.
const SHOWN: usize = 3;

pub(crate) fn service(service: &Value, age: Value) -> Vec<Value> {
    let spec = &service["spec"];
    let ports: Vec<String> = object::list(spec, &["ports"])
        .iter()
        .map(|port| {
            let protocol = object::text(port, &["protocol"]);
            match port["nodePort"].as_i64() {
                Some(node) if node > 0 => format!("{}:{node}/{protocol}", number(&port["port"])),
                _ => format!("{}/{protocol}", number(&port["port"])),
            }
        })
        .collect();
    vec![
        name(service),
        json!(object::text(spec, &["type"])),
        json!(or(object::text(spec, &["clusterIP"]), NONE)),
        json!(outside(service)),
        json!(or(&ports.join(","), NONE)),
        age,
        json!(labels(&spec["selector"])),
    ]
}

/// The addresses of a service from outside.
fn outside(service: &Value) -> String {
    let spec = &service["spec"];
    let own = texts(object::list(spec, &["externalIPs"]));
    match object::text(spec, &["type"]) {
        "ExternalName" => object::text(spec, &["externalName"]).to_owned(),
        "LoadBalancer" => {
            let given = balancer(&service["status"]["loadBalancer"]);
            let all: Vec<String> = given.into_iter().chain(own).collect();
            or(&all.join(","), "<pending>")
        }
        _ => or(&own.join(","), NONE),
    }
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The addresses that a load balancer gave, each once.
fn balancer(status: &Value) -> Vec<String> {
    let mut all: Vec<String> = object::list(status, &["ingress"])
        .iter()
        .map(|one| match object::text(one, &["ip"]) {
            "" => object::text(one, &["hostname"]).to_owned(),
            ip => ip.to_owned(),
        })
        .filter(|address| !address.is_empty())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The first few of a list, and how many more there are.
fn few(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let shown = all.join(",");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

pub(crate) fn endpoints(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in object::list(endpoints, &["subsets"]) {
        let addresses: Vec<&str> = object::list(subset, &["addresses"])
            .iter()
            .map(|address| object::text(address, &["ip"]))
            .collect();
        let ports = object::list(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(addresses.iter().map(|&address| address.to_owned()));
        }
        for port in ports {
            let port = number(&port["port"]);
            all.extend(addresses.iter().map(|address| match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            }));
        }
    }
    or(&few(all), NONE)
}

pub(crate) fn slice(slice: &Value, age: Value) -> Vec<Value> {
    let ports = object::list(slice, &["ports"])
        .iter()
        .map(|port| match (port["port"].as_i64(), port["name"].as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        })
        .collect();
    let addresses = object::list(slice, &["endpoints"])
        .iter()
        .flat_map(|endpoint| texts(object::list(endpoint, &["addresses"])))
        .collect();
    vec![
        name(slice),
        json!(object::text(slice, &["addressType"])),
        json!(or(&few(ports), "<unset>")),
        json!(or(&few(addresses), "<unset>")),
        age,
    ]
}

pub(crate) fn ingress(ingress: &Value, age: Value) -> Vec<Value> {
    let spec = &ingress["spec"];
    let hosts = object::list(spec, &["rules"])
        .iter()
        .map(|rule| object::text(rule, &["host"]).to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let encrypted = !object::list(spec, &["tls"]).is_empty();
    vec![
        name(ingress),
        json!(or(object::text(spec, &["ingressClassName"]), NONE)),
        json!(or(&few(hosts), "*")),
        json!(balancer(&ingress["status"]["loadBalancer"]).join(",")),
        json!(if encrypted { "80, 443" } else { "80" }),
        age,
    ]
}

pub(crate) fn ingress_class(class: &Value, age: Value) -> Vec<Value> {
    let parameters = &class["spec"]["parameters"];
    let parameters = parameters.as_object().map(|_| {
        let text = |key: &str| object::text(parameters, &[key]);
        match text("apiGroup") {
            "" => format!("{}/{}", text("kind"), text("name")),
            group => format!("{}.{group}/{}", text("kind"), text("name")),
        }
    });
    vec![
        name(class),
        json!(object::text(class, &["spec", "controller"])),
        json!(parameters.unwrap_or_else(|| NONE.to_owned())),
        age,
    ]
}
