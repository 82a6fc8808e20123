//! Proves deliveries of senders that cannot sign: by a token that they carry.

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use runtime::project::Project;
use runtime::signature::{self, Secrets, SignatureError};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::address::Address;
use crate::app::App;
use crate::rejection::Rejection;

/// The header of tokens, for senders that let one set headers but not `Authorization`.
const TOKEN: &str = "x-registry-token";

/// The longest name of a delivery, in bytes.
const NAME: usize = 256;

/// The secrets that a project's token may be: its `genericGatewaySecret`, or its `sharedSecret` if
/// there is no such one.
pub(crate) fn tokens(project: &Project) -> Secrets<'_> {
    Secrets::of(&project.generic_gateway_secret).or(&project.shared_secret)
}

/// The secrets that one of a project's own `secrets` holds.
pub(crate) fn secret<'a>(project: &'a Project, name: &str) -> Secrets<'a> {
    let text = project.secrets.get(name).and_then(|secret| secret.as_str());
    Secrets::in_text(text.unwrap_or_default())
}

/// The project that an address names, if the request has one of these secrets of it for its token:
/// in a header, at the end of the address, or as what is `asked`, in the query.
pub(crate) async fn prove(
    app: &App,
    (address, asked): (Address, Option<String>),
    headers: &HeaderMap,
    deadline: Instant,
    secrets: fn(&Project) -> Secrets<'_>,
    refusal: fn(SignatureError) -> Rejection,
) -> Result<Project, Rejection> {
    let (name, in_path) = address.parts();
    let project = app.project(&name, deadline).await?;
    let token = token(headers, in_path.iter().chain(&asked).map(String::as_str));
    let secrets = secrets(&project);
    let proved = token.and_then(|token| signature::verify_token(&secrets, token.as_deref()));
    proved.map_err(refusal)?;
    Ok(project)
}

/// The token of a delivery, wherever it is: in `Authorization` (what follows `Bearer`, or the
/// password of `Basic`), in `X-Registry-Token`, or `asked`, from the path or the query. One in
/// several places is too many.
pub(crate) fn token<'a>(
    headers: &HeaderMap,
    asked: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, SignatureError> {
    only(signature::authorization(headers)?, headers, asked)
}

/// The same of a sender who may put the token into `Authorization` as it is given, without a scheme
/// before it, as Harbor does.
pub(crate) fn bare_token<'a>(
    headers: &HeaderMap,
    asked: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, SignatureError> {
    let authorization = match signature::authorization(headers) {
        Err(SignatureError::Malformed) => {
            let value = signature::single(headers, header::AUTHORIZATION.as_str())?;
            Some(value.to_str().map_err(|_bytes| SignatureError::Malformed)?.to_owned())
        }
        authorization => authorization?,
    };
    only(authorization, headers, asked)
}

fn only<'a>(
    authorization: Option<String>,
    headers: &HeaderMap,
    asked: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, SignatureError> {
    let header = match signature::single(headers, TOKEN) {
        Ok(value) => Some(value.to_str().map_err(|_bytes| SignatureError::Malformed)?.to_owned()),
        Err(SignatureError::Missing) => None,
        Err(error) => return Err(error),
    };
    let asked = asked.into_iter().map(|token| Some(token.to_owned()));
    let mut found = [authorization, header].into_iter().chain(asked).flatten();
    match (found.next(), found.next()) {
        (token, None) => Ok(token),
        (_, Some(_)) => Err(SignatureError::Malformed),
    }
}

/// The name that a sender gave a delivery, in the first of these headers that is there: with the
/// header's own, since two headers may have the same.
pub(crate) fn name(headers: &HeaderMap, names: &[&str]) -> Result<Option<String>, Rejection> {
    let Some(header) = names.iter().find(|header| headers.contains_key(**header)) else {
        return Ok(None);
    };
    let value = signature::single(headers, header).ok();
    let value = value.filter(|value| (1..=NAME).contains(&value.len()));
    let value = value.and_then(|value| value.to_str().ok()).ok_or_else(|| {
        Rejection::malformed(format!("{header} must be there once, with 1 to {NAME} letters"))
    })?;
    Ok(Some(format!("{header} {value}")))
}

/// What a sender is told whose token does not prove it, in the words of Brigade's gateways. They are
/// the same for a token that is missing and one that is wrong.
pub(crate) fn refusal(
    error: SignatureError,
    no_secret: &'static str,
    wrong: &'static str,
) -> Rejection {
    let (status, reason) = match error {
        SignatureError::NoSecret => (
            "secret for this Brigade Project is empty, refusing to serve, please inform your \
             Brigade admin",
            no_secret,
        ),
        SignatureError::Missing | SignatureError::Malformed | SignatureError::Forged => {
            ("secret is wrong", wrong)
        }
    };
    Rejection::Unproved { code: StatusCode::UNAUTHORIZED, status, reason }
}

/// What Brigade's gateways for Azure said where there is no such project.
pub(crate) fn of_azure(rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::UnknownProject => Rejection::Unproved {
            code: StatusCode::NOT_FOUND,
            status: "Resource Not Found",
            reason: "no project has this name; names are case-sensitive",
        },
        other => other,
    }
}

/// The query; its own error would quote it, and with it the token.
pub(crate) fn query<T: DeserializeOwned>(uri: &Uri, takes: &str) -> Result<T, Rejection> {
    let query = Query::<T>::try_from_uri(uri).map(|Query(query)| query);
    query.map_err(|_quoting| Rejection::malformed(format!("the query takes {takes}")))
}
