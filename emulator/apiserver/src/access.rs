//! Who asks, and what they may do.

mod certificates;
mod certify;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use certificates::Certificates;
pub(crate) use certify::Certifier;

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
