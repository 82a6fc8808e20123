//! The tokens of service accounts: JSON Web Tokens, signed with ES256, as a real cluster makes them.
//!
//! A signature is checked before anything else that a token says is believed. That it was good is
//! remembered, since it stays so; times and the objects that a token is bound to are looked at with
//! every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::digest::{self, SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::rules::quoted;
use super::{AUTHENTICATED, CREDENTIAL, User};
use crate::object;
use crate::store::{Key, Store};

/// Who signs, and for whom where nobody says.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Who signs the tokens that are kept in Secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// No token of ours is longer.
const LONGEST: usize = 16 * 1024;

/// How many good signatures are remembered.
const REMEMBERED: usize = 1024;

/// How far clocks may be apart, in seconds.
const LEEWAY: i64 = 60;

/// What comes before the name of a service account in its user name.
const PREFIX: &str = "system:serviceaccount:";

/// Makes tokens, and judges them.
pub(crate) struct Tokens {
    key: EcdsaKeyPair,
    random: SystemRandom,
    good: Mutex<HashMap<[u8; 32], Arc<Value>>>,
}

/// Why a token is none; the text is what `TokenReview` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    fn stranger() -> Self {
        Refused("invalid bearer token".to_owned())
    }

    fn because(why: &str) -> Self {
        Refused(format!("[invalid bearer token, {why}]"))
    }
}

/// Who a good token names, and for whom it was made.
pub(crate) struct Verified {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

impl Tokens {
    /// Signs with a key in PEM.
    pub(crate) fn new(key: &str) -> std::io::Result<Self> {
        let bad = |_| std::io::Error::other("the key for tokens is none");
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(std::io::Error::other)?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key =
            EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der(), &random).map_err(bad)?;
        Ok(Tokens { key, random, good: Mutex::default() })
    }

    /// The claims as a token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id()});
        let text = format!("{}.{}", encode(&header.to_string()), encode(&claims.to_string()));
        let signature = self.key.sign(&self.random, text.as_bytes());
        let signature = signature.expect("the system has random numbers");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// How the key is named.
    fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, self.key.public_key().as_ref()))
    }

    /// The public key, as `/openid/v1/jwks` shows it.
    pub(crate) fn keys(&self) -> Value {
        // The point without compression: 4, x, y.
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.id(),
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }

    /// Who a token names, if it is good for one of the audiences; none of them means our own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn verify(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
    ) -> Result<Verified, Refused> {
        let claims = self.claims(token)?;
        let made_for: Vec<&str> = match &claims["aud"] {
            // A token that names nobody is for us.
            Value::Null => vec![ISSUER],
            Value::String(one) => vec![one],
            all => all.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        let meant = meant(&made_for, audiences)?;
        if claims["iss"] == LEGACY_ISSUER {
            let user = kept(store, token, &claims)?;
            return Ok(Verified { user, audiences: meant });
        }
        let now = Timestamp::now().as_second();
        match claims["exp"].as_i64() {
            Some(end) if now <= end.saturating_add(LEEWAY) => {}
            _ => return Err(Refused::because("service account token has expired")),
        }
        if claims["nbf"].as_i64().is_some_and(|start| now < start.saturating_sub(LEEWAY)) {
            return Err(Refused::because("service account token is not valid yet"));
        }
        let user = bound(store, &claims, now).map_err(|why| Refused::because(&why))?;
        Ok(Verified { user, audiences: meant })
    }

    /// What a token says, if the signature is ours.
    fn claims(&self, token: &str) -> Result<Arc<Value>, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::stranger());
        }
        let mut name = [0; 32];
        name.copy_from_slice(digest::digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(claims) = self.good().get(&name) {
            return Ok(Arc::clone(claims));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(Refused::stranger)?;
        let (header, claims) = signed.split_once('.').ok_or_else(Refused::stranger)?;
        let header = decode(header).ok_or_else(Refused::stranger)?;
        let claims = decode(claims).ok_or_else(Refused::stranger)?;
        if claims["iss"] != ISSUER && claims["iss"] != LEGACY_ISSUER {
            return Err(Refused::stranger());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key());
        // The algorithm is ours, not one that the token chooses.
        if header["alg"] != "ES256" || key.verify(signed.as_bytes(), &signature).is_err() {
            let why = "go-jose/go-jose: error in cryptographic primitive";
            return Err(Refused::because(why));
        }
        let claims = Arc::new(claims);
        let mut good = self.good();
        if good.len() >= REMEMBERED {
            good.clear();
        }
        good.insert(name, Arc::clone(&claims));
        Ok(claims)
    }

    fn good(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Value>>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").finish_non_exhaustive()
    }
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decode(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// The audiences, of those that are asked for, that something was made for.
///
/// # Errors
/// When it was made for others.
pub(super) fn meant(made_for: &[&str], asked: &[String]) -> Result<Vec<String>, Refused> {
    let own = [ISSUER.to_owned()];
    let asked = if asked.is_empty() { &own[..] } else { asked };
    let meant: Vec<String> =
        asked.iter().filter(|one| made_for.contains(&one.as_str())).cloned().collect();
    if meant.is_empty() {
        let made_for: Vec<String> = made_for.iter().map(|one| (*one).to_owned()).collect();
        return Err(Refused::because(&format!(
            "token audiences {} is invalid for the target audiences {}",
            quoted(&made_for),
            quoted(asked)
        )));
    }
    Ok(meant)
}

/// What a token is bound to besides its service account: kind, and where such objects are kept.
const BOUND: &[(&str, &str)] = &[("secret", "secrets"), ("pod", "pods"), ("node", "nodes")];

/// The user of a token, if its service account and what else it is bound to are still there.
fn bound(store: &Store, claims: &Value, now: i64) -> Result<User, String> {
    let own = &claims["kubernetes.io"];
    let namespace = object::text(own, &["namespace"]);
    let account = object::text(own, &["serviceaccount", "name"]);
    let uid = object::text(own, &["serviceaccount", "uid"]);
    let found = store
        .get("serviceaccounts", &Key::new(namespace, account))
        .ok_or_else(|| format!("serviceaccounts {account:?} not found"))?;
    if is_gone(&found.value, now) {
        return Err(format!("service account {namespace}/{account} has been deleted"));
    }
    let present = object::uid(&found.value);
    if present != uid {
        return Err(format!("service account UID ({present}) does not match claim ({uid})"));
    }
    let mut user = user(namespace, account, uid);
    for (kind, storage) in BOUND {
        // The node of a pod may go before its pod.
        let Some(reference) = own.get(kind).filter(|_| *kind != "node" || own.get("pod").is_none())
        else {
            continue;
        };
        let name = object::text(reference, &["name"]);
        let wanted = object::text(reference, &["uid"]);
        let namespace = if *kind == "node" { "" } else { namespace };
        let found = store
            .get(storage, &Key::new(namespace, name))
            .filter(|found| !is_gone(&found.value, now))
            .ok_or_else(|| "service account token has been invalidated".to_owned())?;
        let present = object::uid(&found.value);
        if present != wanted {
            return Err(format!(
                "{kind} UID ({present}) does not match service account {kind} ref claim ({wanted})"
            ));
        }
    }
    for kind in ["pod", "node"] {
        for field in ["name", "uid"] {
            let text = object::text(own, &[kind, field]);
            if !text.is_empty() {
                let key = format!("authentication.kubernetes.io/{kind}-{field}");
                user.extra.insert(key, vec![text.to_owned()]);
            }
        }
    }
    let id = object::text(claims, &["jti"]);
    if !id.is_empty() {
        user.extra.insert(CREDENTIAL.to_owned(), vec![format!("JTI={id}")]);
    }
    Ok(user)
}

/// Whether an object was to be gone by now.
fn is_gone(value: &Value, now: i64) -> bool {
    let marked = object::meta(value, "deletionTimestamp").parse::<Timestamp>();
    marked.is_ok_and(|marked| marked.as_second() < now - LEEWAY)
}

/// The user of a token that a Secret holds: it is good while the Secret holds it.
fn kept(store: &Store, token: &str, claims: &Value) -> Result<User, Refused> {
    let claim = |name: &str| {
        let name = format!("kubernetes.io/serviceaccount/{name}");
        claims[name.as_str()].as_str().unwrap_or_default().to_owned()
    };
    let (namespace, secret) = (claim("namespace"), claim("secret.name"));
    let (account, uid) = (claim("service-account.name"), claim("service-account.uid"));
    let found = store.get("secrets", &Key::new(namespace.as_str(), secret.as_str()));
    let held = found.as_ref().map(|found| object::text(&found.value, &["data", "token"]));
    let same = held.is_some_and(|held| {
        base64::engine::general_purpose::STANDARD
            .decode(held)
            .is_ok_and(|held| held == token.as_bytes())
    });
    let deleting = found.as_ref().is_none_or(|found| object::is_deleting(&found.value));
    if !same || deleting {
        return Err(Refused::because("service account token has been invalidated"));
    }
    let found = store.get("serviceaccounts", &Key::new(namespace.as_str(), account.as_str()));
    match found {
        Some(found) if !object::is_deleting(&found.value) && object::uid(&found.value) == uid => {
            Ok(user(&namespace, &account, &uid))
        }
        _ => Err(Refused::because(&format!(
            "service account {namespace}/{account} has been deleted"
        ))),
    }
}

/// The claims of a token that is kept in a Secret.
pub(crate) fn claims_of_secret(secret: &Value, account: &Value) -> Value {
    let (namespace, name) = (object::namespace(account), object::name(account));
    json!({
        "iss": LEGACY_ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": object::name(secret),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": object::uid(account),
        "sub": format!("{PREFIX}{namespace}:{name}"),
    })
}

/// The user that a service account is.
fn user(namespace: &str, name: &str, uid: &str) -> User {
    let mut groups = account_groups(namespace);
    groups.push(AUTHENTICATED.to_owned());
    User {
        name: account_user(namespace, name),
        uid: uid.to_owned(),
        groups,
        extra: Default::default(),
    }
}

/// The user name of a service account.
pub(crate) fn account_user(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}:{name}")
}

/// Namespace and name of the service account that a user name means.
pub(crate) fn account_of(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(PREFIX)?.split_once(':')?;
    let valid = crate::names::name_faults(crate::names::Rule::Label, namespace).is_empty()
        && crate::names::name_faults(crate::names::Rule::Subdomain, name).is_empty();
    valid.then_some((namespace, name))
}

/// The groups of the service accounts of a namespace.
pub(crate) fn account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}
