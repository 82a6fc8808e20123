//! Packages: what a registry may do to us, what an archive may hold, and which versions are chosen.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tar::{Builder, EntryType, Header};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::config::Config;
use super::*;

/// An archive of these files, as `npm pack` makes one.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        entry(&mut builder, &format!("package/{name}"), EntryType::Regular, text.as_bytes());
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Adds an entry whose name may be any.
fn entry<W: Write>(builder: &mut Builder<W>, name: &str, kind: EntryType, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let field = &mut header.as_old_mut().name;
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name.as_bytes()[..length]);
    if kind == EntryType::Symlink || kind == EntryType::Link {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn integrity(content: &[u8]) -> String {
    use base64::Engine;
    let digest = Sha512::digest(content);
    format!("sha512-{}", base64::engine::general_purpose::STANDARD.encode(digest))
}

/// A registry of packages: name, version, dependencies. Each says its name and version.
async fn publish(server: &MockServer, packages: &[(&str, &str, Value)]) {
    let mut documents: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, version, dependencies) in packages {
        let manifest = json!({"name": name, "version": version}).to_string();
        let text = format!("exports.is = '{name}@{version}';");
        let content = archive(&[("package.json", &manifest), ("index.js", &text)]);
        let file = format!("/tarballs/{}-{version}.tgz", name.replace('/', "-"));
        let document = documents.entry(name).or_insert_with(|| json!({"versions": {}}));
        document["dist-tags"]["latest"] = json!(version);
        document["versions"][version] = json!({
            "dependencies": dependencies,
            "dist": {"tarball": format!("{}{file}", server.uri()), "integrity": integrity(&content)},
        });
        let answer = ResponseTemplate::new(200).set_body_bytes(content);
        Mock::given(method("GET")).and(path(file)).respond_with(answer).mount(server).await;
    }
    for (name, document) in documents {
        let at = path(format!("/{}", name.replace('/', "%2f")));
        let answer = ResponseTemplate::new(200).set_body_json(document);
        Mock::given(method("GET")).and(at).respond_with(answer).mount(server).await;
    }
}

fn registry(server: &MockServer, patience: Duration) -> Registry {
    let options = PackageOptions { registry: server.uri(), patience, ..PackageOptions::default() };
    Registry::new(&options, Some(SecretString::from("t0ken"))).unwrap()
}

fn patient(server: &MockServer) -> Registry {
    registry(server, Duration::from_secs(60))
}

fn wanted(all: &[(&str, &str)]) -> Vec<Wanted> {
    let one = |(name, versions): &(&str, &str)| Wanted {
        name: (*name).to_owned(),
        versions: (*versions).to_owned(),
    };
    all.iter().map(one).collect()
}

/// Where which version is put.
async fn chosen(server: &MockServer, all: &[(&str, &str)], vendored: &Vendored) -> Vec<String> {
    let chosen = tree::choose(&patient(server), &wanted(all), vendored).await.unwrap();
    let mut all: Vec<String> = chosen
        .iter()
        .map(|chosen| format!("{} {}", chosen.at.replace("node_modules/", ""), chosen.published))
        .collect();
    all.sort();
    all
}

fn room() -> Room {
    Room::new(u64::MAX)
}

/// Fetches the one version of a package, and says what went wrong.
async fn fetched(registry: &Registry) -> Result<PathBuf, String> {
    let cache = tempfile::tempdir().unwrap();
    let fetched = async {
        let document = registry.document("a").await?;
        let published = registry.choose(&document, "1.0.0")?;
        cache::fetch(registry, cache.path(), &published, &room()).await
    };
    let fetched = fetched.await.map_err(|error| error.to_string());
    // Nothing of what failed is left.
    let left = std::fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(left, usize::from(fetched.is_ok()));
    fetched
}

#[tokio::test]
async fn the_highest_versions_are_chosen_and_put_where_node_looks() {
    let server = MockServer::start().await;
    let none = Value::Null;
    publish(
        &server,
        &[
            ("a", "1.0.0", json!({"shared": "^1.0.0", "deep": "1 - 2", "brigadier": "^0.9.0"})),
            ("b", "2.1.0", json!({"shared": "^2.0.0", "a": "*", "@s/c": "~0.1.0"})),
            ("shared", "1.0.0", none.clone()),
            ("shared", "1.4.0", none.clone()),
            ("shared", "1.5.0-beta.1", none.clone()),
            ("shared", "2.0.0", json!({"shared": "^1.0.0"})),
            ("deep", "2.9.9", json!({"shared": ""})),
            ("deep", "3.0.0", none.clone()),
            ("@s/c", "0.1.7", json!({"alias": "npm:deep@3"})),
            ("@s/c", "0.2.0", none.clone()),
        ],
    )
    .await;
    let none = Vendored::new(None);
    let expected = [
        "@s/c @s/c@0.1.7",
        "a a@1.0.0",
        "alias deep@3.0.0",
        "b b@2.1.0",
        "b/shared shared@2.0.0",
        "b/shared/shared shared@1.4.0",
        "deep deep@2.9.9",
        "shared shared@1.4.0",
    ];
    // A module finds the nearest of a name, going up: what is in its own place is beside itself.
    let found = chosen(&server, &[("a", "1.0.0"), ("b", "^2.0.0")], &none).await;
    let nested: Vec<&str> = expected.to_vec();
    assert_eq!(found, nested);

    let folder = tempfile::tempdir().unwrap();
    for (name, version) in [("shared", "2.0.0"), ("a", "1.0.0")] {
        let at = folder.path().join("node_modules").join(name);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("package.json"), json!({"version": version}).to_string()).unwrap();
    }
    let vendored = Vendored::new(Some(folder.path().to_owned()));
    let found = chosen(&server, &[("a", "1.0.0"), ("b", "latest")], &vendored).await;
    assert_eq!(found, ["@s/c @s/c@0.1.7", "alias deep@3.0.0", "b b@2.1.0"]);
}

#[tokio::test]
async fn what_was_noted_is_chosen_again() {
    let server = MockServer::start().await;
    publish(&server, &[("a", "1.0.0", Value::Null), ("a", "1.1.0", Value::Null)]).await;
    let noted = [("node_modules/a".to_owned(), "a@1.0.0".to_owned())].into();
    let again = tree::again(&patient(&server), &noted).await.unwrap();
    assert_eq!(again[0].published.to_string(), "a@1.0.0");
    for (at, package) in [
        ("node_modules/../../etc", "a@1.0.0"),
        ("/etc", "a@1.0.0"),
        ("node_modules/a", "a"),
        ("node_modules/a", "../b@1.0.0"),
    ] {
        let noted = [(at.to_owned(), package.to_owned())].into();
        assert!(tree::again(&patient(&server), &noted).await.is_err(), "{at} {package}");
    }
}

#[tokio::test]
async fn what_cannot_be_chosen_is_said_with_what_to_do() {
    let server = MockServer::start().await;
    publish(
        &server,
        &[("a", "1.0.0", json!({"gone": "^1.0.0"})), ("b", "1.0.0", json!({"a": "git+ssh://x"}))],
    )
    .await;
    for (name, versions, expected) in [
        ("a", "2.0.0", "package a@2.0.0: 127.0.0.1 has no such version; the latest is 1.0.0"),
        ("a", "^9", "package a@^9: 127.0.0.1 has no such version; the latest is 1.0.0"),
        (
            "a",
            "beta",
            "package a@beta: this is neither a version, nor a range, nor a tag of it: write a version such as 1.2.3",
        ),
        (
            "a",
            "1.0.0",
            "package gone: 127.0.0.1 has none of this name: look at how it is written, or vendor it in the repository's node_modules (needed by a)",
        ),
        (
            "b",
            "1.0.0",
            "package a@git+ssh://x: only packages of the registry are fetched, by a version: vendor this one in the repository's node_modules (needed by node_modules/b)",
        ),
        (
            "b",
            "github:x/y",
            "package b@github:x/y: only packages of the registry are fetched, by a version: vendor this one in the repository's node_modules",
        ),
        ("b", "npm:../x@1", "package \"../x\": this is no name of a package"),
    ] {
        let all = wanted(&[(name, versions)]);
        let error = tree::choose(&patient(&server), &all, &Vendored::new(None)).await;
        assert_eq!(error.err().unwrap().to_string(), expected);
    }
}

#[tokio::test]
async fn a_registry_that_is_busy_is_asked_again() {
    let server = MockServer::start().await;
    for status in [500, 429, 503] {
        let busy = ResponseTemplate::new(status);
        let busy = Mock::given(method("GET")).respond_with(busy).up_to_n_times(1);
        busy.with_priority(1).mount(&server).await;
    }
    publish(&server, &[("a", "1.0.0", Value::Null)]).await;
    let folder = fetched(&patient(&server)).await.unwrap();
    assert!(folder.ends_with(folder.file_name().unwrap()));
}

#[tokio::test]
async fn a_registry_that_fails_is_named_with_its_answer() {
    for (answer, expected) in [
        (ResponseTemplate::new(500), "package a: 127.0.0.1 answered 500"),
        (
            ResponseTemplate::new(404),
            "package a: 127.0.0.1 has none of this name: look at how it is written, or vendor it in the repository's node_modules",
        ),
        (
            ResponseTemplate::new(401),
            "package a: 127.0.0.1 answered 401: give the project a secret NPM_TOKEN that may read it",
        ),
        (
            ResponseTemplate::new(302).insert_header("location", "http://example.com/a"),
            "package a: 127.0.0.1 sent us elsewhere, where we do not go",
        ),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            "package a: 127.0.0.1 gave an answer that is not understood: expected value at line 1 column 1",
        ),
        (ResponseTemplate::new(418), "package a: 127.0.0.1 answered 418"),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        assert_eq!(fetched(&patient(&server)).await.unwrap_err(), expected);
    }
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(method("GET")).respond_with(slow).mount(&server).await;
    let error = fetched(&registry(&server, Duration::from_millis(50))).await.unwrap_err();
    assert_eq!(error, "package a: 127.0.0.1 did not answer in time");
}

#[tokio::test]
async fn what_comes_must_be_what_was_said() {
    let good = archive(&[("package.json", "{}"), ("index.js", "1")]);
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    let elsewhere = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_bytes(good.clone());
    Mock::given(method("GET")).respond_with(answer).mount(&elsewhere).await;
    let moved = ResponseTemplate::new(302).insert_header("location", elsewhere.uri());
    let here = ResponseTemplate::new(302).insert_header("location", "/moved.tgz");
    let whole = |content: &[u8]| ResponseTemplate::new(200).set_body_bytes(content.to_vec());
    let differs = "package a@1.0.0: what came is not what the registry says it is (its digest differs), so nothing of it is used: try again, and if that does not help, ask who runs the registry";
    let dist = |content: &[u8]| json!({"integrity": integrity(content)});
    for (dist, answer, expected) in [
        (dist(&good), whole(&good), ""),
        (json!({"shasum": hex::encode(sha1::Sha1::digest(&good))}), whole(&good), ""),
        (dist(&good), here, ""),
        (dist(b"other"), whole(&good), differs),
        (dist(&good), whole(&cut), differs),
        (dist(&cut), whole(&cut), "package a@1.0.0: its archive cannot be read: "),
        (
            dist(&good),
            ResponseTemplate::new(404),
            "package a@1.0.0: 127.0.0.1 does not have its content any more",
        ),
        (dist(&good), moved, "package a@1.0.0: 127.0.0.1 sent us elsewhere, where we do not go"),
        (
            json!({}),
            whole(&good),
            "package a@1.0.0: the registry gives no digest for it, so it cannot be trusted: vendor it in the repository's node_modules",
        ),
        (
            json!({"integrity": "sha512-x", "shasum": "y"}),
            whole(&good),
            "package a@1.0.0: the registry gives no digest for it",
        ),
    ] {
        let server = MockServer::start().await;
        let mut dist = dist;
        dist["tarball"] = json!(format!("{}/a.tgz", server.uri()));
        let document = json!({"versions": {"1.0.0": {"dist": dist}}});
        for (at, answer) in [
            ("/a", ResponseTemplate::new(200).set_body_json(document)),
            ("/a.tgz", answer),
            ("/moved.tgz", whole(&good)),
        ] {
            Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&server).await;
        }
        match fetched(&patient(&server)).await {
            Ok(_folder) => assert_eq!(expected, ""),
            Err(error) => {
                assert!(!expected.is_empty() && error.starts_with(expected), "{error}\n{expected}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_is_shown_to_the_registry_alone() {
    let server = MockServer::start().await;
    let good = archive(&[("package.json", "{}")]);
    let document = json!({"versions": {"1.0.0": {"dist": {
        "tarball": "http://127.0.0.1:1/a.tgz", "integrity": integrity(&good),
    }}}});
    let answer = ResponseTemplate::new(200).set_body_json(document);
    let asked = Mock::given(method("GET")).and(header("authorization", "Bearer t0ken"));
    asked.respond_with(answer).mount(&server).await;
    // Another place is not asked at all where its URL is not safe.
    let error = fetched(&patient(&server)).await.unwrap_err();
    assert_eq!(error, "package a@1.0.0: the registry says of it no https URL to fetch it from");
}

#[tokio::test]
async fn what_the_public_registry_is_said_to_have_is_asked_of_ours() {
    let server = MockServer::start().await;
    let good = archive(&[("package.json", "{}")]);
    let document = json!({"versions": {"1.0.0": {"dist": {
        "tarball": "https://registry.npmjs.org/a/-/a-1.0.0.tgz", "integrity": integrity(&good),
    }}}});
    for (at, answer) in [
        ("/npm/a", ResponseTemplate::new(200).set_body_json(document)),
        ("/npm/a/-/a-1.0.0.tgz", ResponseTemplate::new(200).set_body_bytes(good)),
    ] {
        Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&server).await;
    }
    let options =
        PackageOptions { registry: format!("{}/npm/", server.uri()), ..PackageOptions::default() };
    fetched(&Registry::new(&options, None).unwrap()).await.unwrap();
}

#[test]
fn an_archive_is_unpacked_below_its_folder_or_not_at_all() {
    type Fill = fn(&mut Builder<Vec<u8>>);
    let cases: [(&str, Fill); 14] = [
        ("", |b| entry(b, "package/lib/a.js", EntryType::Regular, b"1")),
        ("", |b| entry(b, "other-top/./a.js", EntryType::Regular, b"1")),
        ("", |b| entry(b, "package/empty/", EntryType::Directory, b"")),
        ("leads out of it", |b| entry(b, "package/../../a.js", EntryType::Regular, b"1")),
        ("leads out of it", |b| entry(b, "/etc/a.js", EntryType::Regular, b"1")),
        ("leads out of it", |b| entry(b, "package/..", EntryType::Regular, b"1")),
        ("leads out of it", |b| entry(b, "package", EntryType::Regular, b"1")),
        ("leads out of it", |b| entry(b, "..", EntryType::Regular, b"1")),
        ("leads out of it", |b| entry(b, "package\\..\\a.js", EntryType::Regular, b"1")),
        ("is no file, but a link", |b| entry(b, "package/link", EntryType::Symlink, b"")),
        ("is no file, but a link", |b| entry(b, "package/link", EntryType::Link, b"")),
        ("is no file, but a link", |b| entry(b, "package/device", EntryType::Char, b"")),
        ("is no JavaScript, which a worker does not do", |b| {
            entry(b, "package/build/a.node", EntryType::Regular, b"\x7fELF");
        }),
        ("that would have to be compiled", |b| {
            entry(b, "package/binding.gyp", EntryType::Regular, b"{}");
        }),
    ];
    for (expected, fill) in cases {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("a/b");
        std::fs::create_dir_all(&folder).unwrap();
        let mut builder = Builder::new(Vec::new());
        entry(&mut builder, "package/package.json", EntryType::Regular, b"{}");
        fill(&mut builder);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&builder.into_inner().unwrap()).unwrap();
        let unpacked = unpack::unpack(&packed.finish().unwrap(), &folder, &room());
        match unpacked {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{error}"),
        }
        let outside = std::fs::read_dir(around.path().join("a")).unwrap().count();
        assert_eq!((outside, std::fs::read_dir(around.path()).unwrap().count()), (1, 1));
    }
}

#[test]
fn a_package_that_runs_something_is_refused() {
    for (manifest, expected) in [
        (
            r#"{"scripts": {"postinstall": "node-gyp rebuild"}}"#,
            "it wants to run `node-gyp rebuild` when it is installed, which a worker does not do: ",
        ),
        (r#"{"gypfile": true}"#, "it has parts in C or C++"),
        ("{", "its package.json is no JSON: "),
        ("", "its package.json is no JSON: "),
        (r#"{"scripts": {"test": "x", "prepare": "y"}}"#, ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let unpacked =
            unpack::unpack(&archive(&[("package.json", manifest)]), folder.path(), &room());
        match unpacked {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => assert!(!expected.is_empty() && error.starts_with(expected), "{error}"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let error = unpack::unpack(&archive(&[("a.js", "")]), folder.path(), &room()).unwrap_err();
    assert_eq!(error, "it has no package.json that can be read");
}

#[test]
fn a_bomb_is_not_unpacked() {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_ustar();
    header.set_path("package/a.js").unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    builder.append(&header, &b"not so much"[..]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let large = builder.into_inner().unwrap().finish().unwrap();
    let error = unpack::unpack(&large, folder.path(), &room()).unwrap_err();
    assert_eq!(error, "it has more than 67108864 bytes or 10000 files");
    let many: Vec<String> = (0..10_002).map(|n| format!("{n}.js")).collect();
    let files: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    let folder = tempfile::tempdir().unwrap();
    let error = unpack::unpack(&archive(&files), folder.path(), &room()).unwrap_err();
    assert_eq!(error, "it has more than 67108864 bytes or 10000 files");
}

#[test]
fn a_configuration_is_read_or_refused() {
    let read = |text: &str| {
        let config = Config { name: "brigade.json".to_owned(), text: text.to_owned() };
        let read = config::read(&config);
        read.map(|all| all.iter().map(Wanted::to_string).collect::<Vec<_>>().join(" "))
            .map_err(|error| error.to_string())
    };
    for (text, expected) in [
        ("{}", Ok("")),
        (r#"{"dependencies": {}}"#, Ok("")),
        (
            r#"{"dependencies": {"b": "1.0.0", "a": " ^2 ", "@x/y": "1.2.3", "brigadier": "1", "@brigadecore/brigadier": "*"}}"#,
            Ok("@x/y@1.2.3 a@^2 b@1.0.0"),
        ),
        ("[", Err("brigade.json is no JSON: ")),
        (
            r#"{"dependencies": ["a"]}"#,
            Err("brigade.json has dependencies that are no object of names and versions"),
        ),
        (
            r#"{"dependencies": {"a": 1}}"#,
            Err("brigade.json gives package a a version that is no text, such as \"1.2.3\""),
        ),
        (
            r#"{"dependencies": {"../a": "1"}}"#,
            Err("package \"../a\": this is no name of a package"),
        ),
        (r#"{"dependencies": {"a/b": "1"}}"#, Err("package \"a/b\": this is no name of a package")),
    ] {
        match (read(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn what_was_said_of_a_package_is_kept_while_there_is_room_for_it() {
    for (room, asked) in [(1 << 20, 2), (1, 3)] {
        let server = MockServer::start().await;
        publish(
            &server,
            &[("a", "1.0.0", json!({"b": "*"})), ("b", "1.0.0", json!({"a": "<1.0.0 || 1"}))],
        )
        .await;
        let registry = patient(&server);
        let mut documents = tree::Documents::new(&registry, room);
        for name in ["a", "b", "a"] {
            documents.choose(name, "1.0.0", "").await.unwrap();
        }
        assert_eq!(server.received_requests().await.unwrap().len(), asked);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an archive calls its files, they are below the folder.
    #[test]
    fn no_name_in_an_archive_leads_out(name in "[./\\\\a-c\\x00~:]{1,40}") {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("a/b/c");
        std::fs::create_dir_all(&folder).unwrap();
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        entry(&mut builder, &name, EntryType::Regular, b"1");
        let content = builder.into_inner().unwrap().finish().unwrap();
        let _result = unpack::unpack(&content, &folder, &room());
        for outside in ["", "a", "a/b"] {
            prop_assert_eq!(std::fs::read_dir(around.path().join(outside)).unwrap().count(), 1);
        }
    }

    /// Whatever a registry calls a digest, it is one of content or none.
    #[test]
    fn a_digest_is_of_its_content_or_none(
        text in "(sha1|sha256|sha384|sha512|md5)?[- ?]{0,2}[A-Za-z0-9+/=]{0,90}",
        content in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Some(found) = integrity::Integrity::parse(&text) {
            prop_assert!(!found.matches(&content));
            prop_assert!(found.to_string().chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        }
        let own = integrity::Integrity::parse(&integrity(&content)).unwrap();
        prop_assert!(own.matches(&content));
    }
}
