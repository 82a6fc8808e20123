//! From what a connection and a request show to who asks.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::{Access, Caller, User};
use crate::failure::Failure;
use crate::store::Store;

/// Who asks.
///
/// # Errors
/// 401 for a proof that is none.
pub(super) fn user(
    access: &Access,
    store: &Store,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Arc<User>, Failure> {
    match caller {
        // What the connection proves is not looked at again.
        Caller::Known(user) => return Ok(Arc::clone(user)),
        Caller::Pretender => return Err(Failure::unauthorized()),
        Caller::Admin if !headers.contains_key(header::AUTHORIZATION) => {
            return Ok(Arc::clone(&access.admin));
        }
        Caller::Admin | Caller::Stranger => {}
    }
    let Some(token) = bearer(headers) else { return Ok(Arc::clone(&access.anonymous)) };
    match access.whose(store, token, &[]) {
        Ok(verified) => Ok(Arc::new(verified.user)),
        Err(refused) => {
            tracing::debug!(reason = refused.0, "a token was refused");
            Err(Failure::unauthorized())
        }
    }
}

/// The token of a request; another scheme is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let mut words = text.splitn(3, ' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
