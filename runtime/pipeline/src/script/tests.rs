//! Tests of where scripts are found.

use jiff::Timestamp;
use runtime::event::{Event, Revision};
use runtime::project::values;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const COMMIT: &str = "0123456789012345678901234567890123456789";

#[tokio::test]
async fn a_script_is_fetched_once_for_a_commit() {
    let github = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/repos/acme/app/contents/brigade.js"))
        .and(query_param("ref", COMMIT))
        .and(header("authorization", "Bearer t0ken"))
        .respond_with(ResponseTemplate::new(200).set_body_string("console.log(1)"))
        .expect(1)
        .mount(&github)
        .await;
    let fetcher = fetcher(&github);
    for _ in 0..2 {
        let script = fetcher.fetch(&project("github: {token: t0ken}"), &build(COMMIT)).await;
        assert_eq!(script.unwrap().as_deref(), Some("console.log(1)"));
    }
}

#[tokio::test]
async fn a_branch_is_fetched_again() {
    let github = MockServer::start().await;
    let script = ResponseTemplate::new(200).set_body_string("1");
    Mock::given(method("GET")).respond_with(script).expect(2).mount(&github).await;
    let fetcher = fetcher(&github);
    for _ in 0..2 {
        fetcher.fetch(&project(""), &build("")).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_is_cloned() {
    let github = MockServer::start().await;
    for (status, reason) in
        [(500, "GitHub answered 500"), (403, "GitHub answered 403"), (302, "GitHub answered 302")]
    {
        github.reset().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(status)).mount(&github).await;
        let fetched = fetcher(&github).fetch(&project(""), &build(COMMIT)).await;
        assert_eq!(fetched.unwrap_err(), reason);
    }
    github.reset().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("GET")).respond_with(slow).mount(&github).await;
    let fetched = fetcher(&github).fetch(&project(""), &build(COMMIT)).await;
    assert_eq!(fetched.unwrap_err(), "GitHub did not answer in time");
    github.reset().await;
    let large = ResponseTemplate::new(200).set_body_string("x".repeat(SCRIPT_LIMIT + 1));
    Mock::given(method("GET")).respond_with(large).mount(&github).await;
    let fetched = fetcher(&github).fetch(&project(""), &build(COMMIT)).await;
    assert_eq!(fetched.unwrap_err(), "the script has more than 524288 bytes");
}

#[tokio::test]
async fn only_a_token_can_tell_that_there_is_no_script() {
    let github = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(404)).mount(&github).await;
    let unknown = fetcher(&github).fetch(&project(""), &build(COMMIT)).await;
    assert_eq!(unknown.unwrap_err(), "GitHub answered 404");
    let known = fetcher(&github).fetch(&project("github: {token: t}"), &build(COMMIT)).await;
    assert_eq!(known.unwrap(), None);
}

#[test]
fn a_repository_is_found_by_its_clone_url() {
    let fetcher = Fetcher::new(Duration::from_secs(1)).unwrap();
    let base = "github: {baseURL: \"https://ghe.example.com/api/v3/\"}";
    for (url, more, expected) in [
        ("https://github.com/acme/app.git", "", Some(("https://api.github.com", "acme/app"))),
        ("https://github.com/acme/app", "", Some(("https://api.github.com", "acme/app"))),
        ("git@github.com:acme/app.git", "", Some(("https://api.github.com", "acme/app"))),
        ("ssh://git@github.com/acme/app.git", "", Some(("https://api.github.com", "acme/app"))),
        ("https://ghe.example.com/a/b.git", base, Some(("https://ghe.example.com/api/v3", "a/b"))),
        ("https://ghe.example.com/a/b.git", "", None),
        ("https://gitlab.com/acme/app.git", "", None),
        ("https://github.com/acme", "", None),
        ("https://github.com.example.com/acme/app.git", "", None),
        ("/srv/git/app", "", None),
    ] {
        let mut project = project(more);
        project.clone_url = url.to_owned();
        let expected = expected.map(|(api, name)| (api.to_owned(), name.to_owned()));
        assert_eq!(fetcher.repository(&project), expected, "{url}");
    }
}

#[test]
fn a_script_is_read_from_a_clone_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    std::fs::create_dir_all(clone.join("ci")).unwrap();
    std::fs::write(clone.join("ci/brigade.js"), "1").unwrap();
    std::fs::write(folder.path().join("secret.js"), "2").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.js"), clone.join("link.js")).unwrap();
    assert_eq!(read(&clone, "ci/brigade.js").as_deref(), Some("1"));
    for path in ["brigade.js", "../secret.js", "link.js", "/etc/hostname"] {
        assert_eq!(read(&clone, path), None, "{path}");
    }
}

fn fetcher(github: &MockServer) -> Fetcher {
    Fetcher::with_api(Duration::from_millis(500), &github.uri()).unwrap()
}

fn project(more: &str) -> Project {
    let yaml = format!("project: acme/app\ncloneURL: https://github.com/acme/app.git\n{more}\n");
    values::read(&yaml, "default").unwrap().0
}

fn build(commit: &str) -> Build {
    let revision = Revision { commit: commit.to_owned(), reference: "refs/heads/main".into() };
    let event = Event { revision, ..Event::new("github", "push", "{}") };
    Build::new(&project(""), event, Timestamp::UNIX_EPOCH)
}
