//! `GET` of a collection: selectors, pages, versions.

use std::sync::Arc;

use axum::response::Response;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::api::{Call, Target, View, json as answer};
use crate::failure::{Failure, FieldError};
use crate::resources::Resource;
use crate::schema::{TYPES, scan};
use crate::selectors::{Fields, Labels};
use crate::server::Shared;
use crate::store::Object;

/// Reads tokens as Go does: bits that are left over at the end count for nothing.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// What a list or watch is narrowed to.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Selection {
    pub(crate) fn of(resource: &Resource, call: &Call) -> Result<Self, Failure> {
        let labels = Labels::parse(call.query.get("labelSelector").unwrap_or_default())
            .map_err(Failure::bad_request)?;
        let fields = Fields::parse(resource, call.query.get("fieldSelector").unwrap_or_default())
            .map_err(Failure::bad_request)?;
        Ok(Selection { labels, fields })
    }

    pub(crate) fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, resource: &Resource, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(resource, object)
    }
}

pub(crate) async fn list(
    shared: &Shared,
    target: &Target,
    call: &Call,
) -> Result<Response, Failure> {
    let view = View::of(call, &target.resource, true)?;
    let resource = &target.resource;
    let selection = Selection::of(resource, call)?;
    let limit = call.query.number("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let start = match call.query.get("continue").filter(|text| !text.is_empty()) {
        Some(text) => Some(Page::read(text)?),
        None => None,
    };
    let (revision, objects) = snapshot(shared, target, call, start.as_ref()).await?;
    let start = start.map(|page| page.start).unwrap_or_default();
    // A list at version 0 is answered whole, as from a cache.
    let whole = call.query.get("resourceVersion") == Some("0") && is_cached(resource);
    let limit = limit.filter(|limit| *limit > 0 && !whole).unwrap_or(usize::MAX);
    let mut rest = objects
        .iter()
        .skip_while(|object| !start.is_empty() && position(object, target) < start)
        .peekable();
    let mut page: Vec<&Object> = Vec::new();
    while page.len() < limit
        && let Some(object) = rest.next()
    {
        if selection.is_all() || selection.matches(resource, &object.value) {
            page.push(object);
        }
    }
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if rest.peek().is_some()
        && let Some(last) = page.last()
    {
        let next = Page { revision, start: format!("{}\0", position(last, target)) };
        metadata["continue"] = json!(next.write());
        if selection.is_all() {
            metadata["remainingItemCount"] = json!(rest.count());
        }
    }
    Ok(answer(200, view.list(resource, &metadata, page.into_iter())))
}

async fn snapshot(
    shared: &Shared,
    target: &Target,
    call: &Call,
    page: Option<&Page>,
) -> Result<(u64, Vec<Arc<Object>>), Failure> {
    let storage = &target.resource.storage;
    let namespace = target.namespace.as_deref();
    let version = call.query.get("resourceVersion").unwrap_or_default();
    let matching = call.query.get("resourceVersionMatch").unwrap_or_default();
    if let Some(page) = page {
        if !matching.is_empty() {
            let error = FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            );
            return Err(Failure::invalid_kind("meta.k8s.io", "ListOptions", "", &[error]));
        }
        if !version.is_empty() && version != "0" {
            return Err(Failure::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return match shared.store.list_at(storage, namespace, page.revision) {
            Ok(objects) => Ok((page.revision, objects)),
            Err(_) => {
                let mut failure = Failure::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                );
                let next = Page { revision: shared.store.revision(), start: page.start.clone() };
                failure.continuation = Some(next.write());
                Err(failure)
            }
        };
    }
    match_rules(version, matching)?;
    if version.is_empty() || version == "0" {
        return Ok(shared.store.list(storage, namespace));
    }
    let wanted: u64 = version.parse().map_err(|_| {
        let error = FieldError::invalid(
            "resourceVersion",
            &json!(version),
            &format!("strconv.ParseUint: parsing {version:?}: invalid syntax"),
        );
        Failure::bad_request(format!(
            "invalid resource version: {}: {}",
            error.field, error.message
        ))
    })?;
    let current = shared.store.revision();
    if wanted > current {
        return Err(too_large(&target.resource, wanted, current));
    }
    let limited = call.query.number("limit")?.is_some_and(|limit| limit > 0);
    if matching == "Exact" || (limited && matching.is_empty()) {
        return match shared.store.list_at(storage, namespace, wanted) {
            Ok(objects) => Ok((wanted, objects)),
            Err(_) => {
                Err(Failure::expired("The resourceVersion for the provided list is too old."))
            }
        };
    }
    Ok(shared.store.list(storage, namespace))
}

fn match_rules(version: &str, matching: &str) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if !matching.is_empty() {
        if version.is_empty() {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(FieldError::unsupported(
                "resourceVersionMatch",
                &json!(matching),
                &["Exact", "NotOlderThan", ""],
            ));
        }
        if matching == "Exact" && version == "0" {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid_kind("meta.k8s.io", "ListOptions", "", &errors))
}

/// A version that does not exist yet. Where the real server has a cache, which may catch up, it asks
/// to come again.
pub(crate) fn too_large(resource: &Resource, wanted: u64, current: u64) -> Failure {
    let mut failure = Failure::new(
        504,
        "Timeout",
        format!("Timeout: Too large resource version: {wanted}, current: {current}"),
    );
    failure.details = Some(json!({"causes": [{
        "reason": "ResourceVersionTooLarge",
        "message": "Too large resource version",
    }]}));
    if is_cached(resource) { failure.retry_after(1) } else { failure }
}

/// Whether the real server keeps a cache of the objects; of events it does not.
fn is_cached(resource: &Resource) -> bool {
    resource.storage != "events"
}

/// Where an object lies in the order of a list.
fn position(object: &Object, target: &Target) -> String {
    let name = crate::object::name(&object.value);
    match (target.resource.namespaced, &target.namespace) {
        (true, None) => format!("{}/{name}", crate::object::namespace(&object.value)),
        _ => name.to_owned(),
    }
}

/// A continue token: a version and the first position that was not given yet.
struct Page {
    revision: u64,
    start: String,
}

impl Page {
    fn write(&self) -> String {
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim_end_matches('=');
        let bytes = LENIENT.decode(text);
        let bytes = bytes.map_err(|_| {
            Failure::bad_request(format!(
                "invalid continue token: continue key is not valid: illegal base64 data at input byte {}",
                text.len() / 4 * 4
            ))
        })?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|error| {
            let error = scan::syntax_error(&TYPES, &bytes).unwrap_or(error.to_string());
            Failure::bad_request(format!(
                "invalid continue token: continue key is not valid: {error}"
            ))
        })?;
        if let Some(version) = token["v"].as_str().filter(|version| *version != "meta.k8s.io/v1") {
            return Err(Failure::bad_request(format!(
                "invalid continue token: continue key is not valid: server does not recognize this encoded version {version}"
            )));
        }
        match (token["v"].as_str(), token["rv"].as_u64(), token["start"].as_str()) {
            (Some("meta.k8s.io/v1"), Some(revision), Some(start)) if !start.is_empty() => {
                Ok(Page { revision, start: start.to_owned() })
            }
            _ => Err(Failure::bad_request(
                "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            )),
        }
    }
}
