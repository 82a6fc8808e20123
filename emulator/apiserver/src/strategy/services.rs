//! Services: what is filled in, which addresses they get, and what may not change.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::default;
use crate::failure::{Failure, FieldError};
use crate::object;
use crate::resources::Resource;
use crate::server::Shared;

/// The addresses of services: 10.96.0.0/12, without the first and the last.
const FIRST: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const COUNT: u32 = 1 << 20;
const RANGE: &str = "10.96.0.0/12";
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

pub(crate) fn defaults(service: &mut Value) {
    let spec = object::child_mut(object::map_mut(service), "spec");
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "type", json!("ClusterIP"));
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports {
            let port = object::map_mut(port);
            default(port, "protocol", json!("TCP"));
            let number = port.get("port").cloned().unwrap_or_default();
            default(port, "targetPort", number);
        }
    }
}

fn kind(service: &Value) -> &str {
    object::text(service, &["spec", "type"])
}

fn has_address(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

/// Takes over the addresses that a client leaves out of an update.
pub(crate) fn keep(old: &Value, new: &mut Value) {
    if !has_address(old) || !has_address(new) {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let missing = new["spec"][field].is_null() || new["spec"][field] == "";
        if missing && !old["spec"][field].is_null() {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
    let ports: Vec<(Value, Value)> = object::list(old, &["spec", "ports"])
        .iter()
        .map(|port| (key(port), port["nodePort"].clone()))
        .collect();
    if matches!(kind(new), "NodePort" | "LoadBalancer") {
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let known = ports.iter().find(|(one, number)| *one == key(port) && number.is_number());
            if let Some((_, number)) = known.filter(|_| port["nodePort"].is_null()) {
                port["nodePort"] = number.clone();
            }
        }
    }
}

fn key(port: &Value) -> Value {
    json!([port["protocol"], port["port"]])
}

/// Gives a new service its addresses.
pub(crate) fn admit(
    shared: &Shared,
    resource: &Resource,
    service: &mut Value,
) -> Result<(), Failure> {
    if !has_address(service) {
        return Ok(());
    }
    let others = shared.store.list("services", None).1;
    let wanted = object::text(service, &["spec", "clusterIP"]).to_owned();
    let wanted = match object::list(service, &["spec", "clusterIPs"]).first() {
        Some(Value::String(first)) if wanted.is_empty() => first.clone(),
        _ => wanted,
    };
    let taken: HashSet<&str> =
        others.iter().map(|one| object::text(&one.value, &["spec", "clusterIP"])).collect();
    let address = if wanted.is_empty() {
        free(&format!("{}/{}", object::namespace(service), object::name(service)), &taken)
    } else {
        if wanted != "None" {
            check_address(resource, service, &wanted, &taken)?;
        }
        wanted
    };
    let spec = object::child_mut(object::map_mut(service), "spec");
    spec.insert("clusterIP".into(), json!(address));
    spec.insert("clusterIPs".into(), json!([address]));
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    let node_ports = match spec["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    };
    if node_ports {
        let mut taken: HashSet<i64> = others
            .iter()
            .flat_map(|one| object::list(&one.value, &["spec", "ports"]))
            .filter_map(|port| port["nodePort"].as_i64())
            .collect();
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if port["nodePort"].as_i64().is_some_and(|number| number > 0) {
                continue;
            }
            if let Some(number) = NODE_PORTS.into_iter().find(|number| taken.insert(*number)) {
                port["nodePort"] = json!(number);
            }
        }
    }
    Ok(())
}

/// An address that no service has; where the search starts follows from the name.
fn free(name: &str, taken: &HashSet<&str>) -> String {
    let start = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    (0..COUNT)
        .map(|step| 1 + start.wrapping_add(step) % (COUNT - 2))
        .map(|offset| Ipv4Addr::from(FIRST + offset).to_string())
        .find(|address| !taken.contains(address.as_str()))
        .unwrap_or_default()
}

fn check_address(
    resource: &Resource,
    service: &Value,
    wanted: &str,
    taken: &HashSet<&str>,
) -> Result<(), Failure> {
    let Ok(address) = wanted.parse::<Ipv4Addr>() else { return Ok(()) };
    let inside = u32::from(address).wrapping_sub(FIRST) < COUNT;
    let detail = if !inside {
        format!(
            "failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {RANGE}"
        )
    } else if taken.contains(wanted) {
        format!("failed to allocate IP {wanted}: provided IP is already allocated")
    } else {
        return Ok(());
    };
    let error = FieldError::invalid("spec.clusterIPs", &json!([wanted]), &detail);
    Err(Failure::invalid(resource, object::name(service), &[error]))
}

pub(crate) fn check(service: &Value, errors: &mut Vec<FieldError>) {
    let spec = &service["spec"];
    let ports = object::list(spec, &["ports"]);
    let headless = spec["clusterIP"] == "None";
    if ports.is_empty() && !headless && has_address(service) {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if kind(service) == "ExternalName" && object::text(spec, &["externalName"]).is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if ports.len() > 1 && object::text(port, &["name"]).is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        }
        for key in ["port", "targetPort"] {
            if let Some(number) = port[key].as_i64().filter(|one| !(1..=65535).contains(one)) {
                errors.push(FieldError::invalid(
                    format!("{field}.{key}"),
                    &json!(number),
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
        let protocol = object::text(port, &["protocol"]);
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            errors.push(FieldError::unsupported(
                format!("{field}.protocol"),
                &json!(protocol),
                &["SCTP", "TCP", "UDP"],
            ));
        }
    }
    let affinity = object::text(spec, &["sessionAffinity"]);
    if !matches!(affinity, "None" | "ClientIP") {
        errors.push(FieldError::unsupported(
            "spec.sessionAffinity",
            &json!(affinity),
            &["ClientIP", "None"],
        ));
    }
    const KINDS: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !KINDS.contains(&kind(service)) {
        errors.push(FieldError::unsupported("spec.type", &json!(kind(service)), KINDS));
    }
    let address = object::text(spec, &["clusterIP"]);
    let known = matches!(address, "" | "None") || address.parse::<std::net::IpAddr>().is_ok();
    if !known {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &json!(address),
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ));
    }
}

pub(crate) fn check_update(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if !has_address(old) || !has_address(new) {
        return;
    }
    let (before, after) = (&old["spec"]["clusterIP"], &new["spec"]["clusterIP"]);
    if !before.is_null() && before != "" && before != after {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &new["spec"]["clusterIPs"],
            "may not change once set",
        ));
    }
}
