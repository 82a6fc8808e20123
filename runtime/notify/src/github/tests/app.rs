//! Who tells GitHub: a project's App, the operator's, or whoever a token is of.

use runtime::github::App;
use wiremock::matchers::body_json;

use super::*;

/// A key that was made for tests, and opens nothing.
const KEY: &str = include_str!("../../../../../functions/src/tests/github/app.pkcs8.pem");

/// A GitHub with the App in a repository, which gives out tokens for these.
async fn installed(repositories: Value, expires: &str) -> MockServer {
    let server = github().await;
    Mock::given(method("GET"))
        .and(path("/repos/ocean/brig/installation"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": 55})))
        .mount(&server)
        .await;
    let token =
        json!({"token": "ghs_installation", "expires_at": expires, "repositories": repositories});
    Mock::given(method("POST"))
        .and(path("/app/installations/55/access_tokens"))
        .and(body_json(json!({"repositories": ["brig"], "permissions": {"checks": "write"}})))
        .respond_with(ResponseTemplate::new(201).set_body_json(token))
        .mount(&server)
        .await;
    server
}

fn brig() -> Value {
    json!([{"full_name": "Ocean/Brig"}])
}

async fn calls(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

/// The options of an operator. Each test has an App of its own: tokens are kept by Apps, and servers
/// of tests come back at the same address.
fn of_operator(id: u64, hosts: &[&str]) -> OutboxOptions {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let allowed_hosts = vec!["127.0.0.1".to_owned()];
    let app = Some(App { id, key: KEY.into(), hosts });
    OutboxOptions { app, allowed_hosts, ..OutboxOptions::default() }
}

fn plain() -> Notification {
    of(report(Moment::Started, "Running", Vec::new()))
}

async fn tell_by(
    options: OutboxOptions,
    settings: &[(&str, &str)],
    notification: &Notification,
) -> Result<Told, TellError> {
    tell(&variables(settings), notification, None, &Outbox::new(options)).await
}

#[tokio::test]
async fn an_app_proves_itself_and_keeps_its_token() {
    for of_project in [true, false] {
        let server = installed(brig(), "2099-01-01T00:00:00Z").await;
        let url = server.uri();
        let mut settings = vec![("GITHUB_BASE_URL", url.as_str())];
        let mut options = of_operator(10, &[]);
        if of_project {
            settings.extend([("APP_ID", " 11\n"), ("APP_KEY", KEY)]);
            options.app = None;
        }
        for _ in 0..2 {
            tell_by(options.clone(), &settings, &plain()).await.unwrap();
        }
        let [check, list] = ["check-runs", &format!("commits/{COMMIT}/check-runs")]
            .map(|path| format!("/repos/ocean/brig/{path}"));
        let (check, list) = (format!("POST {check}"), format!("GET {list}"));
        let first =
            ["GET /repos/ocean/brig/installation", "POST /app/installations/55/access_tokens"];
        let expected = [&first[..], &[&*list, &*check, &*list, &*check]].concat();
        assert_eq!(calls(&server).await, expected);
        let requests = server.received_requests().await.unwrap();
        let proof = |number: usize| requests[number].headers["authorization"].to_str().unwrap();
        assert!(proof(0).starts_with("Bearer eyJ") && proof(1).starts_with("Bearer eyJ"));
        assert_eq!(proof(2), "Bearer ghs_installation");
        assert_eq!(proof(3), "Bearer ghs_installation");
    }
}

#[tokio::test]
async fn a_token_that_ends_soon_is_not_kept() {
    let soon = jiff::Timestamp::now().saturating_add(jiff::SignedDuration::from_mins(5));
    let server = installed(brig(), &soon.unwrap().to_string()).await;
    let url = server.uri();
    for _ in 0..2 {
        let set = [("GITHUB_BASE_URL", url.as_str())];
        tell_by(of_operator(20, &[]), &set, &plain()).await.unwrap();
    }
    let tokens = calls(&server).await.into_iter().filter(|call| call.contains("access_tokens"));
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn who_has_no_app_in_the_repository_has_its_token() {
    let server = github().await;
    let url = server.uri();
    let base = ("GITHUB_BASE_URL", url.as_str());
    let error = tell_by(of_operator(30, &[]), &[base], &plain()).await.unwrap_err().to_string();
    assert!(error.contains("; install the App 30 in ocean/brig"), "{error}");
    tell_by(of_operator(30, &[]), &[base, TOKEN], &plain()).await.unwrap();
    assert_eq!(
        calls(&server).await.last().unwrap(),
        &format!("POST /repos/ocean/brig/statuses/{COMMIT}")
    );
}

#[tokio::test]
async fn the_operators_app_writes_to_the_projects_own_repository_only() {
    let server = github().await;
    let url = server.uri();
    let base = ("GITHUB_BASE_URL", url.as_str());
    let other = BuildReport { project: "acme/other".to_owned(), ..running() };
    let error = tell_by(of_operator(60, &[]), &[base], &of(other.clone())).await.unwrap_err();
    let said = "GitHub may not be told: the operator's App 60 writes to the repository that the \
                project is named after, which is not ocean/brig: set GITHUB_TOKEN";
    assert_eq!(error.to_string(), said);
    assert!(calls(&server).await.is_empty());
    // What is the project's writes where it can.
    tell_by(of_operator(60, &[]), &[base, TOKEN], &of(other)).await.unwrap();
    assert!(calls(&server).await.iter().all(|call| call.contains("/statuses/")));
}

#[tokio::test]
async fn a_token_that_was_withdrawn_is_not_used_again() {
    let server = installed(brig(), "2099-01-01T00:00:00Z").await;
    let refusal = ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"}));
    let list = wiremock::matchers::path_regex("/commits/");
    let once = Mock::given(method("GET")).and(list).respond_with(refusal).up_to_n_times(1);
    once.with_priority(1).mount(&server).await;
    let url = server.uri();
    let set = [("GITHUB_BASE_URL", url.as_str())];
    let error = tell_by(of_operator(70, &[]), &set, &plain()).await.unwrap_err();
    assert!(error.to_string().contains("401 Bad credentials"), "{error}");
    tell_by(of_operator(70, &[]), &set, &plain()).await.unwrap();
    let tokens = calls(&server).await.into_iter().filter(|call| call.contains("access_tokens"));
    assert_eq!(tokens.count(), 2);
}

#[test]
fn a_button_is_offered_where_its_app_is_heard_of() {
    let has_button = |options: OutboxOptions, settings: &[(&str, &str)]| {
        super::client::has_button(&variables(settings), &Outbox::new(options))
    };
    let known = || of_operator(7, &[]);
    assert!(has_button(known(), &[]) && has_button(known(), &[("APP_ID", " 7\n")]));
    assert!(!has_button(known(), &[("APP_ID", "8")]) && !has_button(known(), &[APP_TOKEN]));
    // Those who know none hear of all.
    for settings in [[("APP_ID", "8")], [APP_TOKEN]] {
        assert!(has_button(OutboxOptions::default(), &settings));
    }
    let report = report(Moment::Succeeded, "Succeeded", Vec::new());
    let mut parts = parts(&report, None);
    parts[0].has_button = false;
    assert!(super::super::check(&parts[0], &report, None, None).body.get("actions").is_none());
}

#[tokio::test]
async fn a_token_must_be_for_the_repository() {
    for repositories in [json!([]), json!([{"full_name": "ocean/other"}])] {
        let server = installed(repositories, "2099-01-01T00:00:00Z").await;
        let url = server.uri();
        let set = [("GITHUB_BASE_URL", url.as_str())];
        let error = tell_by(of_operator(40, &[]), &set, &plain()).await.unwrap_err();
        assert!(matches!(error, TellError::Refused { .. }), "{error}");
        assert_eq!(calls(&server).await.len(), 2);
    }
}

#[tokio::test]
async fn the_operators_app_proves_itself_to_its_own_github_only() {
    let evil = ("GITHUB_BASE_URL", "https://evil.example/api/v3");
    let dry = || OutboxOptions { dry_run: true, ..of_operator(50, &["github.acme.example"]) };
    let error = tell_by(dry(), &[evil], &plain()).await.unwrap_err();
    assert!(matches!(error, TellError::Forbidden { .. }), "{error}");
    // A project's own token may go where the project says.
    let outbox = Outbox::new(dry());
    let set = variables(&[evil, TOKEN]);
    tell(&set, &plain(), None, &outbox).await.unwrap();
    let withheld = outbox.withheld().join("\n");
    assert!(withheld.starts_with("POST https://evil.example/***"), "{withheld}");
    assert!(!withheld.contains("ghp_"), "{withheld}");
    // Who is dry asks nobody, not even for a token.
    let outbox = Outbox::new(dry());
    let set = variables(&[("GITHUB_BASE_URL", "https://github.acme.example/api/v3")]);
    tell(&set, &of(failed()), None, &outbox).await.unwrap();
    let withheld = outbox.withheld();
    assert_eq!(withheld.len(), 3);
    assert!(withheld.iter().all(|text| text.starts_with("POST https://github.acme.example/***")));
}

#[tokio::test]
async fn credentials_that_are_none_are_named() {
    for (settings, said) in [
        (
            vec![],
            "the variable GITHUB_TOKEN is not set, nor are GITHUB_APP_TOKEN, or APP_ID and APP_KEY",
        ),
        (vec![("APP_ID", "x")], "the variable APP_ID is not the number of a GitHub App"),
        (vec![("APP_ID", "7")], "the variable APP_KEY is not set"),
        (
            vec![("APP_ID", "7"), ("APP_KEY", "s3cret")],
            "the variable APP_KEY is no RSA key that signs, in PEM",
        ),
        (
            vec![("GITHUB_TOKEN", "s3\ncret")],
            "the variable GITHUB_TOKEN has characters that no token has",
        ),
        (
            vec![TOKEN, ("GITHUB_BASE_URL", "ftp://x")],
            "the variable GITHUB_BASE_URL is not the URL of an API, such as \
             https://github.example.com/api/v3",
        ),
        (
            vec![TOKEN, ("GITHUB_BASE_URL", "https://u:s3cret@x/")],
            "the variable GITHUB_BASE_URL is not the URL of an API, such as \
             https://github.example.com/api/v3",
        ),
    ] {
        let error = tell_by(OutboxOptions::default(), &settings, &plain()).await.unwrap_err();
        assert_eq!(error.to_string(), said);
    }
    let app_problem = Some("the variable APP_ID must be the number of a GitHub App".to_owned());
    let options = OutboxOptions { app_problem, ..OutboxOptions::default() };
    let error = tell_by(options, &[], &plain()).await.unwrap_err().to_string();
    assert!(
        error.ends_with(
            "; and of the operator's App, the variable APP_ID must be the number of a GitHub App"
        ),
        "{error}"
    );
}
