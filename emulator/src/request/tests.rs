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
    assert!(
        request.headers(Some(&project)).unwrap_err().to_string().contains("unknown placeholder")
    );
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
    assert_eq!(headers["x-hub-signature-256"], signature::sign_github("new", &request.body));
    assert_eq!(headers["x-registry-token"], "new");
}
