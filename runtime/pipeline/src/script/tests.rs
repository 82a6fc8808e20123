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
        let (name, text) = script.unwrap().unwrap().script;
        assert_eq!((name.as_str(), text.as_str()), ("brigade.js", "console.log(1)"));
    }
}

#[tokio::test]
async fn a_branch_is_fetched_again() {
    let github = MockServer::start().await;
    let script = ResponseTemplate::new(200).set_body_string("1");
    Mock::given(method("GET")).respond_with(script).expect(4).mount(&github).await;
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
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(method("GET")).respond_with(slow).mount(&github).await;
    let hasty = Fetcher::with_api(Duration::from_millis(500), &github.uri());
    let fetched = hasty.fetch(&project(""), &build(COMMIT)).await;
    assert_eq!(fetched.unwrap_err(), "GitHub did not answer in time");
    github.reset().await;
    let large = ResponseTemplate::new(200).set_body_string("x".repeat(SCRIPT_LIMIT + 1));
    Mock::given(method("GET")).respond_with(large).mount(&github).await;
    let fetched = fetcher(&github).fetch(&project(""), &build(COMMIT)).await;
    assert_eq!(fetched.unwrap_err(), "brigade.js has more than 524288 bytes");
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

#[tokio::test]
async fn a_script_by_another_name_is_fetched_too() {
    let github = MockServer::start().await;
    for (file, status) in [("brigade.mjs", 200), (".brigade/brigade.ts", 200), ("brigade.ts", 200)]
    {
        let answer = ResponseTemplate::new(status).set_body_string(file);
        let at = path(format!("/repos/acme/app/contents/{file}"));
        Mock::given(method("GET")).and(at).respond_with(answer).mount(&github).await;
    }
    let project = project("github: {token: t}");
    let found = fetcher(&github).fetch(&project, &build(COMMIT)).await.unwrap().unwrap();
    assert_eq!(found.script, ("brigade.ts".to_owned(), "brigade.ts".to_owned()));
    let named = Project { script_path: "ci/own.mts".into(), ..project };
    assert_eq!(fetcher(&github).fetch(&named, &build(COMMIT)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_script_depends_on_is_fetched_with_it() {
    for (script, config, elsewhere) in [
        ("brigade.js", "brigade.json", None),
        (".brigade/brigade.ts", ".brigade/package.json", None),
        ("brigade.js", "ci/own.json", Some("ci/own.json")),
    ] {
        let github = MockServer::start().await;
        for file in [script, config] {
            let answer = ResponseTemplate::new(200).set_body_string(file);
            let at = path(format!("/repos/acme/app/contents/{file}"));
            Mock::given(method("GET")).and(at).respond_with(answer).mount(&github).await;
        }
        let project = Project { config_path: elsewhere.unwrap_or_default().into(), ..project("") };
        let found = fetcher(&github).fetch(&project, &build(COMMIT)).await.unwrap().unwrap();
        assert_eq!(found.config, Some((config.to_owned(), config.to_owned())));
    }
}

#[tokio::test]
async fn a_script_is_found_in_a_folder_by_any_of_its_names() {
    let cluster = unreachable_cluster();
    let project = project("");
    let names = [
        ".brigade/brigade.ts",
        ".brigade/brigade.js",
        "brigade.mts",
        "brigade.cjs",
        "brigade.mjs",
        "brigade.ts",
        "brigade.js",
    ];
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".brigade")).unwrap();
    let folders = Repository::Folders([(project.id.clone(), folder.path().to_owned())].into());
    for name in names {
        std::fs::write(folder.path().join(name), name).unwrap();
        let found = find(&cluster, &project, &build(COMMIT), &folders).await.unwrap();
        let Found::Script(script) = found else { panic!("{name} is not found") };
        assert_eq!((script.name.as_str(), script.text.as_str()), (name, name));
        assert_eq!(script.origin, ScriptOrigin::Repository);
        let plain = name == "brigade.js";
        let noted = if plain { "repository".into() } else { format!("repository:{name}") };
        assert_eq!(script.noted(), noted);
    }
    let named = Project { script_path: "brigade.cjs".into(), ..project };
    let Found::Script(script) = find(&cluster, &named, &build(COMMIT), &folders).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(script.name, "brigade.cjs");
}

#[tokio::test]
async fn a_script_that_was_kept_with_the_build_keeps_its_name() {
    for (noted, name, origin) in [
        (Some("repository:ci/own.ts"), "ci/own.ts", ScriptOrigin::Repository),
        (Some("repository"), "brigade.js", ScriptOrigin::Repository),
        (Some("defaultScript"), "brigade.js", ScriptOrigin::DefaultScript),
        (Some("event"), "brigade.js", ScriptOrigin::Event),
        (None, "brigade.js", ScriptOrigin::Event),
    ] {
        let mut build = build(COMMIT);
        build.event.script = Some("1".to_owned());
        let noted = noted.map(|noted| (annotation::SCRIPT.to_owned(), noted.to_owned()));
        build.annotations.extend(noted);
        // It beats what the project names in the repository.
        let project = Project { script_path: "other.js".into(), ..project("") };
        let found = find(&unreachable_cluster(), &project, &build, &Repository::Ignore).await;
        let Found::Script(script) = found.unwrap() else { panic!("it is there") };
        assert_eq!((script.name.as_str(), script.origin), (name, origin));
    }
}

#[test]
fn a_repository_is_found_by_its_clone_url() {
    let fetcher = Fetcher::new(Duration::from_secs(1));
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
    assert_eq!(read_file(&clone, "ci/brigade.js"), Ok(Some("1".to_owned())));
    for path in ["brigade.js", "../secret.js", "link.js", "/etc/hostname"] {
        assert_eq!(read_file(&clone, path), Ok(None), "{path}");
    }
}

#[tokio::test]
async fn a_script_that_is_there_and_cannot_be_read_is_no_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let large = vec![b' '; usize::try_from(CLONED_LIMIT).unwrap() + 1];
    std::fs::write(folder.path().join("brigade.js"), large).unwrap();
    let project = project("defaultScript: other()");
    let build = Build::new(&project, Event::new("test", "push", "{}"), jiff::Timestamp::now());
    let folders = [(project.id.clone(), folder.path().to_owned())];
    let repository = Repository::Folders(folders.into());
    let found = find(&unreachable_cluster(), &project, &build, &repository).await.unwrap();
    let Found::Script(script) = found else { panic!("{found:?}") };
    assert_eq!(script.text, r#"throw new Error("brigade.js has more than 8388608 bytes");"#);
}

/// A cluster that nobody asks for anything.
fn unreachable_cluster() -> Cluster {
    let service = tower::service_fn(|_request: axum::http::Request<kube::client::Body>| async {
        Err::<axum::http::Response<kube::client::Body>, _>(std::io::Error::other("nobody asks"))
    });
    Cluster::new(kube::Client::new(service, "default"), "default")
}

fn fetcher(github: &MockServer) -> Fetcher {
    Fetcher::with_api(Duration::from_secs(60), &github.uri())
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
