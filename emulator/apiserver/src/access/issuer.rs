//! What others need to verify the tokens of service accounts themselves: OpenID Connect discovery.

use axum::response::Response;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{Access, ISSUER};
use crate::api::{Call, typed};

impl Access {
    /// The document at a path, if it is one of these.
    pub(crate) fn document(&self, path: &str, call: &Call) -> Option<Response> {
        let (media, document) = match path.trim_end_matches('/') {
            _ if call.method != Method::GET => return None,
            "/.well-known/openid-configuration" => {
                ("application/json", configuration(call.header("host")))
            }
            "/openid/v1/jwks" => ("application/jwk-set+json", self.tokens.keys()),
            _ => return None,
        };
        let mut response = typed(200, media, document.to_string());
        let value = HeaderValue::from_static("public, max-age=3600");
        response.headers_mut().insert(header::CACHE_CONTROL, value);
        Some(response)
    }
}

fn configuration(host: &str) -> Value {
    let host = if host.is_empty() { "kubernetes.default.svc" } else { host };
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("https://{host}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}
