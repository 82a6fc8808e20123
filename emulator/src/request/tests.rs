//! Tests of recorded requests.

use runtime::project::values;

use super::*;

const FILE: &str = "# A comment\n\nPOST /events/github?x=1 HTTP/1.1\nContent-Type: application/json\n\
                    x-hub-signature-256: {{signature}}\n\n{\"a\": 1,\n\n \"b\": 2}\n\n### the next\nGET /healthz\n";

#[test]
fn a_file_holds_requests() {
    let requests = parse(FILE).unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", "/events/github?x=1")
    );
    assert_eq!(requests[0].body, "{\"a\": 1,\n\n \"b\": 2}\n");
    assert_eq!((requests[1].method.as_str(), requests[1].body.len()), ("GET", 0));
}

#[test]
fn a_body_is_signed_with_the_projects_secret() {
    let request = &parse("POST / HTTP/1.1\nx-hub-signature-256: {{signature}}\n\nHello, World!\n")
        .unwrap()[0];
    let yaml = "project: a/b\nsharedSecret: \"It's a Secret to Everybody\"";
    let (project, _) = values::read(yaml, "default").unwrap();
    assert_eq!(
        request.headers(Some(&project)).unwrap()["x-hub-signature-256"],
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    assert!(request.headers(None).is_err());
}

#[test]
fn what_is_no_request_is_explained() {
    for (text, error) in [
        ("", "there is no request in it"),
        ("# only words\n", "there is no request in it"),
        ("POST\n", "line 1: a request begins with a method and a path, POST /events/github"),
        ("\nPO ST /x\n", "line 2: a request begins with a method and a path, POST /events/github"),
        ("POST /x\nno colon\n", "line 2: a header is a name, a colon and a value"),
        ("GET /x\n###\nGET /y\nb@d: 1\n", "line 4: \"b@d\" is no header"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), error, "{text:?}");
    }
}

#[test]
fn an_unknown_placeholder_is_an_error() {
    let request = &parse("GET /x\nauthorization: {{tokn}}\n").unwrap()[0];
    let (project, _) = values::read("project: a/b", "default").unwrap();
    let error = format!("{:#}", request.headers(Some(&project)).unwrap_err());
    assert!(error.contains("{{tokn}} is an unknown placeholder"), "{error}");
}

#[test]
fn a_secret_that_is_being_rotated_signs_with_its_first_line() {
    let request = &parse(
        "POST / HTTP/1.1\nx-hub-signature-256: {{signature}}\nx-registry-token: {{token}}\n\n{}\n",
    )
    .unwrap()[0];
    let (project, _) =
        values::read("project: a/b\nsharedSecret: \"new\\nold\"", "default").unwrap();
    let headers = request.headers(Some(&project)).unwrap();
    let signed = runtime::signature::sign_github("new", &request.body);
    assert_eq!(headers["x-hub-signature-256"], signed);
    assert_eq!(headers["x-registry-token"], "new");
}

#[test]
fn every_senders_signature_is_made_by_its_header() {
    let yaml = "project: a/b\nsharedSecret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n\
                slack: {signingSecret: ahoy}\n";
    let (project, _) = values::read(yaml, "default").unwrap();
    let now = Timestamp::now();
    let shared = Secrets::of(&project.shared_secret);
    for (scheme, before) in [
        (scheme::GITHUB, ""),
        (scheme::GITHUB_SHA1, ""),
        (scheme::BITBUCKET, "x-event-key: repo:push\n"),
        (scheme::GITEA, ""),
        (scheme::FORGEJO, ""),
        (scheme::GOGS, ""),
        (scheme::SLACK, "x-slack-request-timestamp: {{timestamp}}\n"),
        (scheme::STANDARD_WEBHOOKS, "webhook-timestamp: {{timestamp}}\nwebhook-id: msg_1\n"),
    ] {
        // The headers that are signed may come after the signature.
        let text =
            format!("POST / HTTP/1.1\n{}: {{{{signature}}}}\n{before}\n{{}}\n", scheme.header);
        let request = &parse(&text).unwrap()[0];
        let headers = request.headers(Some(&project)).unwrap();
        let slack = Secrets::of(&project.slack_signing_secret);
        let secrets = if scheme == scheme::SLACK { &slack } else { &shared };
        assert_eq!(scheme.verify(secrets, &headers, &request.body, now), Ok(()), "{scheme:?}");
    }
    let text = "POST / HTTP/1.1\nx-gitlab-token: {{signature}}\n\n{}\n";
    let headers = parse(text).unwrap()[0].headers(Some(&project)).unwrap();
    assert_eq!(headers["x-gitlab-token"], shared.current().unwrap());
}

#[test]
fn secrets_may_be_in_the_path() {
    let yaml = "project: a/b\nsharedSecret: s\ngenericGatewaySecret: g\nsecrets: {vsts: 'a/b?'}\n";
    let (project, _) = values::read(yaml, "default").unwrap();
    let path = |path: &str| {
        let request = parse(&format!("POST {path}\n")).unwrap().remove(0);
        request.addressed(Some(&project)).map(|request| request.path)
    };
    assert_eq!(path("/x/{{secrets.vsts}}/{{token}}?t={{token}}").unwrap(), "/x/a%2Fb%3F/g?t=g");
    assert_eq!(path("/x").unwrap(), "/x");
    for unknown in ["/{{secrets.other}}", "/{{signature}}", "/{{token"] {
        assert!(path(unknown).is_err(), "{unknown}");
    }
}
