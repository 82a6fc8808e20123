//! Who asks, and what they may do.

mod attributes;
mod authenticate;
mod certificates;
mod certify;
mod decide;
mod impersonate;
mod index;
mod issuer;
mod policy;
mod rules;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::header::UPGRADE;
use http::request::Parts;
use ring::digest::{Digest, SHA256, digest};
use serde_json::{Value, json};

use crate::api::Query;
use crate::failure::Failure;
use crate::store::Store;
pub(crate) use attributes::Attributes;
pub(crate) use certificates::Certificates;
pub(crate) use certify::Certifier;
use index::Index;
pub(crate) use policy::bootstrap;
pub(crate) use rules::{Rule, union};
pub(crate) use tokens::{ISSUER, Tokens, account_user, claims_of_secret};
use tokens::{Refused, Verified};

/// The user who may do everything.
pub(crate) const ADMIN: &str = "kubernetes-admin";

/// Whoever is in this group may do everything.
pub(crate) const MASTERS: &str = "system:masters";

/// The group of all who said who they are.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";

/// Who did not say who they are.
pub(crate) const ANONYMOUS: &str = "system:anonymous";

/// The group of those.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Where a user's `extra` names the proof that was shown.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// Who is at the other end of a connection, before a request is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Whoever holds the server in this process, or reaches a listener without TLS.
    Admin,
    /// A certificate says who it is.
    Known(Arc<User>),
    /// A certificate that nobody here signed.
    Pretender,
    /// Nobody said anything.
    Stranger,
}

/// The user of a request, as `TokenReview` and `SelfSubjectReview` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// Who gets in, and what they may do then.
pub(crate) struct Access {
    pub(crate) certificates: Certificates,
    pub(crate) tokens: Tokens,
    /// Whether roles are asked; without it all may do everything who said who they are.
    rbac: bool,
    index: Index,
    /// Of the admin's token.
    digest: Digest,
    admin: Arc<User>,
    anonymous: Arc<User>,
}

impl Access {
    /// With the credentials of a state directory, or new ones.
    pub(crate) fn open(state: Option<&Path>, store: &Store, rbac: bool) -> std::io::Result<Self> {
        let certificates = Certificates::open(state)?;
        Ok(Access {
            tokens: Tokens::new(&certificates.token_key)?,
            digest: digest(&SHA256, certificates.admin_token.as_bytes()),
            certificates,
            rbac,
            index: Index::new(store),
            admin: Arc::new(User::admin()),
            anonymous: Arc::new(User::anonymous()),
        })
    }

    /// Who asks, if they may ask this.
    ///
    /// # Errors
    /// 401 for a proof that is none, 403 for what the user may not.
    pub(crate) fn admit(&self, store: &Store, request: &Parts) -> Result<Arc<User>, Failure> {
        let caller = request.extensions.get::<Caller>().unwrap_or(&Caller::Stranger);
        let headers = &request.headers;
        let mut user = authenticate::user(self, store, caller, headers)?;
        let is_acting = impersonate::is_wanted(headers);
        if self.may_all(&user) && !is_acting {
            return Ok(user);
        }
        let query = Query::parse(request.uri.query().unwrap_or_default());
        let mut wanted = Attributes::of(&request.method, request.uri.path(), &query);
        if is_acting {
            let allowed = |right: &Attributes| self.demand(store, &user, right);
            if let Some(other) = impersonate::impersonated(&user, &wanted, headers, allowed)? {
                user = Arc::new(other);
            }
        }
        self.demand(store, &user, &wanted)?;
        // Through a WebSocket a command is started with GET, which is more than reading.
        if headers.contains_key(UPGRADE)
            && matches!(wanted.subresource.as_str(), "exec" | "attach" | "portforward")
        {
            wanted.verb = "create".to_owned();
            self.demand(store, &user, &wanted)?;
        }
        Ok(user)
    }

    /// Whose token this is, if it is good for one of the audiences.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn whose(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
    ) -> Result<Verified, Refused> {
        if self.is_admin_token(token) {
            let audiences = tokens::meant(&[ISSUER], audiences)?;
            return Ok(Verified { user: User::clone(&self.admin), audiences });
        }
        self.tokens.verify(store, token, audiences)
    }

    /// Whether nothing is forbidden to a user.
    fn may_all(&self, user: &User) -> bool {
        let is_in = |group: &str| user.groups.iter().any(|one| one == group);
        let is_stranger = || user.name == ANONYMOUS || is_in(UNAUTHENTICATED);
        is_in(MASTERS) || (!self.rbac && !is_stranger())
    }

    fn is_admin_token(&self, token: &str) -> bool {
        // Digests tell nothing about the token when they are compared step by step.
        self.digest.as_ref() == digest(&SHA256, token.as_bytes()).as_ref()
    }
}

impl User {
    /// Whoever holds the server in this process.
    pub(crate) fn admin() -> Self {
        User {
            name: ADMIN.to_owned(),
            uid: String::new(),
            groups: vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()],
            extra: BTreeMap::new(),
        }
    }

    /// Whoever did not say who they are.
    pub(crate) fn anonymous() -> Self {
        User {
            name: ANONYMOUS.to_owned(),
            uid: String::new(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            extra: BTreeMap::new(),
        }
    }

    /// The `UserInfo` of reviews; what is empty is left out.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}
