//! A registry with one image, `team/tool:1`, for one user.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use serde_json::json;

use super::engine;

pub(crate) struct Registry {
    address: String,
}

#[derive(Clone)]
struct Content {
    authorization: String,
    manifest: Vec<u8>,
    blobs: Vec<(String, Vec<u8>)>,
}

impl Registry {
    pub(crate) async fn start(user: &str, password: &str) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("layer.tar");
        // Where there is no busybox the test is skipped before anything is pulled.
        let layer = match engine::archive(folder.path(), &file) {
            Ok(()) => std::fs::read(&file).unwrap(),
            Err(_) => Vec::new(),
        };
        let architecture = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest(&layer),
                "size": layer.len(),
            }],
        });
        let content = Content {
            authorization: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            manifest: manifest.to_string().into_bytes(),
            blobs: [config, layer].map(|blob| (digest(&blob), blob)).into(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(content);
        tokio::spawn(axum::serve(listener, router).into_future());
        Registry { address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

async fn answer(State(content): State<Content>, request: Request) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if shown.is_none_or(|shown| shown != content.authorization.as_str()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")];
        let errors = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "who are you?" }] });
        return (StatusCode::UNAUTHORIZED, challenge, errors.to_string()).into_response();
    }
    let path = request.uri().path();
    if path == "/v2/" {
        return StatusCode::OK.into_response();
    }
    if path.starts_with("/v2/team/tool/manifests/") {
        return ([(header::CONTENT_TYPE, MANIFEST)], content.manifest).into_response();
    }
    let found = content.blobs.into_iter().find(|(digest, _)| path.ends_with(digest.as_str()));
    found.map_or(StatusCode::NOT_FOUND.into_response(), |(_, blob)| blob.into_response())
}

fn digest(bytes: &[u8]) -> String {
    let sum = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
