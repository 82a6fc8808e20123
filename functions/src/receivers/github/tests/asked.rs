//! What events mean that are built only where somebody asks for them, and whose commits count.

use super::*;

/// What a project makes of a body that asks for these events.
fn shown_where(events: &str, name: &str, body: &Value) -> String {
    let filters = format!("{{events: {events:?}}}");
    shown_of(meaning_with(&Settings::default(), &filters, name, body.to_string().into()), body)
}

#[test]
fn an_event_of_any_name_is_built_where_somebody_asks_for_it() {
    let body = json!({
        "action": "opened",
        "issue": {"number": 3, "title": "A leak", "updated_at": "2026-03-01T13:00:00Z"},
        "repository": repository(),
    });
    let ignored =
        "ignored: `issues` events are built only where the project's filters.events names them";
    for events in ["", "*", "push", "issues:closed"] {
        assert_eq!(shown_where(events, "issues", &body), ignored, "{events}");
    }
    let built = "issues\naction opened\nref refs/heads/main\nshort PR #3\nlong PR #3: A leak\ntime 2026-03-01T13:00:00Z";
    for events in ["issues", "*,issues", "issues:opened"] {
        assert_eq!(shown_where(events, "issues", &body), built, "{events}");
    }
    // The header is not signed, so the body must be that of an issue, too.
    let run = json!({"workflow": {}, "workflow_run": {}, "repository": repository()});
    for (name, body) in [
        ("issues", push()),
        ("star", body.clone()),
        ("workflow_run", body),
        ("workflow_dispatch", run),
    ] {
        let shown = shown_where("issues,star,workflow_run,workflow_dispatch", name, &body);
        assert!(shown.starts_with("ignored: the header X-GitHub-Event says"), "{shown}");
    }
    let closed = json!({"action": "closed", "issue": {"number": 3}, "repository": repository()});
    let shown = shown_where("issues:opened", "issues:opened", &closed);
    assert!(shown.starts_with("ignored: `issues:opened` events are built only"), "{shown}");
}

#[test]
fn a_check_suite_of_what_was_told_of_builds_is_no_event_and_others_are() {
    let body = |app: u64| {
        json!({
            "action": "completed",
            "check_suite": {"head_sha": "5", "head_branch": "main", "app": {"id": app}},
            "repository": repository(),
        })
    };
    let key = "-----BEGIN RSA PRIVATE KEY-----";
    for two_builds in ["false", "true"] {
        let settings = |app: &'static str| {
            let variable = |name: &str| match name {
                "APP_ID" => Some(app.to_owned()),
                "APP_KEY" => Some(key.to_owned()),
                "GITHUB_TWO_BUILDS" => Some(two_builds.to_owned()),
                _ => None,
            };
            Settings::read(variable).unwrap()
        };
        let shown = |settings: &Settings, notifiers: &str, app: u64| {
            let rest = format!("{{}}\nnotifiers: {notifiers}");
            let body = body(app);
            shown_of(meaning_with(settings, &rest, "check_suite", body.to_string().into()), &body)
        };
        let ours = settings("7");
        let told = "[{kind: github}]";
        assert_eq!(shown(&ours, told, 7), "ignored: the check suite is of builds here");
        // Where nothing is told, nothing goes in circles; and others' are their own.
        for (settings, notifiers, app) in
            [(&ours, "[{kind: slack}]", 7), (&ours, "[]", 7), (&settings("0"), told, 8)]
        {
            let shown = shown(settings, notifiers, app);
            assert!(shown.starts_with("check_suite\naction completed"), "{shown}");
        }
    }
}

#[test]
fn what_pull_requests_do_besides_is_built_under_its_full_name_only() {
    let body = pull_request("assigned", 1, "NONE");
    for events in ["", "*", "pull_request"] {
        assert!(shown_where(events, "pull_request", &body).starts_with("skipped"), "{events}");
    }
    let shown = shown_where("*,pull_request:assigned", "pull_request", &body);
    assert!(shown.starts_with("pull_request:assigned\ncommit 3333"), "{shown}");
    let stranger = pull_request("assigned", 2, "NONE");
    let shown = shown_where("pull_request:assigned", "pull_request", &stranger);
    assert!(
        shown.starts_with("skipped: build skipped: the pull request comes from a fork"),
        "{shown}"
    );
    let nothing = with(pull_request("", 1, "NONE"), "action", Value::Null);
    assert!(shown_where("pull_request", "pull_request", &nothing).starts_with("skipped"));
}

#[test]
fn a_commit_that_may_be_a_forks_counts_for_nothing() {
    let run = |repository_id: u64| {
        json!({
            "action": "completed",
            "workflow_run": {
                "head_branch": "main",
                "head_sha": "99",
                "head_repository": {"id": repository_id},
            },
            "repository": repository(),
        })
    };
    let at = |name: &str, body: &Value| {
        let shown = shown_where("*,workflow_run,workflow_job,code_scanning_alert", name, body);
        let lines =
            shown.lines().filter(|line| line.starts_with("commit ") || line.starts_with("ref "));
        lines.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(at("workflow_run", &run(1)), "commit 99 ref refs/heads/main");
    assert_eq!(at("workflow_run", &run(2)), "ref refs/heads/main");
    let job = json!({"workflow_job": {"head_sha": "99"}, "repository": repository()});
    assert_eq!(at("workflow_job", &job), "ref refs/heads/main");
    let alert = |reference: &str| json!({"alert": {}, "ref": reference, "commit_oid": "99", "repository": repository()});
    assert_eq!(at("code_scanning_alert", &alert("refs/heads/dev")), "ref refs/heads/dev");
    assert_eq!(at("code_scanning_alert", &alert("refs/pull/1/merge")), "ref refs/heads/main");

    // Anybody may comment on any commit that GitHub has, and a check may fail on it.
    let comment = |association: Value| {
        let comment = json!({"commit_id": "66", "author_association": association});
        json!({"action": "created", "comment": comment, "repository": repository()})
    };
    assert_eq!(at("commit_comment", &comment(json!("MEMBER"))), "commit 66");
    assert_eq!(at("commit_comment", &comment(Value::Null)), "commit 66");
    assert_eq!(at("commit_comment", &comment(json!("NONE"))), "ref refs/heads/main");
    let status = |branches: Value| json!({"sha": "77", "state": "failure", "branches": branches, "repository": repository()});
    assert_eq!(at("status", &status(json!([{"name": "main"}]))), "commit 77");
    assert_eq!(at("status", &status(json!([]))), "ref refs/heads/main");
}

#[test]
fn a_deployments_commit_counts_where_a_person_or_a_workflow_of_the_repository_named_it() {
    let sha = "8888888888888888888888888888888888888888";
    let deployed = |reference: &str, creator: Value, app: Value, run: Value| {
        let deployment = json!({
            "sha": sha,
            "ref": reference,
            "creator": creator,
            "performed_via_github_app": app,
        });
        let mut body = json!({"deployment": deployment, "repository": repository()});
        if !run.is_null() {
            body["workflow_run"] = run;
        }
        let status = with(body.clone(), "deployment_status", json!({"state": "success"}));
        let shown = [("deployment", body), ("deployment_status", status)].map(|(name, body)| {
            let shown = shown(name, &body);
            let lines = shown.lines().skip(1).take_while(|line| !line.starts_with("time"));
            lines.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(shown[0], shown[1]);
        shown[0].clone()
    };
    let run = |repository: u64, head: &str| json!({"head_sha": head, "head_repository": {"id": repository}});
    let (person, bot, app) = (json!({"type": "User"}), json!({"type": "Bot"}), json!({"id": 1}));
    let built = |reference: &str| format!("commit {sha} ref {reference}");
    for (reference, creator, app, run) in [
        ("main", &person, Value::Null, Value::Null),
        ("main", &Value::Null, Value::Null, Value::Null),
        // Who may deploy may write to the repository, so naming a commit is trusting it.
        (sha, &person, Value::Null, Value::Null),
        ("topic", &bot, app.clone(), run(1, sha)),
    ] {
        assert_eq!(deployed(reference, creator.clone(), app, run), built(reference), "{reference}");
    }
    for (reference, creator, app, run) in [
        (sha, &bot, Value::Null, Value::Null),
        ("main", &bot, Value::Null, Value::Null),
        ("main", &person, app.clone(), Value::Null),
        ("refs/pull/1/merge", &person, Value::Null, Value::Null),
        ("pull/1/head", &person, Value::Null, Value::Null),
        // A branch of a fork may have the name of one of the repository.
        ("main", &person, Value::Null, run(2, sha)),
        ("main", &person, Value::Null, json!({"head_sha": sha})),
        ("main", &bot, app, run(1, "99")),
    ] {
        let shown = deployed(reference, creator.clone(), app, run);
        assert_eq!(shown, "ref refs/heads/main", "{reference} {creator}");
    }
}

#[test]
fn a_project_that_allows_forks_has_brigades_revisions() {
    let yaml = "project: ocean/brig\nsharedSecret: s\nallowForks: true\n";
    let (project, _) = values::read(yaml, "default").unwrap();
    let suite = json!({"head_branch": "dev", "head_sha": "55", "app": {"id": 1}});
    let suite = json!({"action": "requested", "check_suite": suite, "repository": repository()});
    let deployment = json!({"ref": "dev", "sha": "55", "creator": {"type": "Bot"}});
    let deployment = json!({"deployment": deployment, "repository": repository()});
    for (name, body) in [("check_suite", suite), ("deployment", deployment)] {
        let json = Bytes::from(body.to_string());
        let delivery = Delivery { name, id: b"1", json: json.clone(), signed: json };
        let meaning = translate(delivery, &Settings::default(), &project);
        let Ok(Meaning::Event(translated)) = meaning else { panic!("{meaning:?}") };
        let revision = translated.event.revision;
        assert_eq!((revision.commit.as_str(), revision.reference.as_str()), ("55", "dev"));
    }
}
