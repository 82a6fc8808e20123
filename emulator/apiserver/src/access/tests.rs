//! Decisions in tables, and tokens that are none.

use proptest::{proptest, string::string_regex};

use super::rules::{Rule, missing};
use super::tokens::{Tokens, account_of};
use super::*;
use crate::store::Store;

fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    let list = |text: &str| -> Vec<String> {
        match text {
            "" => Vec::new(),
            text => text.split(',').map(|one| one.replace("core", "")).collect(),
        }
    };
    Rule {
        verbs: list(verbs),
        groups: list(groups),
        resources: list(resources),
        names: list(names),
        paths: Vec::new(),
    }
}

fn wanted(request: &str) -> Attributes {
    let (method, uri) = request.split_once(' ').unwrap();
    let uri: http::Uri = uri.parse().unwrap();
    let query = Query::parse(uri.query().unwrap_or_default());
    Attributes::of(&method.parse().unwrap(), uri.path(), &query)
}

#[test]
fn requests_are_verbs_on_resources_or_on_paths() {
    for (request, expected) in [
        ("GET /api/v1/pods", "list  pods   "),
        ("GET /api/v1/pods?watch=true", "watch  pods   "),
        ("GET /api/v1/pods?watch=0", "list  pods   "),
        ("GET /api/v1/watch/namespaces/x/pods", "watch  pods  x "),
        ("GET /api/v1/namespaces/x/pods/a", "get  pods  x a"),
        ("GET /api/v1/namespaces/x/pods/a?watch=1", "get  pods  x a"),
        ("GET /api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Da", "list  pods  x a"),
        ("GET /api/v1/namespaces/x/pods?fieldSelector=metadata.name!%3Da", "list  pods  x "),
        ("GET /api/v1/namespaces/x/pods/a/log", "get  pods log x a"),
        ("POST /api/v1/namespaces/x/pods/a/exec", "create  pods exec x a"),
        ("POST /apis/batch/v1/namespaces/x/jobs", "create batch jobs  x "),
        ("PUT /apis/apps/v1/namespaces/x/deployments/a/scale", "update apps deployments scale x a"),
        ("PATCH /apis/batch/v1/namespaces/x/jobs/a", "patch batch jobs  x a"),
        ("DELETE /api/v1/namespaces/x/pods", "deletecollection  pods  x "),
        ("DELETE /api/v1/namespaces/x/pods/a", "delete  pods  x a"),
        ("GET /api/v1/namespaces/x", "get  namespaces  x x"),
        ("PUT /api/v1/namespaces/x/finalize", "update  namespaces finalize x x"),
        ("GET /api/v1/namespaces/x/", "get  namespaces  x x"),
        ("GET /apis/no.such/v1/things/%61", "get no.such things   a"),
        ("GET /api/v1/namespaces/x%2fpods", "get  namespaces  x/pods x/pods"),
    ] {
        let found = wanted(request);
        let Attributes { verb, group, resource, subresource, namespace, name, path, .. } = &found;
        let shown = format!("{verb} {group} {resource} {subresource} {namespace} {name}");
        assert_eq!(shown, expected, "{request}");
        assert_eq!(*path, None, "{request}");
    }
    for (request, verb, path) in [
        ("GET /", "get", "/"),
        ("GET /api/v1", "get", "/api/v1"),
        ("GET /apis/batch/v1/", "get", "/apis/batch/v1/"),
        ("POST /version", "post", "/version"),
    ] {
        let found = wanted(request);
        assert_eq!((found.verb.as_str(), found.path.as_deref()), (verb, Some(path)), "{request}");
    }
}

#[test]
fn a_rule_allows_what_it_says_and_nothing_more() {
    let pods = rule("get,list", "core", "pods,pods/log", "");
    let one = rule("get", "core", "secrets", "mine");
    let scales = rule("*", "*", "*/scale", "");
    let all = rule("*", "*", "*", "");
    for (rule, request, expected) in [
        (&pods, "GET /api/v1/namespaces/x/pods/a", true),
        (&pods, "GET /api/v1/namespaces/x/pods", true),
        (&pods, "GET /api/v1/namespaces/x/pods?watch=1", false),
        (&pods, "GET /api/v1/namespaces/x/pods/a/log", true),
        (&pods, "GET /api/v1/namespaces/x/pods/a/exec", false),
        (&pods, "DELETE /api/v1/namespaces/x/pods/a", false),
        (&pods, "GET /apis/metrics.k8s.io/v1/namespaces/x/pods/a", false),
        (&pods, "GET /api", false),
        (&one, "GET /api/v1/namespaces/x/secrets/mine", true),
        (&one, "GET /api/v1/namespaces/x/secrets/other", false),
        (&one, "GET /api/v1/namespaces/x/secrets", false),
        (&scales, "GET /apis/apps/v1/namespaces/x/deployments/a/scale", true),
        (&scales, "GET /apis/apps/v1/namespaces/x/deployments/a", false),
        (&all, "DELETE /apis/apps/v1/namespaces/x/deployments/a", true),
        (&all, "GET /api/v1/namespaces/x/pods/a/log", true),
        (&all, "GET /metrics", false),
    ] {
        assert_eq!(rule.allows(&wanted(request)), expected, "{rule:?} {request}");
    }
    let paths = |paths: &[&str]| Rule {
        verbs: vec!["get".to_owned()],
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Rule::default()
    };
    for (patterns, request, expected) in [
        (&["/healthz"][..], "GET /healthz", true),
        (&["/healthz"], "GET /healthz/etcd", false),
        (&["/healthz/*"], "GET /healthz/etcd", true),
        (&["/healthz/*"], "GET /healthz", false),
        (&["*"], "GET /anything", true),
        (&["*"], "POST /anything", false),
        (&["*"], "GET /api/v1/pods", false),
    ] {
        assert_eq!(paths(patterns).allows(&wanted(request)), expected, "{patterns:?} {request}");
    }
}

#[test]
fn rights_that_are_not_held_are_named_together() {
    let held = [rule("get,list", "core", "pods", ""), rule("get", "core", "secrets", "mine")];
    for (asked, expected) in [
        (rule("get", "core", "pods", ""), vec![]),
        (rule("get", "core", "pods", "a"), vec![]),
        (rule("get", "core", "secrets", "mine"), vec![]),
        (
            rule("get", "core", "secrets", ""),
            vec![r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
        ),
        (
            rule("get,watch,delete", "core", "pods", ""),
            vec![r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}"#],
        ),
        (rule("*", "*", "*", ""), vec![r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#]),
        (
            rule("get", "core", "pods/log", ""),
            vec![r#"{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}"#],
        ),
    ] {
        assert_eq!(missing(&held, std::slice::from_ref(&asked)), expected, "{asked:?}");
    }
    assert_eq!(missing(&Rule::everything(), &Rule::everything()), Vec::<String>::new());
    assert_eq!(missing(&[rule("*", "*", "*", "")], &Rule::everything()).len(), 1);
}

#[test]
fn the_policy_of_every_cluster_is_whole() {
    let objects = policy::objects();
    let named = |name: &str| {
        let found = objects.iter().find(|one| one["metadata"]["name"] == name);
        found.map(Rule::of).unwrap_or_default()
    };
    let allows = |role: &str, request: &str| {
        let wanted = wanted(request);
        named(role).iter().any(|rule| rule.allows(&wanted))
    };
    assert!(allows("view", "GET /api/v1/namespaces/x/pods/a/log"));
    assert!(!allows("view", "GET /api/v1/namespaces/x/secrets/a"));
    assert!(allows("edit", "GET /api/v1/namespaces/x/secrets/a"));
    assert!(allows("edit", "GET /api/v1/namespaces/x/pods"));
    assert!(!allows("edit", "POST /apis/rbac.authorization.k8s.io/v1/namespaces/x/roles"));
    assert!(allows("admin", "POST /apis/rbac.authorization.k8s.io/v1/namespaces/x/roles"));
    assert!(allows("admin", "GET /api/v1/namespaces/x/configmaps"));
    assert!(allows("cluster-admin", "DELETE /api/v1/nodes/a"));
    // What is bound is there, but for the roles that nobody has by default.
    for binding in objects.iter().filter(|one| one["kind"] == "ClusterRoleBinding") {
        let role = binding["roleRef"]["name"].as_str().unwrap();
        assert!(!named(role).is_empty(), "{role}");
    }
}

fn tokens() -> (Tokens, Store) {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    (Tokens::new(&key).unwrap(), Store::new(10))
}

fn account(store: &Store) -> String {
    let uid = "7a2b3c4d-0000-4000-8000-000000000000";
    let value = json!({"metadata": {"name": "bot", "namespace": "x", "uid": uid}});
    store.create("serviceaccounts", crate::store::Key::new("x", "bot"), value, false).unwrap();
    uid.to_owned()
}

fn claims(uid: &str, change: impl FnOnce(&mut Value)) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": ISSUER, "aud": [ISSUER], "iat": now, "nbf": now, "exp": now + 600, "jti": "j",
        "sub": "system:serviceaccount:x:bot",
        "kubernetes.io": {"namespace": "x", "serviceaccount": {"name": "bot", "uid": uid}},
    });
    change(&mut claims);
    claims
}

#[test]
fn a_token_is_good_for_its_time_its_audience_and_its_account() {
    let (tokens, store) = tokens();
    let uid = account(&store);
    let good = tokens.sign(&claims(&uid, |_| {}));
    let verified = tokens.verify(&store, &good, &[]).map_err(|error| error.0).unwrap();
    assert_eq!(verified.user.name, "system:serviceaccount:x:bot");
    let groups = ["system:serviceaccounts", "system:serviceaccounts:x", "system:authenticated"];
    assert_eq!(verified.user.groups, groups);
    assert_eq!(verified.user.extra[CREDENTIAL], ["JTI=j"]);
    let long_ago = jiff::Timestamp::now().as_second() - 3600;
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 7] = [
        (&|claims| claims["exp"] = json!(long_ago), "has expired"),
        (&|claims| claims["exp"] = Value::Null, "has expired"),
        (&|claims| claims["nbf"] = json!(long_ago + 7200), "not valid yet"),
        (&|claims| claims["aud"] = json!(["vault"]), "invalid for the target audiences"),
        (&|claims| claims["iss"] = json!("https://example.com"), "invalid bearer token"),
        (&|claims| claims["kubernetes.io"]["serviceaccount"]["uid"] = json!("u"), "does not match"),
        (
            &|claims| claims["kubernetes.io"]["pod"] = json!({"name": "gone", "uid": "p"}),
            "has been invalidated",
        ),
    ];
    for (change, expected) in cases {
        let token = tokens.sign(&claims(&uid, change));
        let refused = tokens.verify(&store, &token, &[]).err().unwrap().0;
        assert!(refused.contains(expected), "{refused}");
    }
    let for_vault = tokens.sign(&claims(&uid, |claims| claims["aud"] = json!(["vault"])));
    assert!(tokens.verify(&store, &for_vault, &["vault".to_owned()]).is_ok());
    let other = self::tokens().0.sign(&claims(&uid, |_| {}));
    assert!(tokens.verify(&store, &other, &[]).is_err(), "another server's");
}

#[test]
fn a_token_without_our_signature_is_none() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (tokens, store) = tokens();
    let uid = account(&store);
    let good = tokens.sign(&claims(&uid, |_| {}));
    let parts: Vec<&str> = good.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let symmetric = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let claims =
        URL_SAFE_NO_PAD.encode(claims(&uid, |claims| claims["jti"] = json!("k")).to_string());
    for bad in [
        String::new(),
        ".".to_owned(),
        "...".to_owned(),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{symmetric}.{}.{}", parts[1], parts[2]),
        format!("{}.{claims}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{good}A"),
        "a".repeat(1 << 20),
    ] {
        assert!(tokens.verify(&store, &bad, &[]).is_err(), "{bad:.80}");
    }
    assert!(tokens.verify(&store, &good, &[]).is_ok());
}

#[test]
fn no_text_is_a_token_by_chance() {
    let (tokens, store) = tokens();
    let uid = account(&store);
    let good = tokens.sign(&claims(&uid, |_| {}));
    proptest!(|(text in string_regex("[A-Za-z0-9_.=-]{0,200}").unwrap(), at in 0..good.len())| {
        assert!(tokens.verify(&store, &text, &[]).is_err());
        // Nor is a good one with a letter changed.
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last letter holds bits that count for nothing; such a text is refused, too.
        assert!(tokens.verify(&store, &changed, &[]).is_err(), "{}", changed);
    });
}

#[test]
fn only_a_whole_name_is_a_service_account() {
    assert_eq!(account_of("system:serviceaccount:x:bot"), Some(("x", "bot")));
    for name in [
        "bot",
        "system:serviceaccount:x",
        "system:serviceaccount::bot",
        "system:serviceaccount:x:a:b",
    ] {
        assert_eq!(account_of(name), None, "{name}");
    }
}
