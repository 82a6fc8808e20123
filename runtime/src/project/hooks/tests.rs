//! Rules, as they are written and as they are refused.

use serde_json::json;

use super::*;
use crate::project::{Project, values};

fn secrets() -> Map<String, Value> {
    json!({"SHOP": "s3cr3t", "BLANK": " ", "LIST": [1]}).as_object().unwrap().clone()
}

fn read(value: Value) -> Result<Hook, String> {
    let hooks = Hooks::read(&json!([value]), &secrets()).map_err(|error| error.to_string())?;
    let again = Hooks::parse(hooks.json(), &secrets()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{hooks:?}"));
    Ok(hooks.own[0].clone())
}

#[test]
fn a_rule_is_read_with_all_that_it_may_have() {
    let hook = read(json!({
        "name": "shop", "event": {"from": ["/type", "body:/type"], "default": "order"},
        "action": "/status", "revision": {"ref": "refs/heads/main", "commit": {"from": "/sha"}},
        "identity": ["/id", "body:/batch"], "each": "/orders", "title": "An order",
        "time": "/at", "when": {"/test": false, "body:/country": ["DE", null, 7]},
        "proof": {"type": "hmac-sha1", "header": "X-Sign", "prefix": "v0=", "encoding": "base64"},
        "secret": "SHOP",
    }))
    .unwrap();
    let shown = |text: &Option<Text>| {
        let text = text.clone().unwrap_or_default();
        let places: Vec<String> = text.places.iter().map(Place::to_string).collect();
        format!("{} {:?}", places.join(" "), text.default)
    };
    assert_eq!(shown(&Some(hook.event)), r#"/type body:/type Some("order")"#);
    assert_eq!(shown(&hook.action), "/status None");
    assert_eq!(shown(&hook.reference), r#" Some("refs/heads/main")"#);
    assert_eq!(shown(&hook.commit), "/sha None");
    assert_eq!(shown(&hook.title), r#" Some("An order")"#);
    assert_eq!(hook.each.as_deref(), Some("/orders"));
    assert_eq!(hook.identity, [Place::Element("/id".into()), Place::Body("/batch".into())]);
    let conditions = hook.when.iter();
    let when: Vec<String> = conditions.map(|is| format!("{} {:?}", is.place, is.one_of)).collect();
    assert_eq!(when, [r#"/test ["false"]"#, r#"body:/country ["DE", "", "7"]"#]);
    let scheme = hook.proof.scheme().unwrap();
    assert_eq!((scheme.header, scheme.prefix), ("x-sign", "v0="));
    assert_eq!((scheme.algorithm, scheme.encoding), (Algorithm::Sha1, Encoding::Base64));
    assert!(!format!("{:?}", hook.secret).contains("s3cr3t"));
}

#[test]
fn a_sender_proves_itself_in_one_of_four_ways() {
    let proof = |proof: Value| {
        read(json!({"name": "x", "event": "x", "proof": proof})).map(|hook| hook.proof)
    };
    assert_eq!(proof(Value::Null), Ok(Proof::Token));
    assert_eq!(proof(json!("token")), Ok(Proof::Token));
    let named = json!({"name": "x", "event": "x", "identity": "header:webhook-id",
                       "proof": "standard-webhooks"});
    assert_eq!(read(named).unwrap().identity.len(), 1);
    let header = Proof::Header(HeaderName::from_static("x-key"));
    assert_eq!(proof(json!({"type": "token", "header": "X-Key"})), Ok(header));
    assert_eq!(proof(json!("standard-webhooks")), Ok(Proof::StandardWebhooks));
    assert_eq!(Proof::StandardWebhooks.scheme(), Some(STANDARD_WEBHOOKS));
    let found =
        proof(json!({"type": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="}));
    assert_eq!(found.unwrap().scheme(), Some(crate::signature::scheme::GITHUB));
}

#[test]
fn a_header_counts_only_where_the_sender_has_proved_it() {
    let hmac = json!({"type": "hmac-sha256", "header": "x-sign"});
    let read = |proof: &Value, key: &str, value: Value| {
        let mut rule = json!({"name": "x", "event": "x", "proof": proof});
        rule[key] = value;
        read(rule)
    };
    for (key, of) in [
        ("event", json!("header:NAME")),
        ("event", json!({"from": ["/type", "header:NAME"], "default": "x"})),
        ("action", json!("header:NAME")),
        ("when", json!({"header:NAME": "x"})),
        ("identity", json!("header:NAME")),
        ("revision", json!({"ref": "header:NAME"})),
        ("revision", json!({"commit": "header:NAME"})),
        ("time", json!("header:NAME")),
    ] {
        let named =
            |name: &str| serde_json::from_str(&of.to_string().replace("NAME", name)).unwrap();
        for proof in [&hmac, &json!("standard-webhooks")] {
            let error = read(proof, key, named("x-topic")).unwrap_err();
            assert!(error.contains("the header x-topic, which is not signed"), "{key}: {error}");
        }
        assert!(read(&json!("standard-webhooks"), key, named("webhook-id")).is_ok(), "{key}");
        for proof in [json!("token"), json!({"type": "token", "header": "x-key"})] {
            assert!(read(&proof, key, named("x-topic")).is_ok(), "{key}");
        }
    }
    assert!(read(&hmac, "title", json!("header:x-topic")).is_ok());
}

#[test]
fn what_is_wrong_with_a_rule_is_said_with_its_name() {
    let whole = |more: Value| {
        let mut rule = json!({"name": "x", "event": "x"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(rule).unwrap_err()
    };
    for (more, problem) in [
        (json!({"evnt": 1}), "is wrong: unknown field `evnt`, expected one of `name`, `event`"),
        (
            json!({"name": "X y"}),
            "has a name that is not 1 to 63 small letters, digits and hyphens",
        ),
        (json!({"event": null}), "has no event"),
        (json!({"event": ""}), "has an event without a name"),
        (json!({"event": 7}), "has \"event\", which is neither a text nor a mapping"),
        (json!({"event": {}}), "has \"event\", which has neither from nor default"),
        (json!({"event": {"form": "/x"}}), "has \"event\", which is wrong: unknown field `form`"),
        (json!({"event": "/~x"}), "has \"event\", which is \"/~x\", and no JSON pointer"),
        (json!({"action": "header:a b"}), "which has \"header:a b\", which is no header"),
        (json!({"revision": {"branch": "x"}}), "is wrong: unknown field `branch`"),
        (json!({"identity": ["id"]}), "has an identity that has \"id\", which is no place"),
        (json!({"each": "alerts"}), "has \"each\", which is \"alerts\", and no JSON pointer"),
        (json!({"when": {"status": 1}}), "has a condition \"status\" that is no place"),
        (json!({"when": {"/status": []}}), "that is neither a value nor a list of values"),
        (json!({"when": {"/status": {"is": 1}}}), "that is neither a value nor a list of values"),
        (json!({"proof": "none"}), "has a proof by \"none\": it must be token, hmac-sha256"),
        (json!({"proof": "hmac-sha256"}), "has a proof by an HMAC, and no header that has it"),
        (
            json!({"proof": {"type": "token", "prefix": "x"}}),
            "has a proof by token, which has only",
        ),
        (
            json!({"proof": {"type": "standard-webhooks", "header": "x"}}),
            "which has its own header",
        ),
        (
            json!({"proof": {"type": "hmac-sha256", "header": "x", "encoding": "base32"}}),
            "has a proof in \"base32\": it must be hex or base64",
        ),
        (
            json!({"proof": {"type": "hmac-sha256", "header": "x"}, "identity": ["header:y"]}),
            "takes what is built, or whether, from the header y, which is not signed",
        ),
        (
            json!({"secret": "NONE"}),
            "has a `secret` that is not the key of a text in the project's secrets",
        ),
        (json!({"secret": "BLANK"}), "has a `secret` that is not"),
        (json!({"secret": "LIST"}), "has a `secret` that is not"),
    ] {
        let error = whole(more);
        assert!(error.starts_with("the hook ") && error.contains(problem), "{error}");
    }
    let all = |value: Value| Hooks::read(&value, &secrets()).unwrap_err().to_string();
    assert_eq!(all(json!({})), "the hook list must be a list of rules");
    let rule = json!({"name": "x", "event": "x"});
    assert_eq!(all(json!([rule, rule])), "the hook \"x\" is there twice");
    assert!(all(json!([{"event": "x"}])).starts_with("the hook number 1 is wrong: missing field"));
    assert_eq!(all(json!(vec![0; 101])), "the hook list has more than 100 rules");
    let broken = Hooks::parse("[{", &secrets()).unwrap_err().to_string();
    assert_eq!(broken, "the hook list is not JSON (line 1, column 2)");
}

#[test]
fn rules_go_from_a_values_file_to_the_secret_and_back() {
    let yaml = "project: a/b\nsharedSecret: s\nsecrets: {SHOP: x}\nhooks:\n\
                - {name: shop, event: order, when: {/test: false}, secret: SHOP}\n";
    let (project, warnings) = values::read(yaml, "default").unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let again = Project::from_secret(&project.secret()).unwrap();
    assert_eq!(again.hooks.find("shop").unwrap().when[0].one_of, ["false"]);
    assert!(again.hooks.find("other").is_none());
    let broken = values::read("project: a/b\nhooks: [{name: shop}]\n", "default").unwrap_err();
    assert_eq!(broken.to_string(), "the hook \"shop\" is wrong: missing field `event`");
    let none = values::read("project: a/b\n", "default").unwrap().0.secret();
    assert!(!none.data.unwrap().contains_key("hooks"));
}

#[test]
fn every_project_understands_alertmanager_unless_it_has_a_rule_of_its_own() {
    let found = Hooks::default().find("alertmanager").unwrap();
    assert_eq!(found.each.as_deref(), Some("/alerts"));
    let own = Hooks::read(&json!([{"name": "alertmanager", "event": "group"}]), &secrets());
    assert_eq!(own.unwrap().find("alertmanager").unwrap().each, None);
}
