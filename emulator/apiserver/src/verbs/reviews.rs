//! Questions to the server that are answered and not kept: may I, may they, who am I.
//!
//! Until access is controlled, everybody may do everything.

use axum::response::Response;
use serde_json::{Value, json};

use crate::api::{Call, Target, decode, plain};
use crate::failure::{Failure, FieldError};
use crate::managed::{self, Writer};
use crate::object;

pub(crate) fn review(target: &Target, call: &Call) -> Result<Response, Failure> {
    let resource = &target.resource;
    let (mut review, _) = decode(call, resource)?;
    if let Some(namespace) = &target.namespace {
        object::metadata_mut(&mut review).insert("namespace".into(), json!(namespace));
    }
    let manager = call.manager();
    let status = match resource.kind.as_str() {
        "SelfSubjectReview" => {
            object::metadata_mut(&mut review)
                .insert("creationTimestamp".into(), json!(object::now()));
            json!({"userInfo": call.user.info()})
        }
        "TokenReview" => json!({"user": {}, "error": "invalid bearer token"}),
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
        _ => {
            access(&review["spec"])?;
            json!({"allowed": true})
        }
    };
    let keeps_books =
        !matches!(resource.kind.as_str(), "SelfSubjectReview" | "SelfSubjectRulesReview");
    if keeps_books {
        let writer = Writer { manager: manager.into(), subresource: "" };
        managed::update(resource, None, &mut review, &writer);
    }
    if resource.kind == "SelfSubjectRulesReview" {
        review["spec"] = json!({});
    }
    review["status"] = status;
    review["kind"] = json!(resource.kind);
    review["apiVersion"] = json!(resource.api_version());
    Ok(plain(201, &review))
}

fn access(spec: &Value) -> Result<(), Failure> {
    let has = |key: &str| spec[key].is_object();
    if has("resourceAttributes") == has("nonResourceAttributes") {
        let error = FieldError::invalid(
            "spec.resourceAttributes",
            &spec["resourceAttributes"],
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        );
        return Err(Failure::invalid_kind("authorization.k8s.io", "", "", &[error]));
    }
    Ok(())
}
