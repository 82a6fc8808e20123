//! Tokens of service accounts, as clients use them.

use std::time::Duration;

use apiserver::Options;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{PATIENCE, Served, code, get, post, send};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// Makes a service account in the namespace default, and a token for it.
pub(super) async fn token_for(admin: &kube::Client, name: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    let account = serde_json::from_value(json!({"metadata": {"name": name}}));
    let account = account.expect("it is an account");
    accounts.create(&PostParams::default(), &account).await.expect("the admin may");
    let request = TokenRequest::default();
    let made = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let made = made.expect("the admin may");
    made.status.and_then(|status| status.token).expect("there is a token")
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("it has three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("it is base64");
    serde_json::from_slice(&claims).expect("it is JSON")
}

#[tokio::test]
async fn a_token_is_its_accounts_until_the_account_goes() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let token = token_for(&admin, "bot").await;
    let claims = claims(&token);
    assert_eq!(claims["sub"], "system:serviceaccount:default:bot");
    assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|start| start + 3600));
    let bot = served.bearer(&token).await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (made, review) = send(&bot, post(path, &review)).await;
    assert_eq!(made, 201);
    let user = &review["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:bot");
    assert_eq!(user["groups"][1], "system:serviceaccounts:default");
    let name = "authentication.kubernetes.io/credential-id";
    assert_eq!(user["extra"][name][0], format!("JTI={}", claims["jti"].as_str().unwrap()));
    let names = Api::<Namespace>::all(bot.clone());
    assert_eq!(code(names.get("default").await), 200);
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin.clone());
    accounts.delete("bot", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(names.get("default").await), 401);
    // One of the same name is another.
    let again = token_for(&admin, "bot").await;
    assert_eq!(code(names.get("default").await), 401);
    let bot = served.bearer(&again).await;
    assert_eq!(code(Api::<Namespace>::all(bot).get("default").await), 200);
}

#[tokio::test]
async fn wrong_tokens_are_refused_everywhere() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let token = token_for(&admin, "bot").await;
    let other = Served::start(Options::default()).await;
    let others = token_for(&other.client(|_| {}).await, "bot").await;
    let mut forged = token.clone();
    forged.truncate(token.len() - 4);
    for wrong in ["wrong", "a.b.c", others.as_str(), forged.as_str()] {
        let client = served.bearer(wrong).await;
        for path in ["/version", "/api/v1/namespaces", "/healthz", "/no/such/path", "/apis/x/v1/y"]
        {
            let (code, body) = send(&client, get(path)).await;
            assert_eq!(code, 401, "{path}");
            assert_eq!(body["message"], "Unauthorized");
        }
    }
    let basic = Request::get("/api/v1/namespaces").header("authorization", "Basic YTpi");
    let (code, body) = send(&served.stranger().await, basic.body(Vec::new()).unwrap()).await;
    assert_eq!(
        (code, body["message"].as_str()),
        (
            403,
            Some(
                "namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
            )
        )
    );
}

#[tokio::test]
async fn strangers_see_versions_and_health_and_nothing_else() {
    let served = Served::start(Options::default()).await;
    let stranger = served.stranger().await;
    for path in ["/version", "/healthz", "/livez", "/readyz"] {
        assert_eq!(send(&stranger, get(path)).await.0, 200, "{path}");
    }
    for path in
        ["/", "/api", "/apis", "/openapi/v3", "/api/v1/pods", "/no/such", "/apis/no.such/v1/x"]
    {
        let (code, body) = send(&stranger, get(path)).await;
        assert_eq!((code, body["reason"].as_str()), (403, Some("Forbidden")), "{path}");
    }
}

#[tokio::test]
async fn a_request_for_a_token_is_checked() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let path = format!("{ACCOUNTS}/default/token");
    let request = |spec: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    for (spec, code, words) in [
        (json!({"expirationSeconds": 599}), 422, "may not specify a duration less than 10 minutes"),
        (json!({"expirationSeconds": 1u64 << 33}), 422, "larger than 2^32 seconds"),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "gone"}}),
            404,
            "pods \"gone\" not found",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
    ] {
        let (found, body) = send(&admin, post(&path, &request(spec))).await;
        let message = body["message"].as_str().unwrap_or_default();
        assert!(found == code && message.contains(words), "{found} {message}");
    }
    let (missing, _) =
        send(&admin, post(&format!("{ACCOUNTS}/gone/token"), &request(json!({})))).await;
    assert_eq!(missing, 404);
}

#[tokio::test]
async fn a_token_bound_to_a_secret_goes_with_it_and_reviews_say_so() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let secrets: Api<Secret> = Api::default_namespaced(admin.clone());
    let secret = serde_json::from_value(json!({"metadata": {"name": "anchor"}})).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let spec = json!({
        "audiences": ["vault"],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "anchor"},
    });
    let request =
        json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
    let (made, body) = send(&admin, post(&format!("{ACCOUNTS}/default/token"), &request)).await;
    assert_eq!(made, 201, "{body}");
    let token = body["status"]["token"].clone();
    assert_eq!(claims(token.as_str().unwrap())["aud"], json!(["vault"]));
    let review = |audiences: Value| {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let spec = json!({"token": token, "audiences": audiences});
        post(
            path,
            &json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec}),
        )
    };
    let (_, good) = send(&admin, review(json!(["vault", "other"]))).await;
    assert_eq!(good["status"]["authenticated"], true);
    assert_eq!(good["status"]["audiences"], json!(["vault"]));
    assert_eq!(good["status"]["user"]["username"], "system:serviceaccount:default:default");
    // It is not for this server.
    let (_, bad) = send(&admin, review(json!([]))).await;
    assert!(bad["status"]["error"].as_str().unwrap().contains("invalid for the target audiences"));
    let bearer = served.bearer(token.as_str().unwrap()).await;
    assert_eq!(send(&bearer, get("/version")).await.0, 401);
    secrets.delete("anchor", &DeleteParams::default()).await.unwrap();
    let (_, gone) = send(&admin, review(json!(["vault"]))).await;
    assert!(gone["status"]["error"].as_str().unwrap().contains("has been invalidated"));
}

#[tokio::test]
async fn a_secret_for_an_account_is_filled_and_its_token_is_good_while_it_is_there() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let secrets: Api<Secret> = Api::default_namespaced(admin.clone());
    let named = |name: &str, account: &str| -> Secret {
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "annotations": {"kubernetes.io/service-account.name": account},
            },
            "type": "kubernetes.io/service-account-token",
        }))
        .unwrap()
    };
    secrets.create(&PostParams::default(), &named("token", "default")).await.unwrap();
    let filled = |secret: Option<&Secret>| {
        secret.and_then(|one| one.data.as_ref()).is_some_and(|data| data.contains_key("token"))
    };
    let secret = timeout(PATIENCE, await_condition(secrets.clone(), "token", filled)).await;
    let data = secret.expect("it is filled").unwrap().unwrap().data.unwrap();
    assert_eq!(data["namespace"].0, b"default");
    assert_eq!(data["ca.crt"].0, served.server.authority().as_bytes());
    let maps: Api<ConfigMap> = Api::default_namespaced(admin.clone());
    let root = maps.get("kube-root-ca.crt").await.unwrap().data.unwrap();
    assert_eq!(root["ca.crt"], served.server.authority());
    let token = String::from_utf8(data["token"].0.clone()).unwrap();
    let client = served.bearer(&token).await;
    assert_eq!(send(&client, get("/api/v1/namespaces")).await.0, 200);
    secrets.delete("token", &DeleteParams::default()).await.unwrap();
    assert_eq!(send(&client, get("/api/v1/namespaces")).await.0, 401);
    // Without its account a Secret goes.
    secrets.create(&PostParams::default(), &named("orphan", "nobody")).await.unwrap();
    let gone = await_condition(secrets, "orphan", |secret: Option<&Secret>| secret.is_none());
    timeout(PATIENCE, gone).await.expect("it goes").unwrap();
}

#[tokio::test]
async fn others_can_verify_tokens_by_the_published_key() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let token = token_for(&admin, "bot").await;
    let bot = served.bearer(&token).await;
    let (code, keys) = send(&bot, get("/openid/v1/jwks")).await;
    assert_eq!(code, 200);
    let point =
        |name: &str| URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().unwrap()).unwrap();
    let point = [vec![4], point("x"), point("y")].concat();
    let key =
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (_, configuration) = send(&bot, get("/.well-known/openid-configuration")).await;
    assert_eq!(configuration["issuer"], claims(&token)["iss"]);
}

#[tokio::test]
async fn the_admins_token_is_the_admins() {
    let served = Served::start(Options { rbac: true, ..Options::default() }).await;
    let admin = served.bearer(served.server.admin_token()).await;
    let names = Api::<Namespace>::all(admin).list(&ListParams::default()).await.unwrap();
    assert!(!names.items.is_empty());
    let encoded = STANDARD.encode(served.server.admin_token());
    assert_eq!(send(&served.bearer(&encoded).await, get("/version")).await.0, 401);
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_those_who_want_it_so() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(admin.clone());
    let map = json!({"metadata": {"name": "large"}, "data": {"text": "abc ".repeat(50_000)}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    for (path, accepted, compressed) in [
        ("configmaps", "gzip", true),
        ("configmaps", "deflate, gzip", true),
        ("configmaps", "identity", false),
        ("configmaps/kube-root-ca.crt", "gzip", false),
        ("configmaps?watch=true&timeoutSeconds=1", "gzip", false),
    ] {
        let request = Request::get(format!("/api/v1/namespaces/default/{path}"))
            .header("accept-encoding", accepted)
            .body(kube::client::Body::empty())
            .unwrap();
        let response =
            timeout(Duration::from_secs(60), admin.send(request)).await.unwrap().unwrap();
        let encoding = response.headers().get("content-encoding").is_some();
        assert_eq!(encoding, compressed, "{path} {accepted}");
        if compressed {
            assert_eq!(response.headers()["vary"], "Accept-Encoding");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            let mut text = String::new();
            let body = body.to_bytes();
            let mut decoder = flate2::read::GzDecoder::new(&*body);
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
            let list: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(list["kind"], "ConfigMapList");
            assert!(body.len() < 10_000);
        }
    }
}
