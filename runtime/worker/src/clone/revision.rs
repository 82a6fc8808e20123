//! Which commit is wanted: what an event's commit and reference amount to.

/// What is wanted of a repository, as far as its names tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Wanted {
    /// The whole id of the commit. It wins over everything else.
    pub(super) commit: Option<String>,
    /// The beginning of the commit's id.
    pub(super) beginning: Option<String>,
    /// A branch, a tag or a reference.
    pub(super) name: Option<String>,
    /// What of the event is not used, and why.
    pub(super) unused: Option<String>,
}

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name:?} is no name that git has for a branch, a tag or a commit")]
pub(crate) struct NameError {
    name: String,
}

/// The shortest beginning of an id that git takes.
const SHORTEST: usize = 4;

impl Wanted {
    /// Brigade checked the reference out even where the event named a commit, so a build of an
    /// earlier push was one of the latest; here, the commit counts.
    pub(super) fn of(commit: &str, reference: &str) -> Result<Wanted, NameError> {
        let mut wanted = Wanted::default();
        for name in [commit, reference] {
            if !name.is_empty() && !is_name(name) {
                return Err(NameError { name: name.chars().take(100).collect() });
            }
        }
        if is_id(commit) {
            wanted.commit = Some(commit.to_ascii_lowercase());
        } else if is_beginning(commit) {
            wanted.beginning = Some(commit.to_ascii_lowercase());
        } else if reference.is_empty() {
            wanted.name = Some(commit.to_owned()).filter(|name| !name.is_empty());
        } else if !commit.is_empty() && commit != "HEAD" {
            wanted.unused = Some(format!("{commit} is no id of a commit; {reference} is taken"));
        }
        if is_id(reference) {
            wanted.commit.get_or_insert_with(|| reference.to_ascii_lowercase());
        } else if !reference.is_empty() {
            wanted.name = Some(reference.to_owned());
        } else if let Some(beginning) = &wanted.beginning {
            // Brigade took a commit without a reference for either; so do we.
            wanted.name = Some(beginning.clone());
        }
        Ok(wanted)
    }
}

/// Whether a text is the whole id of a commit, by SHA-1 or SHA-256.
pub(super) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text may be the beginning of an id.
pub(super) fn is_beginning(text: &str) -> bool {
    (SHORTEST..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What git takes as the name of a reference, and no option.
fn is_name(name: &str) -> bool {
    let letter = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    let part =
        |part: &str| part.is_empty() || part.starts_with(['.', '-']) || part.ends_with(".lock");
    name.len() <= 1024
        && !name.contains(letter)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name != "@"
        && !name.split('/').any(part)
}

/// The names that a short one may stand for, the first that exists wins: as git has it, the name
/// itself, a tag, a branch.
pub(super) fn candidates(name: &str) -> Vec<String> {
    if name.starts_with("refs/") || name == "HEAD" {
        return vec![name.to_owned()];
    }
    ["refs/", "refs/tags/", "refs/heads/"]
        .into_iter()
        .map(|start| format!("{start}{name}"))
        .collect()
}

#[cfg(test)]
const ID: &str = "589e15029e1e44dee48de4800daf1f78e64287c0";

#[test]
fn the_commit_wins_and_the_reference_is_kept() {
    let some = |text: &str| Some(text.to_owned());
    for (commit, reference, expected) in [
        (ID, "refs/heads/main", (some(ID), None, some("refs/heads/main"))),
        (ID, "", (some(ID), None, None)),
        ("", ID, (some(ID), None, None)),
        ("", "main", (None, None, some("main"))),
        ("HEAD", "master", (None, None, some("master"))),
        ("hotfix", "", (None, None, some("hotfix"))),
        ("589e150", "", (None, some("589e150"), some("589e150"))),
        ("589e150", "main", (None, some("589e150"), some("main"))),
        ("", "", (None, None, None)),
    ] {
        let wanted = Wanted::of(commit, reference).unwrap();
        assert_eq!(
            (wanted.commit, wanted.beginning, wanted.name),
            expected,
            "{commit} {reference}"
        );
    }
    let wanted = Wanted::of("latest", "main").unwrap();
    assert_eq!(wanted.unused.unwrap(), "latest is no id of a commit; main is taken");
}

#[test]
fn names_that_git_would_take_for_something_else_are_refused() {
    for name in [
        "--upload-pack=x",
        "-x",
        "refs/heads/-x",
        "a b",
        "a\nb",
        "a..b",
        "a:b",
        "+a",
        "a^",
        "@{-1}",
        "@",
        "a//b",
        "/a",
        "a/",
        "a.lock",
        "a/.b",
        "*",
        "a\u{7f}",
    ] {
        let refused = Wanted::of("", name).is_err() && Wanted::of(name, "").is_err();
        // A plus is a letter of names; it means something only at the beginning of a refspec,
        // where no name of ours is.
        assert_eq!(refused, name != "+a", "{name:?}");
    }
}
