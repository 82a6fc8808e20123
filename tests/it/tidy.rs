//! Checks of what the compiler cannot check: the rules of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_file_says_what_it_is_for() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let documented = first.starts_with("//!") || first.starts_with("#![doc = include_str!");
        assert!(documented, "{} does not open with //!", file.display());
    }
}

#[test]
fn only_the_cluster_speaks_to_kubernetes() {
    // Programs make the client; only the cluster calls with it.
    let may = ["runtime/src/cluster.rs", "functions/src/main.rs", "runtime/worker/src/main.rs"];
    for file in sources() {
        let path = relative(&file);
        let calls = ["kube::Api", "kube::api::", "kube::runtime", "kube::Client"];
        let text = without_tests(&file);
        let speaks = calls.iter().any(|call| text.contains(call));
        let parts = ["emulator/", "runtime/src/cluster/"];
        let part = parts.iter().any(|part| path.starts_with(part));
        let allowed = may.contains(&path.as_str()) || part;
        assert!(!speaks || allowed || is_test(&path), "{path} speaks to Kubernetes");
    }
}

#[test]
fn data_does_no_io() {
    for module in
        ["event", "project", "build", "job", "outcome", "signature", "units", "worker_pod"]
    {
        let own = [format!("runtime/src/{module}.rs"), format!("runtime/src/{module}/")];
        for file in sources() {
            let path = relative(&file);
            if is_test(&path) || !own.iter().any(|own| path.starts_with(own)) {
                continue;
            }
            let text = without_tests(&file);
            for word in ["async fn", ".await", "std::fs", "std::net", "tokio::", "reqwest::"] {
                assert!(!text.contains(word), "{path} has {word}");
            }
        }
    }
}

#[test]
fn nothing_outside_knows_the_emulator() {
    for manifest in ["functions", "runtime", "runtime/pipeline", "runtime/worker"] {
        let text = fs::read_to_string(root().join(manifest).join("Cargo.toml")).unwrap();
        assert!(!text.contains("emulator"), "{manifest} depends on the emulator");
        let shipped = text.split("[dev-dependencies]").next().unwrap();
        assert!(!shipped.contains("apiserver"), "{manifest} ships the embedded cluster");
    }
}

#[test]
fn the_embedded_cluster_knows_nothing_of_us() {
    let manifest = fs::read_to_string(root().join("emulator/apiserver/Cargo.toml")).unwrap();
    for own in ["runtime", "pipeline", "functions", "emulator"] {
        let named = format!("\n{own}.workspace");
        assert!(!manifest.contains(&named), "apiserver depends on {own}");
    }
    for file in sources() {
        let path = relative(&file);
        if path.starts_with("emulator/apiserver/") {
            let text = fs::read_to_string(&file).unwrap().to_lowercase();
            for word in ["brigade", "brigantine"] {
                assert!(!text.contains(word), "{path} speaks of {word}");
            }
        }
    }
}

#[test]
fn every_receiver_has_a_recorded_request() {
    let receivers = root().join("functions/src/receivers");
    for entry in fs::read_dir(receivers).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_stem().unwrap();
            let recorded = root().join("tests/payloads").join(name);
            let requests = fs::read_dir(&recorded).map(Iterator::count).unwrap_or_default();
            assert!(requests > 0, "{} is empty", recorded.display());
        }
    }
}

#[test]
fn every_receiver_says_what_it_takes() {
    let readme = fs::read_to_string(root().join("functions/README.md")).unwrap();
    for entry in fs::read_dir(root().join("functions/src/receivers")).unwrap() {
        let file = entry.unwrap().path();
        if file.is_dir() {
            continue;
        }
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&file).unwrap();
        let words: Vec<&str> = source.lines().take_while(|line| line.starts_with("//!")).collect();
        for what in ["Route", "Proof", "Events", "Identity", "Limits"] {
            let start = format!("//! - {what}");
            assert!(words.iter().any(|line| line.starts_with(&start)), "{name} says no {what}");
        }
        assert!(words.iter().any(|line| line.contains("<https://")), "{name} names no page");
        assert!(readme.contains(&format!("\n| `{name}` | ")), "{name} is not in the table");
    }
}

#[test]
fn every_notifier_has_a_recorded_request_and_a_snapshot_of_what_it_sends() {
    let readme = fs::read_to_string(root().join("functions/README.md")).unwrap();
    for kind in ["slack", "teams", "github", "webhook", "email"] {
        let recorded = root().join(format!("tests/payloads/notify-{kind}"));
        let requests = fs::read_dir(&recorded).map(Iterator::count).unwrap_or_default();
        assert!(requests > 0, "{} is empty", recorded.display());
        let own = format!("runtime/notify/src/{kind}");
        let shows = |file: &PathBuf| {
            let text = fs::read_to_string(file).unwrap();
            relative(file).starts_with(&own) && text.contains("expect![[")
        };
        assert!(sources().iter().any(shows), "{own} has no snapshot of what it sends");
        assert!(readme.contains(&format!("`notify-{kind}`")), "notify-{kind} is not in the table");
    }
}

#[test]
fn every_test_that_a_table_of_the_documentation_names_exists() {
    let tests: BTreeSet<String> = sources()
        .iter()
        .flat_map(|file| names_of_tests(&fs::read_to_string(file).unwrap()))
        .collect();
    for (page, least) in [("runtime/pipeline/README.md", 50), ("functions/ATTACKS.md", 30)] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let mut named = 0;
        for line in text.lines().filter(|line| line.starts_with('|')) {
            // Our tests are sentences, and nothing else in the tables is.
            let words = line.split('`').skip(1).step_by(2);
            for name in words.filter(|word| word.matches('_').count() >= 3 && is_lower(word)) {
                assert!(tests.contains(name), "there is no test {name}, which is named in {line}");
                named += 1;
            }
        }
        assert!(named > least, "only {named} tests were found in the tables of {page}");
    }
}

fn is_lower(word: &str) -> bool {
    word.chars()
        .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// The functions that are tests: those that follow an attribute that says so.
fn names_of_tests(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) =
            line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "))
            && std::mem::take(&mut is_test)
        {
            found.extend(rest.split('(').next().map(str::to_owned));
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// The Rust files of the workspace.
fn sources() -> Vec<PathBuf> {
    fn list(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                list(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["emulator", "functions", "runtime", "tests"] {
        list(&root().join(folder), &mut found);
    }
    found
}

fn is_test(path: &str) -> bool {
    path.contains("/tests") || path.starts_with("tests/") || path.contains("/benches/")
}

/// A file's text up to its tests.
fn without_tests(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let end = text.find("\n#[test]").or_else(|| text.find("\n#[tokio::test]"));
    text[..end.unwrap_or(text.len())].to_owned()
}
