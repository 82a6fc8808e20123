//! Roles decide: least rights, no more than they, and nobody gives away what is not theirs.

use apiserver::Options;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::tokens::token_for;
use super::{PATIENCE, Served, code, get, post, send};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

fn enforced() -> Options {
    Options { rbac: true, ..Options::default() }
}

/// Gives a service account of the namespace default a role of it with these rules.
async fn grant(admin: &kube::Client, account: &str, rules: Value) {
    let roles: Api<Role> = Api::default_namespaced(admin.clone());
    let role = json!({"metadata": {"name": account}, "rules": rules});
    roles
        .create(&PostParams::default(), &serde_json::from_value(role).expect("it is a role"))
        .await
        .expect("the admin may");
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin.clone());
    let binding = json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    });
    let binding = serde_json::from_value(binding).expect("it is a binding");
    bindings.create(&PostParams::default(), &binding).await.expect("the admin may");
}

#[tokio::test]
async fn a_role_is_needed_and_counts_at_once() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let pods: Api<Pod> = Api::default_namespaced(bot.clone());
    let refused = pods.list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = &refused else { panic!("{refused:?}") };
    assert_eq!(
        status.message,
        "pods is forbidden: User \"system:serviceaccount:default:bot\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    grant(
        &admin,
        "bot",
        json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]),
    )
    .await;
    assert_eq!(code(pods.list(&ListParams::default()).await), 200);
    assert_eq!(code(pods.get("gone").await), 404);
    assert_eq!(code(pods.delete("gone", &DeleteParams::default()).await), 403);
    assert_eq!(code(pods.logs("gone", &Default::default()).await), 403);
    let elsewhere: Api<Pod> = Api::namespaced(bot.clone(), "kube-system");
    assert_eq!(code(elsewhere.list(&ListParams::default()).await), 403);
    assert_eq!(code(Api::<Pod>::all(bot.clone()).list(&ListParams::default()).await), 403);
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin.clone());
    bindings.delete("bot", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(pods.list(&ListParams::default()).await), 403);
    // Discovery is for all who said who they are.
    assert_eq!(send(&bot, get("/apis")).await.0, 200);
    assert_eq!(send(&bot, get("/metrics")).await.0, 403);
}

#[tokio::test]
async fn without_enforcement_whoever_says_who_they_are_may_do_everything() {
    let served = Served::start(Options::default()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let pods: Api<Pod> = Api::all(bot);
    assert_eq!(code(pods.list(&ListParams::default()).await), 200);
}

#[tokio::test]
async fn a_change_that_would_create_needs_the_right_to_create() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    grant(
        &admin,
        "bot",
        json!([
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]},
        ]),
    )
    .await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    let apply = Request::patch("/api/v1/namespaces/default/configmaps/new?fieldManager=m")
        .header("content-type", "application/apply-patch+yaml");
    let (code, body) = send(&bot, apply.body(map.to_string().into_bytes()).unwrap()).await;
    let message = body["message"].as_str().unwrap();
    assert!(code == 403 && message.contains("cannot create resource \"configmaps\""), "{message}");
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/new";
    let lease = json!({"metadata": {"name": "new"}, "spec": {}});
    let put = Request::put(path).header("content-type", "application/json");
    let (code, _) = send(&bot, put.body(lease.to_string().into_bytes()).unwrap()).await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn a_binding_to_a_role_that_is_not_there_is_told() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin.clone());
    let binding = json!({
        "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gone"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    let binding = serde_json::from_value(binding).unwrap();
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let request =
        Request::get("/api/v1/namespaces/default/pods").header("impersonate-user", "jane");
    let (code, body) = send(&admin, request.body(Vec::new()).unwrap()).await;
    assert_eq!(code, 403);
    let message = body["message"].as_str().unwrap();
    let reason = ": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    assert!(message.ends_with(reason), "{message}");
}

#[tokio::test]
async fn nobody_gives_away_rights_that_they_do_not_have() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    grant(&admin, "bot", json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["*"]},
    ]))
    .await;
    let role = |name: &str, verbs: Value| {
        json!({
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}],
        })
    };
    // "*" on roles is escalate, too, so that right is taken away first.
    let roles: Api<Role> = Api::default_namespaced(admin.clone());
    let verbs = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
    let patch = json!([{"op": "replace", "path": "/rules/1/verbs", "value": verbs}]);
    let patch: kube::api::Patch<Value> = Patch::Json(serde_json::from_value(patch).unwrap());
    roles.patch("bot", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(send(&bot, post(ROLES, &role("same", json!(["get"])))).await.0, 201);
    let (code, body) = send(&bot, post(ROLES, &role("more", json!(["get", "delete"])))).await;
    assert_eq!(code, 403);
    assert_eq!(
        body["message"],
        "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"system:serviceaccount:default:bot\" (groups=[\"system:serviceaccounts\" \"system:serviceaccounts:default\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
    // Neither by a change of what there is, in any form.
    for (media, patch) in [
        (
            "application/json-patch+json",
            json!([{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]),
        ),
        ("application/merge-patch+json", role("same", json!(["*"]))),
        ("application/strategic-merge-patch+json", role("same", json!(["*"]))),
    ] {
        let request = Request::patch(format!("{ROLES}/same")).header("content-type", media);
        let request = request.body(patch.to_string().into_bytes()).unwrap();
        assert_eq!(send(&bot, request).await.0, 403, "{media}");
    }
    let mut applied = role("applied", json!(["delete"]));
    applied["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    applied["kind"] = json!("Role");
    for name in ["applied", "same"] {
        applied["metadata"]["name"] = json!(name);
        let request = Request::patch(format!("{ROLES}/{name}?fieldManager=m&force=true"))
            .header("content-type", "application/apply-patch+yaml");
        let request = request.body(applied.to_string().into_bytes()).unwrap();
        assert_eq!(send(&bot, request).await.0, 403, "{name}");
    }
    let put = Request::put(format!("{ROLES}/same")).header("content-type", "application/json");
    let put = put.body(role("same", json!(["delete"])).to_string().into_bytes()).unwrap();
    assert_eq!(send(&bot, put).await.0, 403);
    // Whoever holds the rights may change the rest.
    let label = Request::patch(format!("{ROLES}/same"))
        .header("content-type", "application/merge-patch+json")
        .body(json!({"metadata": {"labels": {"a": "b"}}}).to_string().into_bytes())
        .unwrap();
    assert_eq!(send(&bot, label).await.0, 200);
}

#[tokio::test]
async fn a_label_that_gathers_a_role_gives_nobody_its_rights() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let group = "rbac.authorization.k8s.io";
    let rules = json!([{"apiGroups": [group], "resources": ["clusterroles"], "verbs": ["patch", "create"]}]);
    let role = json!({"metadata": {"name": "editor"}, "rules": rules});
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let binding = json!({
        "metadata": {"name": "editor"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "editor"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}],
    });
    let binding = serde_json::from_value(binding).unwrap();
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let all = format!("/apis/{group}/v1/clusterroles");
    let label = json!({"metadata": {"labels": {format!("{group}/aggregate-to-view"): "true"}}});
    let patch = Request::patch(format!("{all}/cluster-admin"))
        .header("content-type", "application/merge-patch+json")
        .body(label.to_string().into_bytes())
        .unwrap();
    assert_eq!(send(&bot, patch).await.0, 403);
    let gathers = json!({
        "metadata": {"name": "gathers"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        "rules": [],
    });
    let (code, body) = send(&bot, post(&all, &gathers)).await;
    let message = body["message"].as_str().unwrap();
    assert_eq!(code, 403);
    assert!(
        message.ends_with("must have cluster-admin privileges to use the aggregationRule"),
        "{message}"
    );
}

#[tokio::test]
async fn nobody_binds_a_role_that_can_do_more_than_they() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let group = "rbac.authorization.k8s.io";
    grant(&admin, "bot", json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [group], "resources": ["rolebindings"], "verbs": ["create", "update", "patch"]},
        {"apiGroups": [group], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": ["view"]},
    ]))
    .await;
    let binding = |name: &str, role: &str| {
        json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}],
        })
    };
    let (code, body) = send(&bot, post(BINDINGS, &binding("up", "cluster-admin"))).await;
    let message = body["message"].as_str().unwrap();
    assert_eq!(code, 403, "{message}");
    assert!(message.contains(
        "is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"*\"]"
    ));
    let (code, body) = send(&bot, post(BINDINGS, &binding("gone", "gone"))).await;
    assert_eq!(
        (code, body["message"].as_str()),
        (404, Some("clusterrole.rbac.authorization.k8s.io \"gone\" not found"))
    );
    // It may bind this one, which is all that it needs then.
    assert_eq!(send(&bot, post(BINDINGS, &binding("view", "view"))).await.0, 201);
    assert_eq!(send(&bot, get("/api/v1/namespaces/default/configmaps")).await.0, 200);
    assert_eq!(send(&bot, get("/api/v1/namespaces/default/secrets")).await.0, 403);
}

#[tokio::test]
async fn acting_as_somebody_else_is_a_right_of_its_own() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who = |headers: &[(&str, &str)]| {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        request.body(review.to_string().into_bytes()).unwrap()
    };
    let (code, body) = send(&bot, who(&[("impersonate-user", "jane")])).await;
    assert_eq!(
        (code, body["message"].as_str()),
        (
            403,
            Some(
                "selfsubjectreviews.authentication.k8s.io is forbidden: User \"system:serviceaccount:default:bot\" cannot impersonate-on:user-info:create resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope",
            )
        )
    );
    let (code, body) = send(
        &admin,
        who(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "dev"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-acme.com%2Fproject", "one"),
            ("impersonate-extra-acme.com%2fproject", "two"),
        ]),
    )
    .await;
    assert_eq!(code, 201, "{body}");
    assert_eq!(
        body["status"]["userInfo"],
        json!({
            "username": "jane",
            "uid": "7",
            "groups": ["dev", "system:authenticated"],
            "extra": {"acme.com/project": ["one", "two"]},
        })
    );
    let account = "system:serviceaccount:default:bot";
    let (_, body) = send(&admin, who(&[("impersonate-user", account)])).await;
    let groups =
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(body["status"]["userInfo"]["groups"], groups);
    // The right to act as some does not make an admin.
    let (code, _) = send(&admin, who(&[("impersonate-user", "system:anonymous")])).await;
    assert_eq!(code, 403);
    for headers in [
        &[("impersonate-group", "system:masters")][..],
        &[("impersonate-uid", "7")],
        &[("impersonate-user", ""), ("impersonate-group", "x")],
    ] {
        let (code, body) = send(&admin, who(headers)).await;
        assert_eq!(code, 400, "{headers:?}");
        assert!(body["message"].as_str().unwrap().ends_with("without impersonating a user name"));
    }
    let raw = Request::post(path)
        .header("impersonate-user", http::HeaderValue::from_bytes(b"\xff\xfe").unwrap())
        .body(Vec::new())
        .unwrap();
    assert!(send(&admin, raw).await.0 < 500);
}

#[tokio::test]
async fn acting_as_somebody_else_can_be_a_right_for_one_verb() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let bot = served.bearer(&token_for(&admin, "bot").await).await;
    let (group, subject) = ("rbac.authorization.k8s.io", "bot");
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let role = json!({"metadata": {"name": "as-jane"}, "rules": [
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["users"],
            "resourceNames": ["jane"],
            "verbs": ["impersonate:user-info"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["impersonate-on:user-info:list"]},
    ]});
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    for (role, subject) in [
        ("as-jane", json!({"kind": "ServiceAccount", "name": subject, "namespace": "default"})),
        ("cluster-admin", json!({"kind": "User", "name": "jane", "apiGroup": group})),
    ] {
        let binding = json!({
            "metadata": {"name": format!("test-{role}")},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        });
        let binding = serde_json::from_value(binding).unwrap();
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }
    for (user, path, code) in [
        ("jane", "pods", 200),
        ("jane", "secrets", 403),
        ("jane", "pods/gone", 403),
        ("joe", "pods", 403),
        ("", "pods", 403),
    ] {
        let request = Request::get(format!("/api/v1/namespaces/default/{path}"));
        let request = request.header("impersonate-user", user).body(Vec::new()).unwrap();
        assert_eq!(send(&bot, request).await.0, code, "{user} {path}");
    }
}

#[tokio::test]
async fn a_role_that_gathers_others_follows_them() {
    let served = Served::start(enforced()).await;
    let admin = served.client(|_| {}).await;
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let make = |value: Value| serde_json::from_value::<ClusterRole>(value).unwrap();
    let part = make(json!({
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}],
    }));
    roles.create(&PostParams::default(), &part).await.unwrap();
    let has = |role: Option<&ClusterRole>| {
        role.and_then(|role| role.rules.as_ref()).is_some_and(|rules| {
            rules.iter().any(|rule| rule.resources.as_ref().is_some_and(|all| all[0] == "widgets"))
        })
    };
    for name in ["view", "edit", "admin"] {
        timeout(PATIENCE, await_condition(roles.clone(), name, has)).await.expect(name).unwrap();
    }
    roles.delete("widgets", &DeleteParams::default()).await.unwrap();
    let lacks = move |role: Option<&ClusterRole>| !has(role);
    timeout(PATIENCE, await_condition(roles, "admin", lacks)).await.expect("it goes").unwrap();
}
