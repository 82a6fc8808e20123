//! Deliveries to a GitHub App, with a server that answers as GitHub does.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::api::DeleteParams;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::*;

/// A key that was made for these tests, and opens nothing.
const KEY: &str = include_str!("app.pkcs8.pem");

/// The same key in the form in which GitHub gives keys out.
const KEY_OF_GITHUB: &str = include_str!("app.pkcs1.pem");

const TOKEN: &str = "ghs_t0ken";
const HEAD: &str = "3333333333333333333333333333333333333333";

/// The settings of App 7.
fn app() -> Settings {
    Settings { app_id: Some(7), app_key: KEY.into(), inline: Inline::Never, ..calm() }
}

/// A GitHub, and a project that names it as its server.
async fn enterprise(settings: Settings) -> (World, MockServer) {
    let github = MockServer::start().await;
    let world = World::with(settings).await;
    let base = format!("{}/api/v3/", github.uri());
    world.project("ocean/brig", json!({"sharedSecret": SECRET, "github.baseURL": base})).await;
    (world, github)
}

/// A token as an installation has it for one of its repositories.
fn token(repositories: Value) -> Value {
    json!({
        "token": TOKEN,
        "expires_at": "2026-03-01T11:00:00Z",
        "permissions": {},
        "repositories": repositories,
    })
}

/// Lets an installation have a token for the project's repository, so many times.
async fn gives_tokens(github: &MockServer, times: u64) {
    let token = token(json!([repository()]));
    Mock::given(method("POST"))
        .and(path("/api/v3/app/installations/55/access_tokens"))
        .and(body_json(json!({"repositories": ["brig"]})))
        .respond_with(ResponseTemplate::new(201).set_body_json(token))
        .expect(times)
        .mount(github)
        .await;
}

fn repository() -> Value {
    json!({"id": 1, "full_name": "ocean/brig", "default_branch": "main"})
}

fn with_installation(mut body: Value) -> Value {
    body["repository"] = repository();
    body["installation"] = json!({"id": 55});
    body
}

fn check_suite(action: &str, app: u64) -> Value {
    json!({
        "action": action,
        "check_suite": {
            "id": 9,
            "head_branch": "main",
            "head_sha": HEAD,
            "app": {"id": app},
            "pull_requests": [],
            "updated_at": "2026-03-01T10:00:00Z",
        },
        "repository": repository(),
        "installation": {"id": 55},
    })
}

fn comment(text: &str, association: &str) -> Value {
    json!({
        "action": "created",
        "issue": {"number": 4, "title": "Trim", "pull_request": {"url": "https://x/"}},
        "comment": {"id": 1, "body": text, "author_association": association},
        "repository": repository(),
        "installation": {"id": 55},
    })
}

fn pull_request(action: &str) -> Value {
    json!({
        "action": action,
        "number": 4,
        "pull_request": {
            "number": 4,
            "author_association": "NONE",
            "head": {"sha": HEAD, "repo": {"id": 1}},
            "base": {"ref": "main", "repo": {"id": 1}},
        },
        "repository": repository(),
        "installation": {"id": 55},
    })
}

/// The payload of the one build that there is.
async fn payload(world: &World) -> Value {
    let builds = world.app.cluster.builds("default").await.unwrap();
    let [build] = &builds[..] else { panic!("{} builds", builds.len()) };
    serde_json::from_slice(&build.event.payload).unwrap()
}

#[tokio::test]
async fn a_check_suite_is_built_with_a_token_around_its_body() {
    for key in [KEY, KEY_OF_GITHUB] {
        let (world, github) = enterprise(Settings { app_key: key.into(), ..app() }).await;
        gives_tokens(&github, 1).await;
        let body = check_suite("requested", 7);
        let told = world.send(delivery("check_suite", body.to_string())).await;
        assert_eq!((told.code, &told.body["status"]), (200, &json!("Complete")), "{told:?}");
        assert_eq!(told.body["events"], json!(["check_suite", "check_suite:requested"]));
        assert!(!format!("{told:?}").contains(TOKEN), "{told:?}");
        let wrapped = json!({
            "type": "check_suite",
            "token": TOKEN,
            "tokenExpires": "2026-03-01T11:00:00Z",
            "body": body,
            "commit": HEAD,
            "branch": "main",
        });
        assert_eq!(payload(&world).await, wrapped);
        // What is delivered again was asked for before.
        let told = world.send(delivery("check_suite", body.to_string())).await;
        assert_eq!((told.code, &told.body["duplicate"]), (200, &json!(true)));
        assert!(!told.body.to_string().contains("token"), "{told:?}");
        assert_eq!(payload(&world).await, wrapped);
    }
}

#[tokio::test]
async fn of_two_builds_the_one_that_is_missing_is_made_again_with_a_token() {
    let settings = Settings { github_two_builds: true, ..app() };
    let (world, github) = enterprise(settings).await;
    gives_tokens(&github, 2).await;
    let request = || delivery("check_suite", check_suite("requested", 7).to_string());
    let told = world.send(request()).await;
    assert_eq!(told.code, 200, "{told:?}");
    let [_, second] = &told.builds()[..] else { panic!("{told:?}") };
    let secret = format!("brigade-worker-{second}");
    world.secrets().delete(&secret, &DeleteParams::default()).await.unwrap();
    // The third time there is nothing left to be asked for.
    for _ in 0..2 {
        assert_eq!(world.send(request()).await.code, 200);
        let builds = world.app.cluster.builds("default").await.unwrap();
        assert_eq!(builds.len(), 2);
        for build in builds {
            let payload: Value = serde_json::from_slice(&build.event.payload).unwrap();
            assert_eq!(payload["token"], TOKEN, "{}", build.event.kind);
        }
    }
}

#[tokio::test]
async fn the_log_has_no_token_and_no_key() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    let suites = ["requested", "rerequested"].map(|action| check_suite(action, 7).to_string());
    for (suite, name) in suites.into_iter().zip(["app-1", "app-2"]) {
        let mut request = delivery("check_suite", suite);
        logged::listen(&mut request, name);
        let told = world.send(request).await;
        let lines = logged::lines(name);
        let outcomes = logged::told(&lines);
        assert_eq!(outcomes.len(), 1, "{lines:?}");
        assert_eq!(outcomes[0]["http.status"], told.code);
        let log = lines.join("\n");
        assert!(!log.contains(TOKEN) && !log.contains("eyJ") && !log.contains("PRIVATE"), "{log}");
        // The second time GitHub refuses, and says what it should not.
        github.reset().await;
        let refusal = ResponseTemplate::new(401).set_body_string(TOKEN);
        Mock::given(method("POST")).respond_with(refusal).mount(&github).await;
    }
}

#[tokio::test]
async fn the_app_proves_itself_by_its_key() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    world.send(delivery("check_suite", check_suite("requested", 7).to_string())).await;
    let request = &github.received_requests().await.unwrap()[0];
    let header = |name: &str| request.headers[name].to_str().unwrap();
    assert_eq!(header("accept"), "application/vnd.github+json");
    assert_eq!(header("user-agent"), "brigantine");
    let statement = header("authorization").strip_prefix("Bearer ").unwrap();
    let (signed, signature) = statement.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    key.verify(signed.as_bytes(), &signature).unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(parts[1]["iss"], "7");
    let lives = parts[1]["exp"].as_i64().unwrap() - parts[1]["iat"].as_i64().unwrap();
    assert!(lives <= 600, "{lives}");
}

#[tokio::test]
async fn the_check_of_another_app_is_ignored_and_says_so() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 0).await;
    let run = |own: Value| {
        let suite = json!({"head_branch": "main", "head_sha": HEAD, "app": {"id": 8}});
        let run = json!({"id": 3, "app": own, "check_suite": suite});
        json!({"action": "created", "check_run": run, "repository": repository()})
    };
    for (event, body, what) in [
        ("check_suite", check_suite("requested", 8), "suite is of the GitHub App 8"),
        ("check_run", run(json!({"id": 8})), "run is of the GitHub App 8"),
        ("check_run", run(Value::Null), "run is of the GitHub App 8"),
    ] {
        let told = world.send(delivery(event, body.to_string())).await;
        let reason = format!("the check {what}, APP_ID is 7");
        let body = json!({"message": "Ignored", "project": "ocean/brig", "reason": reason});
        assert_eq!((told.code, told.body), (200, body));
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn without_an_app_checks_and_comments_are_built_with_an_empty_token() {
    let mut suite = check_suite("requested", 8);
    suite["check_suite"]["pull_requests"] =
        json!([{"number": 4, "head": {"sha": HEAD, "repo": {"id": 1}}}]);
    for (event, body, commit, branch) in [
        ("check_suite", suite, HEAD, "main"),
        // Nothing says that the commit is not one of a fork.
        ("check_suite", check_suite("requested", 8), "", "refs/heads/main"),
        ("issue_comment", comment("/brig run", "OWNER"), "", "refs/pull/4/head"),
    ] {
        let world = World::without_scripts().await;
        let told = world.send(delivery(event, body.to_string())).await;
        let reason = told.body["reason"].as_str().unwrap();
        let why = "the payload's token is empty: no GitHub App is configured (APP_ID)";
        assert!(told.code == 200 && reason.ends_with(why), "{told:?}");
        let wrapped = json!({
            "type": event,
            "token": "",
            "tokenExpires": "0001-01-01T00:00:00Z",
            "body": body,
            "commit": commit,
            "branch": branch,
        });
        assert_eq!(payload(&world).await, wrapped);
        let build = &world.app.cluster.builds("default").await.unwrap()[0];
        assert_eq!(build.event.revision.commit, commit);
        assert_eq!(build.event.revision.reference, branch);
    }
}

#[tokio::test]
async fn a_check_of_a_commit_in_no_branch_is_skipped() {
    let world = World::without_scripts().await;
    let mut body = check_suite("requested", 8);
    body["check_suite"]["head_branch"] = Value::Null;
    let told = world.send(delivery("check_suite", body.to_string())).await;
    assert_eq!((told.code, &told.body["status"]), (200, &json!("build skipped")), "{told:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_trusted_comment_is_at_the_head_of_its_pull_request() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    Mock::given(method("GET"))
        .and(path("/api/v3/repos/ocean/brig/pulls/4"))
        .and(header("authorization", format!("Bearer {TOKEN}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"head": {"sha": HEAD}})))
        .expect(1)
        .mount(&github)
        .await;
    let body = comment(" /brig run\r\n", "MEMBER");
    let told = world.send(delivery("issue_comment", body.to_string())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let wrapped = payload(&world).await;
    assert_eq!(wrapped["body"]["comment"]["body"], " /brig run\r\n");
    assert_eq!(
        (&wrapped["commit"], &wrapped["branch"]),
        (&json!(HEAD), &json!("refs/pull/4/head"))
    );
    assert_eq!((&wrapped["type"], &wrapped["token"]), (&json!("issue_comment"), &json!(TOKEN)));
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.revision.commit, HEAD);
}

#[tokio::test]
async fn a_strangers_comment_has_its_own_payload_and_no_token() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 0).await;
    let body = comment("/brig run", "NONE");
    assert_eq!(world.send(delivery("issue_comment", body.to_string())).await.code, 200);
    assert_eq!(payload(&world).await, body);
    let build = &world.app.cluster.builds("default").await.unwrap()[0];
    assert_eq!(build.event.revision.reference, "refs/heads/main");
}

#[tokio::test]
async fn a_token_that_github_does_not_give_stops_the_build_until_it_does() {
    for (code, status, word) in [
        (401, 403, "Auth Failed"),
        (403, 403, "Auth Failed"),
        (404, 403, "Auth Failed"),
        (422, 403, "Auth Failed"),
        (302, 403, "Auth Failed"),
        (429, 503, "unavailable"),
        (500, 503, "unavailable"),
        (502, 503, "unavailable"),
    ] {
        let (world, github) = enterprise(app()).await;
        let answer = ResponseTemplate::new(code).set_body_string(format!("{{\"x\": \"{TOKEN}\"}}"));
        Mock::given(method("POST")).respond_with(answer).expect(1).mount(&github).await;
        let body = check_suite("requested", 7).to_string();
        let told = world.send(delivery("check_suite", body.clone())).await;
        assert_eq!((told.code, &told.body["status"]), (status, &json!(word)), "{told:?}");
        let reason = told.body["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("{code}")), "{reason}");
        assert!(!format!("{told:?}").contains(TOKEN), "{told:?}");
        assert_eq!(told.headers.contains_key("retry-after"), status == 503);
        assert!(world.is_untouched().await);
        github.reset().await;
        gives_tokens(&github, 1).await;
        assert_eq!(world.send(delivery("check_suite", body)).await.code, 200);
    }
}

#[tokio::test]
async fn a_github_that_is_asked_too_often_is_away() {
    let (world, github) = enterprise(app()).await;
    for (name, value) in [("retry-after", "60"), ("x-ratelimit-remaining", "0")] {
        github.reset().await;
        let answer = ResponseTemplate::new(403).insert_header(name, value);
        Mock::given(method("POST")).respond_with(answer).mount(&github).await;
        let body = check_suite("requested", 7).to_string();
        let told = world.send(delivery("check_suite", body)).await;
        assert_eq!((told.code, &told.body["status"]), (503, &json!("unavailable")), "{told:?}");
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn many_identical_deliveries_at_once_are_one_build_with_one_payload() {
    let (world, github) = enterprise(app()).await;
    let token = ResponseTemplate::new(201).set_body_json(token(json!([repository()])));
    Mock::given(method("POST")).respond_with(token).expect(1..=8).mount(&github).await;
    let body = check_suite("requested", 7).to_string();
    let told = futures::future::join_all(
        (0..8).map(|_| world.send(delivery("check_suite", body.clone()))),
    );
    let told = told.await;
    assert!(told.iter().all(|told| told.code == 200), "{told:?}");
    assert_eq!(told.iter().filter(|told| told.body["duplicate"] == false).count(), 1);
    assert_eq!(payload(&world).await["token"], TOKEN);
}

#[tokio::test]
async fn a_head_that_is_no_commit_is_in_no_address() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    let mut body = pull_request("opened");
    body["pull_request"]["head"]["sha"] = json!("../../../../user");
    let told = world.send(delivery("pull_request", body.to_string())).await;
    assert_eq!(told.code, 200, "{told:?}");
    let pull = json!({"head": {"sha": "--upload-pack=x"}});
    let pull = ResponseTemplate::new(200).set_body_json(pull);
    Mock::given(method("GET")).respond_with(pull).expect(1).mount(&github).await;
    let body = comment("/brig run", "OWNER").to_string();
    assert_eq!(world.send(delivery("issue_comment", body)).await.code, 503);
    assert_eq!(world.builds().await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_none_and_is_not_repeated() {
    let (world, github) = enterprise(app()).await;
    for body in ["", "{", "{\"token\": 5}", "[]", "\"ghs_t0ken\""] {
        github.reset().await;
        let answer = ResponseTemplate::new(201).set_body_string(body);
        Mock::given(method("POST")).respond_with(answer).mount(&github).await;
        let body = check_suite("requested", 7).to_string();
        let told = world.send(delivery("check_suite", body)).await;
        assert_eq!(told.code, 503, "{told:?}");
        assert!(!format!("{told:?}").contains(TOKEN), "{told:?}");
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_github_that_says_nothing_is_not_waited_for_longer_than_there_is_time() {
    let (world, github) = enterprise(app()).await;
    let slow = ResponseTemplate::new(201).set_delay(Duration::from_secs(600));
    Mock::given(method("POST")).respond_with(slow).mount(&github).await;
    tokio::time::pause();
    let body = check_suite("requested", 7).to_string();
    let told = world.send(delivery("check_suite", body)).await;
    tokio::time::resume();
    assert_eq!((told.code, &told.body["status"]), (503, &json!("unavailable")), "{told:?}");
    assert!(told.body["reason"].as_str().unwrap().contains("it took too long"), "{told:?}");
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn an_installation_that_is_not_the_projects_gives_no_token() {
    let (world, github) = enterprise(app()).await;
    let of = |name: &str| json!({"full_name": name});
    for repositories in [
        // It has a repository of this name, and it is another's.
        json!([of("other/brig")]),
        json!([of("ocean/brig"), of("ocean/secrets")]),
        // A server that knows nothing of repositories gives a token for all.
        json!([]),
    ] {
        github.reset().await;
        let answer = ResponseTemplate::new(201).set_body_json(token(repositories));
        Mock::given(method("POST")).respond_with(answer).expect(2).mount(&github).await;
        let run = json!({"id": 3, "app": {"id": 7}, "check_suite": {"head_sha": HEAD}});
        let run = with_installation(json!({"action": "created", "check_run": run}));
        for (event, body) in [("check_suite", check_suite("requested", 7)), ("check_run", run)] {
            let told = world.send(delivery(event, body.to_string())).await;
            assert_eq!((told.code, &told.body["status"]), (403, &json!("Auth Failed")), "{told:?}");
            let reason = told.body["reason"].as_str().unwrap();
            assert!(reason.contains("gives no token for the project's repository"), "{reason}");
            assert!(!format!("{told:?}").contains(TOKEN), "{told:?}");
        }
    }
    assert!(world.is_untouched().await);
}

#[tokio::test]
async fn a_server_that_is_none_is_sent_no_token() {
    let world = World::with(app()).await;
    for base in ["http://github.example.com/", "https://github.example.com/", "file:///", "none"] {
        world.project("ocean/brig", json!({"sharedSecret": SECRET, "github.baseURL": base})).await;
        let body = check_suite("requested", 7).to_string();
        let told = world.send(delivery("check_suite", body)).await;
        assert_eq!((told.code, &told.body["status"]), (403, &json!("Auth Failed")), "{told:?}");
        assert!(told.body["reason"].as_str().unwrap().contains("github.baseURL"), "{told:?}");
    }
    assert!(world.is_untouched().await);
}

/// Answers that there is a suite, or that one was made, and to its being run.
async fn has_suite(github: &MockServer, code: u16) {
    let asked = json!({"head_sha": HEAD, "head_branch": "refs/pull/4/head"});
    Mock::given(method("POST"))
        .and(path("/api/v3/repos/ocean/brig/check-suites"))
        .and(header("authorization", format!("Bearer {TOKEN}")))
        .and(body_json(asked))
        .respond_with(ResponseTemplate::new(code).set_body_json(json!({"id": 90})))
        .expect(1)
        .mount(github)
        .await;
}

async fn runs_suite(github: &MockServer, suite: u64, code: u16, times: u64) {
    Mock::given(method("POST"))
        .and(path(format!("/api/v3/repos/ocean/brig/check-suites/{suite}/rerequest")))
        .respond_with(ResponseTemplate::new(code).set_body_string("{}"))
        .expect(times)
        .mount(github)
        .await;
}

#[tokio::test]
async fn a_pull_request_has_a_check_suite_made_and_run_and_is_built_itself() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    has_suite(&github, 201).await;
    runs_suite(&github, 90, 201, 1).await;
    for _ in 0..2 {
        let told = world.send(delivery("pull_request", pull_request("opened").to_string())).await;
        assert_eq!((told.code, &told.body["status"]), (200, &json!("Complete")), "{told:?}");
    }
    assert_eq!(payload(&world).await, pull_request("opened"));
}

#[tokio::test]
async fn a_check_suite_that_there_is_is_run_again() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 1).await;
    has_suite(&github, 422).await;
    let suites = json!({"total_count": 2, "check_suites": [{"id": 91}, {"id": 92}]});
    Mock::given(method("GET"))
        .and(path(format!("/api/v3/repos/ocean/brig/commits/{HEAD}/check-suites")))
        .and(query_param("app_id", "7"))
        .respond_with(ResponseTemplate::new(200).set_body_json(suites))
        .expect(1)
        .mount(&github)
        .await;
    runs_suite(&github, 91, 201, 1).await;
    let told = world.send(delivery("pull_request", pull_request("synchronize").to_string())).await;
    assert_eq!(told.code, 200, "{told:?}");
    assert!(told.body["reason"].as_str().unwrap().ends_with("a check suite was asked for"));
}

#[tokio::test]
async fn a_check_suite_that_cannot_be_made_is_made_by_the_next_delivery() {
    for (code, status, word) in
        [(404, 500, "could not create check suite"), (500, 503, "unavailable")]
    {
        let (world, github) = enterprise(app()).await;
        gives_tokens(&github, 1).await;
        has_suite(&github, code).await;
        let body = pull_request("reopened").to_string();
        let told = world.send(delivery("pull_request", body.clone())).await;
        assert_eq!((told.code, &told.body["status"]), (status, &json!(word)), "{told:?}");
        assert!(world.is_untouched().await);
        github.reset().await;
        gives_tokens(&github, 1).await;
        has_suite(&github, 201).await;
        runs_suite(&github, 90, 201, 1).await;
        assert_eq!(world.send(delivery("pull_request", body)).await.code, 200);
    }
}

#[tokio::test]
async fn github_is_asked_for_no_suite_where_none_is_wanted() {
    let (world, github) = enterprise(app()).await;
    gives_tokens(&github, 0).await;
    let mut stranger = pull_request("opened");
    stranger["pull_request"]["head"]["repo"]["id"] = json!(2);
    let mut plain = pull_request("opened");
    plain["installation"] = Value::Null;
    for (body, builds, note) in [
        (pull_request("labeled"), 1, None),
        (stranger, 1, None),
        (plain, 2, Some("no check suite was asked for: the delivery names no installation")),
    ] {
        let told = world.send(delivery("pull_request", body.to_string())).await;
        assert_eq!(told.code, 200, "{told:?}");
        assert!(note.is_none_or(|note| told.body["reason"].as_str().unwrap().contains(note)));
        assert_eq!(world.builds().await.len(), builds);
    }
    let (world, github) = enterprise(Settings { check_suite_on_pr: false, ..app() }).await;
    gives_tokens(&github, 0).await;
    let told = world.send(delivery("pull_request", pull_request("opened").to_string())).await;
    assert_eq!(told.code, 200, "{told:?}");
}

#[tokio::test]
async fn who_wants_checks_only_has_them_of_pull_requests_too() {
    for (events, branches, is_asked) in
        [("check_suite", "main", true), ("check_suite", "other", false), ("push", "main", false)]
    {
        let (world, github) = enterprise(app()).await;
        let base = format!("{}/api/v3/", github.uri());
        let keys = json!({
            "sharedSecret": SECRET,
            "github.baseURL": base,
            "filters.events": events,
            "filters.branches": branches,
        });
        world.project("ocean/brig", keys).await;
        gives_tokens(&github, u64::from(is_asked)).await;
        if is_asked {
            has_suite(&github, 201).await;
            runs_suite(&github, 90, 201, 1).await;
        }
        let told = world.send(delivery("pull_request", pull_request("opened").to_string())).await;
        assert_eq!((told.code, &told.body["message"]), (200, &json!("Ignored")), "{told:?}");
        let said = told.body["reason"].as_str().unwrap();
        assert_eq!(said.ends_with("a check suite was asked for"), is_asked, "{said}");
        assert!(world.is_untouched().await);
    }
}
