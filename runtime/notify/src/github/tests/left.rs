//! What was told of a build and is told of no more, and what one build leaves to another.

use super::*;

#[tokio::test]
async fn nobody_waits_for_a_job_of_which_nobody_knows_any_more() {
    for token in [TOKEN, APP_TOKEN] {
        let server = github().await;
        let first = tell_with(&server, token, &of(running()), None).await.unwrap().handle;
        let mut over = report(Moment::Succeeded, "Succeeded", Vec::new());
        over.finished = "2026-03-01T10:01:05Z".parse().ok();
        let second = tell_with(&server, token, &of(over.clone()), first.as_ref()).await.unwrap();
        let calls = written(&server).await;
        // The job that had ended stays as it was.
        let [(_, build), (_, test)] = &calls[3..] else { panic!("{calls:?}") };
        let why = "Cancelled: nobody knows how it ended";
        if token == TOKEN {
            assert_eq!((&build["state"], &test["state"]), (&json!("success"), &json!("error")));
            assert_eq!(test["context"], "brigantine/pull_request/test");
            assert_eq!(test["description"], why);
        } else {
            assert_eq!(build["conclusion"], "success");
            assert_eq!(build["output"]["title"], "Succeeded in 1m 5s");
            assert_eq!(test["conclusion"], "cancelled");
            assert_eq!(test["external_id"], "01build/test");
            assert_eq!(test["output"]["title"], why);
        }
        let again = tell_with(&server, token, &of(over), second.handle.as_ref()).await.unwrap();
        assert_eq!(again.said, "told GitHub nothing: all of it is there");
    }
}

#[tokio::test]
async fn a_build_of_something_else_does_not_take_the_place_of_one_of_the_commit() {
    for (event, name) in [
        ("push", "brigantine/push"),
        ("pull_request", "brigantine/pull_request"),
        ("pull_request:opened", "brigantine/pull_request"),
        ("pull_request:synchronize", "brigantine/pull_request"),
        ("pull_request:reopened", "brigantine/pull_request"),
        ("pull_request:labeled", "brigantine/pull_request:labeled"),
        ("check_suite:requested", "brigantine/check_suite"),
        ("check_suite:rerequested", "brigantine/check_suite"),
    ] {
        let report = BuildReport { event: event.to_owned(), ..running() };
        let parts = parts(&report, None);
        assert_eq!(parts[0].name, name);
        assert_eq!(parts[1].name, format!("{name}/lint"));
    }
}
