//! Secrets for service accounts: they are filled with a token, the authority and the namespace,
//! and go with their account.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{controller, edit, report};
use crate::access::claims_of_secret;
use crate::object;
use crate::server::Shared;
use crate::store::{Change, Key};
use crate::verbs::delete::{Options, remove};

const ACCOUNTS: &str = "serviceaccounts";
const SECRETS: &str = "secrets";
const KIND: &str = "kubernetes.io/service-account-token";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";

pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    match storage {
        SECRETS if !change.deleted => fill(shared, &change.new.value),
        ACCOUNTS if change.deleted => {
            for secret in shared.store.list(SECRETS, Some(&change.key.namespace)).1 {
                fill(shared, &secret.value);
            }
        }
        _ => {}
    }
}

/// Gives a Secret what it lacks; without its account it is deleted.
fn fill(shared: &Shared, secret: &Value) {
    if secret["type"] != KIND || object::is_deleting(secret) {
        return;
    }
    let key = Key::of(secret);
    let annotation = |name: &str| object::text(secret, &["metadata", "annotations", name]);
    let account = Key::new(key.namespace.as_str(), annotation(NAME));
    let account = shared.store.get(ACCOUNTS, &account).filter(|account| {
        let uid = annotation(UID);
        uid.is_empty() || uid == object::uid(&account.value)
    });
    let Some(account) = account else {
        let resource = shared.catalogue().storage(SECRETS);
        report(SECRETS, &key.name, remove(shared, &resource, &key, &Options::default()));
        return;
    };
    let authority = STANDARD.encode(&shared.access.certificates.authority);
    let namespace = STANDARD.encode(&key.namespace);
    let data = &secret["data"];
    let has_token = data["token"].as_str().is_some_and(|token| !token.is_empty());
    if has_token
        && data["ca.crt"] == authority.as_str()
        && data["namespace"] == namespace.as_str()
        && !annotation(UID).is_empty()
    {
        return;
    }
    let claims = claims_of_secret(secret, &account.value);
    let token = STANDARD.encode(shared.access.tokens.sign(&claims));
    edit(shared, SECRETS, &key, &controller(""), |secret| {
        let data = object::child_mut(object::map_mut(secret), "data");
        if data.get("token").and_then(Value::as_str).is_none_or(str::is_empty) {
            data.insert("token".into(), json!(token));
        }
        data.insert("ca.crt".into(), json!(authority));
        data.insert("namespace".into(), json!(namespace));
        let annotations = object::child_mut(object::metadata_mut(secret), "annotations");
        annotations.insert(UID.into(), json!(object::uid(&account.value)));
    });
}
