//! Decides which events a project takes, before they become builds: by the names that they fire,
//! and by the branches, tags and files that they are about.
//!
//! The rules are the project's own (`runtime::project::Filters`); each is passed over where a sender
//! does not say what it looks at, because an event that may be wanted is built.

use runtime::event::{Event, Image};
use runtime::project::Project;

use crate::lenient::line;

/// How many names of files, branches or events a reason shows.
const SHOWN: usize = 3;

/// What an event is about, as far as its sender says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// The branches that it may be on, of which one is enough: the one that was pushed to, or that
    /// a pull request is to be merged into.
    pub(crate) branches: Vec<String>,
    /// The tag that was pushed.
    pub(crate) tag: Option<String>,
    /// The files that were changed: all of them, or none where the sender may have left some out.
    pub(crate) paths: Option<Vec<String>>,
}

impl Seen {
    /// What a full reference says: `refs/heads/<branch>` or `refs/tags/<tag>`.
    pub(crate) fn of(reference: &str) -> Seen {
        let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
        let tag = reference.strip_prefix("refs/tags/").map(str::to_owned);
        Seen { branches: branch.into_iter().collect(), tag, paths: None }
    }
}

/// The event as the project takes it, or the rule that passes it over, with the value that it saw.
///
/// `events` are the names of events that are taken in projects that list none. An event of which
/// only the name with the action is listed fires only that.
pub(crate) fn take(
    project: &Project,
    events: &[String],
    event: Event,
    seen: &Seen,
) -> Result<Event, String> {
    let filters = &project.filters;
    let events = if filters.events.is_empty() { events } else { &filters.events };
    let event = named(events, event)?;
    takes_image(project, &event)?;
    let branches = &filters.branches;
    if !seen.branches.is_empty() && !seen.branches.iter().any(|branch| branches.take(branch)) {
        return Err(refused("the branch is", &seen.branches, branches.text()));
    }
    if let Some(tag) = &seen.tag
        && !filters.tags.take(tag)
    {
        return Err(refused("the tag is", std::slice::from_ref(tag), filters.tags.text()));
    }
    if let Some(paths) = &seen.paths
        && !paths.is_empty()
        && !paths.iter().any(|path| filters.paths.take(path))
    {
        let what = match paths.len() {
            1 => "the one changed file is".to_owned(),
            count => format!("{count} files were changed, among them"),
        };
        return Err(refused(&what, paths, filters.paths.text()));
    }
    Ok(event)
}

/// Whether the project takes the image that an event is about, or the rule that passes it over.
pub(crate) fn takes_image(project: &Project, event: &Event) -> Result<(), String> {
    let images = &project.filters.images;
    if images.is_empty() || !is_of_registry(event) {
        return Ok(());
    }
    // Where nothing proves the sender, they could name any image: so what names none is not taken
    // either.
    let Some(image) = &event.image else {
        return Err(refused("the image is", &["unknown".to_owned()], images.text()));
    };
    let bare = Image { tag: None, digest: None, ..image.clone() }.reference();
    let whole = image.reference();
    if !images.take_any(&[&bare, &whole]) {
        return Err(refused("the image is", &[whole], images.text()));
    }
    Ok(())
}

/// What is said of an event that a list does not take.
fn refused(what: &str, names: &[String], list: String) -> String {
    let names: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", line(name, 100))).collect();
    format!("{what} {}; the project's filter takes `{}`", names.join(", "), line(&list, 300))
}

/// Whether a list names an event, or an event with its action, itself and not by `*`: as senders'
/// events must be that are built only where somebody asks for them.
pub(crate) fn asks_for(
    project: &Project,
    events: &[String],
    kind: &str,
    action: Option<&str>,
) -> bool {
    let own = &project.filters.events;
    let events = if own.is_empty() { events } else { own };
    let qualified = action.map(|action| format!("{kind}:{action}"));
    events.iter().any(|name| name == kind || Some(name) == qualified.as_ref())
}

fn is_of_registry(event: &Event) -> bool {
    let name = event.alias.as_ref().unwrap_or(&event.kind);
    event.image.is_some() || name.starts_with("image_") || name.starts_with("chart_")
}

/// The event with the names that are listed, by Brigade's rule: a name is, if `*` is, the name
/// itself, or what it has before its colon.
fn named(events: &[String], event: Event) -> Result<Event, String> {
    let lists = |name: &str| {
        let unqualified = name.split(':').next().unwrap_or_default();
        events.iter().any(|listed| listed == "*" || listed == name || listed == unqualified)
    };
    if lists(&event.kind) {
        return Ok(event);
    }
    let qualified = event.action.as_ref().map(|action| format!("{}:{action}", event.kind));
    match qualified {
        Some(kind) if lists(&kind) => Ok(Event { kind, action: None, ..event }),
        qualified => {
            let name = qualified.unwrap_or(event.kind);
            let listed: Vec<String> = events.iter().map(|name| line(name, 100)).collect();
            Err(format!(
                "the event is `{}`; these are built: {}",
                line(&name, 100),
                line(&listed.join(", "), 300)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::project::values;

    use super::*;

    fn all() -> Vec<String> {
        vec!["*".to_owned()]
    }

    fn project(filters: &str) -> Project {
        let yaml = format!("project: a/b\nsharedSecret: s\nfilters: {filters}\n");
        values::read(&yaml, "default").unwrap().0
    }

    fn event(kind: &str, action: &str) -> Event {
        let action = Some(action.to_owned()).filter(|action| !action.is_empty());
        Event { action, ..Event::new("github", kind, "{}") }
    }

    /// The names that an event fires in this project, or why it is passed over.
    fn fires(list: &str, kind: &str, action: &str) -> String {
        match take(
            &project(&format!("{{events: {list:?}}}")),
            &all(),
            event(kind, action),
            &Seen::default(),
        ) {
            Ok(Event { kind, action: Some(action), .. }) => format!("{kind} {kind}:{action}"),
            Ok(Event { kind, .. }) => kind,
            Err(reason) => reason,
        }
    }

    #[test]
    fn names_are_listed_by_brigades_rule() {
        for (list, kind, action, expected) in [
            ("", "push", "", "push"),
            ("*", "issue_comment", "created", "issue_comment issue_comment:created"),
            ("issue_comment", "issue_comment", "created", "issue_comment issue_comment:created"),
            ("issue_comment:created", "issue_comment", "created", "issue_comment:created"),
            ("push,issue_comment:created", "push", "", "push"),
            ("Pod", "Pod:Killing", "", "Pod:Killing"),
        ] {
            assert_eq!(fires(list, kind, action), expected, "{list:?}");
        }
        assert_eq!(
            fires("push, issue_comment:created", "issue_comment", "deleted"),
            "the event is `issue_comment:deleted`; these are built: push, issue_comment:created"
        );
        assert_eq!(
            fires("pull", "pull_request", ""),
            "the event is `pull_request`; these are built: pull"
        );
    }

    #[test]
    fn an_operators_list_counts_for_projects_that_have_none() {
        let operators = ["push".to_owned()];
        let take = |filters: &str, kind: &str| {
            take(&project(filters), &operators, event(kind, ""), &Seen::default()).is_ok()
        };
        assert!(take("{}", "push") && !take("{}", "create"));
        assert!(!take("{events: create}", "push") && take("{events: create}", "create"));
    }

    #[test]
    fn some_events_must_be_asked_for_by_name() {
        let asks = |list: &str, action: Option<&str>| {
            asks_for(&project(&format!("{{events: {list:?}}}")), &all(), "issues", action)
        };
        assert!(!asks("", Some("opened")) && !asks("*", Some("opened")) && !asks("push", None));
        assert!(asks("*,issues", Some("opened")) && asks("issues:opened", Some("opened")));
        assert!(!asks("issues:opened", Some("closed")) && !asks("issues:opened", None));
    }

    #[test]
    fn an_image_is_taken_by_its_name_or_with_its_tag() {
        let take = |list: &str, registry: &str, tag: Option<&str>| {
            let image = Image {
                registry: registry.to_owned(),
                repository: "team/app".to_owned(),
                tag: tag.map(str::to_owned),
                digest: Some("sha256:0".to_owned()),
            };
            let event = Event { image: Some(image), ..event("image_push", "") };
            let project = project(&format!("{{images: {list:?}}}"));
            super::take(&project, &all(), event, &Seen::default()).map(drop)
        };
        let acme = "acme.azurecr.io";
        for list in ["", "acme.azurecr.io/**", "acme.azurecr.io/team/app", "*/team/app:1.*"] {
            assert_eq!(take(list, acme, Some("1.0")), Ok(()), "{list}");
        }
        for list in ["**,!*/team/app:1.*", "!*/team/app", "acme.azurecr.io/app", "*/team/app:2"] {
            assert!(take(list, acme, Some("1.0")).is_err(), "{list}");
        }
        assert_eq!(take("acme.azurecr.io/**,!**/*:dev-*", acme, None), Ok(()));
        assert_eq!(
            take("acme.azurecr.io/**", "evil.example", Some("1.0")),
            Err("the image is `evil.example/team/app:1.0`; the project's filter takes \
                 `acme.azurecr.io/**`"
                .to_owned())
        );
        assert!(take("acme.azurecr.io/**", "", Some("1.0")).is_err(), "an unknown registry");
        let project = project("{images: 'acme.azurecr.io/**'}");
        let take = |kind: &str| super::take(&project, &all(), event(kind, ""), &Seen::default());
        assert_eq!(
            take("image_push").map(drop),
            Err("the image is `unknown`; the project's filter takes `acme.azurecr.io/**`"
                .to_owned())
        );
        assert!(take("chart_delete").is_err() && take("push").is_ok());
    }

    #[test]
    fn a_refusal_names_the_rule_and_what_it_saw() {
        let project =
            project("{branches: 'main,release/*', tags: 'v*', paths: ['src/**', '!src/**/*.md']}");
        let take = |seen: Seen| take(&project, &all(), event("push", ""), &seen).map(drop);
        let changed = |paths: &[&str]| Seen {
            paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
            ..Seen::of("refs/heads/main")
        };
        for seen in [
            Seen::default(),
            Seen::of("refs/pull/1/head"),
            Seen::of("refs/heads/release/1"),
            Seen::of("refs/tags/v1"),
            Seen { branches: vec!["dev".to_owned(), "main".to_owned()], ..Seen::default() },
            changed(&["README.md", "src/lib.rs"]),
            changed(&[]),
        ] {
            assert_eq!(take(seen.clone()), Ok(()), "{seen:?}");
        }
        for (seen, reason) in [
            (
                Seen::of("refs/heads/dev\n"),
                "the branch is `dev`; the project's filter takes `main,release/*`",
            ),
            (Seen::of("refs/tags/1.0"), "the tag is `1.0`; the project's filter takes `v*`"),
            (
                changed(&["README.md"]),
                "the one changed file is `README.md`; the project's filter takes \
                 `src/**,!src/**/*.md`",
            ),
            (
                changed(&["a", "b", "src/c.md", "d"]),
                "4 files were changed, among them `a`, `b`, `src/c.md`; the project's filter takes \
                 `src/**,!src/**/*.md`",
            ),
        ] {
            assert_eq!(take(seen), Err(reason.to_owned()));
        }
    }
}
