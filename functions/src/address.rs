//! Reads which project an address names, and the token that may follow it.
//!
//! `{project}` is a project's id, or its name where that has no slash or one that is written `%2F`;
//! `{org}/{repository}` is its name. As some senders can carry a token nowhere else, an address may
//! end with one. `{org}/{repository}` and `{project}/{token}` have the same form: the second is
//! meant where the first part is an id, `brigade-` and 54 hexadecimal digits, or has a slash, `%2F`.

use serde::Deserialize;

/// The parameters of such an address.
#[derive(Deserialize)]
pub(crate) struct Address {
    project: Option<String>,
    org: Option<String>,
    repository: Option<String>,
    token: Option<String>,
}

impl Address {
    /// The name or the id of the project, and the token.
    pub(crate) fn parts(self) -> (String, Option<String>) {
        let Address { project, org, repository, token } = self;
        match (project, org, repository) {
            (_, Some(whole), Some(token_after))
                if token.is_none() && (is_id(&whole) || whole.contains('/')) =>
            {
                (whole, Some(token_after))
            }
            (_, Some(org), Some(repository)) => (format!("{org}/{repository}"), token),
            (project, ..) => (project.unwrap_or_default(), token),
        }
    }
}

/// Whether a text can only be a project's id.
pub(crate) fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("brigade-").unwrap_or_default();
    digits.len() == 54 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn a_project_is_named_in_three_ways() {
    let id = runtime::project::id_of("ocean/brig");
    let some = |text: &str| Some(text.to_owned());
    let address = |project, org, repository, token| {
        let (project, token) = Address { project, org, repository, token }.parts();
        format!("{project} {}", token.unwrap_or_default())
    };
    assert_eq!(address(some("brig"), None, None, None), "brig ");
    assert_eq!(address(some("brig"), None, None, some("x")), "brig x");
    assert_eq!(address(None, some("ocean"), some("brig"), None), "ocean/brig ");
    assert_eq!(address(None, some("ocean"), some("brig"), some("x")), "ocean/brig x");
    assert_eq!(address(None, some(&id), some("x"), None), format!("{id} x"));
    assert_eq!(address(None, some("ocean/brig"), some("x"), None), "ocean/brig x");
    assert_eq!(address(None, some("brigade-x"), some("y"), None), "brigade-x/y ");
}
