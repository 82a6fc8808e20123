//! The script API of Brigade 2, in the same object.

use expect_test::expect;
use runtime::job::{Job, Variable};

use super::*;

const HEAD: &str = "const { events, Job, Container, JobHost, SerialGroup, ConcurrentGroup, logger } = require('@brigadecore/brigadier');\n";

fn ran(body: &str) -> (Script, Turn) {
    let mut script = Script::new(usual(), None);
    let turn = script.load(&format!("{HEAD}{body}"));
    assert_eq!(turn.thrown, None);
    (script, turn)
}

fn handled(body: &str) -> (Script, Turn) {
    ran(&format!("events.on('brigade.sh/github', 'push', {body});\nevents.process();"))
}

fn said(body: &str) -> String {
    let (script, turn) = ran(body);
    assert!(!turn.state.failed, "{}", script.printed());
    script.printed()
}

fn jobs(turn: &Turn) -> Vec<&Job> {
    let found = turn.commands.iter().filter_map(|command| match command {
        Command::Run { job, .. } => Some(&**job),
        _ => None,
    });
    found.collect()
}

fn names(turn: &Turn) -> Vec<&str> {
    jobs(turn).iter().map(|job| job.name.as_str()).collect()
}

/// The job of a handler.
fn job(body: &str) -> Job {
    let (script, turn) = handled(&format!(
        "(event) => {{ const job = new Job('j', 'i', event); {body}; job.run(); }}"
    ));
    assert!(!turn.state.failed, "{}", script.printed());
    let [job] = jobs(&turn)[..] else { panic!("{turn:?} {}", script.printed()) };
    job.clone()
}

/// Why a handler's job cannot be created.
fn refused(body: &str) -> String {
    let (script, turn) = handled(&format!(
        "async (event) => {{ const job = new Job('j', 'i', event); {body}; await job.run().catch((error) => console.log(error.message)); }}"
    ));
    assert!(jobs(&turn).is_empty() && !turn.state.failed, "{turn:?}");
    script.printed()
}

#[test]
fn a_handler_is_told_brigade_2s_event() {
    let (script, _) = handled("(event) => console.log(event)");
    expect![[r#"
        {
          id: '01kag00000000000000000000a',
          project: {
            id: 'brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4',
            kubernetes: { namespace: 'brigade' },
            secrets: { PASSWORD: '***', nested: [Object] }
          },
          source: 'brigade.sh/github',
          type: 'push',
          qualifiers: { repo: 'org/app' },
          labels: {},
          shortTitle: '',
          longTitle: '',
          payload: '{"n":1}',
          worker: {
            apiAddress: '',
            apiToken: '',
            configFilesDirectory: '.brigade',
            defaultConfigFiles: {},
            logLevel: 'INFO',
            git: {
              commit: 'c0ffee',
              ref: 'refs/heads/main',
              cloneURL: 'https://github.com/org/app.git'
            }
          }
        }"#]]
    .assert_eq(&script.printed());
}

#[test]
fn the_last_handler_of_a_source_and_a_type_is_the_one() {
    for (body, expected) in [
        (
            "events.on(S, 'push', () => console.log(1)); events.on(S, 'push', () => console.log(2));",
            "2",
        ),
        (
            "events.on(S, '*', () => console.log('any')).on(S, 'push', () => console.log('push'));",
            "push",
        ),
        ("events.on(S, '*', () => console.log('any')); events.on(S, 'pull', () => {});", "any"),
        (
            "events.on('*', 'push', () => console.log(1)); events.on('x', '*', () => console.log(1));",
            "",
        ),
    ] {
        let body = format!("const S = 'brigade.sh/github'; {body} events.process()");
        assert_eq!(said(&body), expected, "{body}");
    }
}

#[test]
fn nothing_is_handled_before_process_is_called() {
    let (mut script, turn) = ran("events.on('brigade.sh/github', 'push', () => console.log(1));");
    assert_eq!(turn.state.handlers, ["brigade.sh/github:push"]);
    assert_eq!(turn.state.processed, None);
    let turn = script.engine.turn(Delivery::Fire("push".to_owned()));
    assert!(!turn.heard);
    assert_eq!(
        script.printed(),
        "[brigade:app] events.process() is not called, so no handler of a source and a type runs"
    );
}

#[test]
fn both_apis_hear_the_same_event() {
    let (mut script, turn) =
        ran("events.on('push', (e, project) => new Job('one', 'i', ['true']).run());
         events.on('brigade.sh/github', 'push', (event) => new Job('two', 'i', event).run());
         events.process();");
    assert_eq!(names(&turn), ["two"]);
    assert_eq!(turn.state.handlers, ["push", "brigade.sh/github:push"]);
    assert_eq!(turn.state.processed.as_deref(), Some("brigade.sh/github:push"));
    let turn = script.engine.turn(Delivery::Fire("push".to_owned()));
    assert_eq!(names(&turn), ["one"]);
    assert!(turn.heard);
}

#[test]
fn what_a_handler_returns_is_the_summary() {
    for (body, expected) in [
        ("() => 'done'", Some("done")),
        ("async () => 'done later'", Some("done later")),
        ("async () => { await null; return 'x'; }", Some("x")),
        ("() => ''", None),
        ("() => 5", None),
        ("() => {}", None),
        ("() => ({ toString() { return 'x' } })", None),
    ] {
        let (_, turn) = handled(body);
        assert_eq!(turn.state.summary.as_deref(), expected, "{body}");
    }
}

#[test]
fn what_a_handler_throws_fails_the_build() {
    for body in ["() => { throw new Error('no') }", "async () => { throw new Error('no') }"] {
        let (script, turn) = handled(body);
        assert!(turn.state.failed && turn.thrown.is_none(), "{body}");
        assert!(script.printed().starts_with("[brigade:app] Error: no"), "{}", script.printed());
    }
    assert!(
        thrown(&format!("{HEAD}events.on('a', 'b', 'c')"))
            .contains("the handler of a:b must be a function")
    );
}

#[test]
fn a_job_is_born_with_brigade_2s_defaults() {
    expect![[r#"
        Job {
          name: 'j',
          primaryContainer: Container {
            image: 'i',
            imagePullPolicy: 'IfNotPresent',
            workingDirectory: '',
            command: [],
            arguments: [],
            environment: {},
            workspaceMountPath: '',
            sourceMountPath: '',
            privileged: false
          },
          sidecarContainers: {},
          timeoutSeconds: 900,
          retries: 0,
          host: JobHost { os: undefined, nodeSelector: {} },
          fallible: false,
          event: { worker: {} }
        }
        true true true"#]]
    .assert_eq(&said(
        "const job = new Job('j', 'i', { worker: {} });
         console.log(require('util').inspect(job, { depth: 5 }));
         console.log(job instanceof Job, job.host instanceof JobHost, job.primaryContainer instanceof Container);",
    ));
    let job = job("");
    assert_eq!((job.name.as_str(), job.image.as_str(), job.timeout), ("j", "i", 900_000));
    assert_eq!(job.command, Some(Vec::new()));
    assert!(!job.use_source && !job.storage.enabled && !job.fallible && !job.privileged);
    assert!(job.sidecars.is_empty() && job.tasks.is_empty() && job.env.is_empty());
    let occasion = job.occasion.unwrap();
    assert_eq!(occasion.revision.commit, "c0ffee");
    assert_eq!(occasion.clone_url.as_deref(), Some("https://github.com/org/app.git"));
}

#[test]
fn the_third_argument_says_whose_job_it_is() {
    assert_eq!(
        said(
            "const has = (job) => console.log('primaryContainer' in job, 'tasks' in job);
             has(new Job('a', 'i')); has(new Job('a', 'i', ['true'])); has(new Job('a', 'i', null));
             has(new Job('a', 'i', {})); has(Job.container('a', 'i', {}));
             class Mine extends Job { constructor(event) { super('mine', 'i', event); } }
             has(new Mine({})); console.log(new Mine({}) instanceof Mine);"
        ),
        "false true\nfalse true\nfalse true\ntrue false\ntrue false\ntrue false\ntrue"
    );
}

#[test]
fn everything_that_a_job_says_arrives() {
    let job = job(
        "const own = job.primaryContainer;
         own.imagePullPolicy = 'Always'; own.workingDirectory = '/w'; own.command = ['a', 'b'];
         own.arguments = ['c']; own.environment = { A: '1', B: undefined, C: 2, D: null };
         own.workspaceMountPath = '/share'; own.sourceMountPath = '/src'; own.privileged = true;
         job.timeoutSeconds = 1.5; job.fallible = true;
         job.host.os = 'Linux'; job.host.nodeSelector = { disk: 'ssd' };
         const db = new Container('postgres'); db.environment.PASSWORD = 'x';
         db.workspaceMountPath = '/s'; db.workingDirectory = '/d'; db.command = ['run']; db.arguments = ['it'];
         const cache = new Container('redis'); cache.sourceMountPath = '/c'; cache.privileged = true;
         cache.imagePullPolicy = 'Always';
         job.sidecarContainers = { db, cache }",
    );
    assert!(job.image_force_pull && job.use_source && job.privileged && job.fallible);
    assert_eq!(job.working_directory.as_deref(), Some("/w"));
    assert_eq!(job.command.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(job.args, ["c"]);
    let variables: Vec<String> = job
        .env
        .iter()
        .map(|(name, value)| match value {
            Variable::Text(text) => format!("{name}={text}"),
            other => format!("{name} {other:?}"),
        })
        .collect();
    assert_eq!(variables, ["A=1", "C=2"]);
    assert_eq!((job.mount_path.as_str(), job.storage.path.as_str()), ("/src", "/share"));
    assert_eq!(job.timeout, 1500);
    assert_eq!(job.host.os.as_deref(), Some("linux"));
    assert_eq!(job.host.node_selector["disk"], "ssd");
    let [db, cache] = &job.sidecars[..] else { panic!("{job:?}") };
    assert_eq!((db.name.as_str(), db.image.as_str()), ("db", "postgres"));
    assert_eq!(db.env, [("PASSWORD".to_owned(), "x".to_owned())]);
    assert_eq!(db.working_directory.as_deref(), Some("/d"));
    assert_eq!((&db.command[..], &db.args[..]), (&["run".to_owned()][..], &["it".to_owned()][..]));
    assert_eq!(db.workspace_mount_path.as_deref(), Some("/s"));
    assert!(!db.image_force_pull && db.source_mount_path.is_none() && !db.privileged);
    assert_eq!(cache.source_mount_path.as_deref(), Some("/c"));
    assert!(cache.image_force_pull && cache.privileged);
}

#[test]
fn what_only_a_sidecar_mounts_the_primary_container_does_not_see() {
    let job =
        job("const c = new Container('x'); c.sourceMountPath = '/a'; c.workspaceMountPath = '/b';
         job.sidecarContainers.c = c");
    assert!(job.use_source && job.storage.enabled);
    assert_eq!((job.mount_path.as_str(), job.storage.path.as_str()), ("", ""));
}

#[test]
fn the_source_is_that_of_the_event_that_the_job_was_made_with() {
    let job = job("event.worker.git.commit = 'other'");
    assert_eq!(job.occasion.unwrap().revision.commit, "other");
}

#[test]
fn what_is_wrong_with_a_job_rejects_its_promise() {
    for (body, expected) in [
        ("job.name = 'A'", "Error creating job \"A\": job name must be lowercase letters"),
        ("job.timeoutSeconds = 0", "timeoutSeconds of job j must be a number above 0"),
        ("job.timeoutSeconds = 'soon'", "timeoutSeconds of job j must be a number above 0"),
        ("job.primaryContainer = null", "primaryContainer of job j must be a Container"),
        ("job.sidecarContainers = { db: 'postgres' }", "sidecar db of job j must be a Container"),
        (
            "job.sidecarContainers = { Db: new Container('x') }",
            "\"Db\" of job j cannot be the name of a sidecar",
        ),
        (
            "job.primaryContainer.command = 'ls -l'",
            "command of primaryContainer of job j must be an array",
        ),
        (
            "job.primaryContainer.arguments = 5",
            "arguments of primaryContainer of job j must be an array",
        ),
        (
            "job.primaryContainer.imagePullPolicy = 'never'",
            "must be \"IfNotPresent\" or \"Always\", not \"never\"",
        ),
        (
            "job.primaryContainer.environment = { A: {} }",
            "environment A of primaryContainer of job j must be a string, not object",
        ),
        (
            "job.primaryContainer.environment = { 'a b': '' }",
            "\"a b\" of job j cannot be the name of an environment variable",
        ),
        (
            "Object.defineProperty(job, 'fallible', { get() { throw new Error('mine') } })",
            "Error creating job \"j\": mine",
        ),
    ] {
        let text = refused(body);
        assert!(
            text.starts_with("Error creating job") && text.contains(expected),
            "{body}: {text}"
        );
    }
}

/// What a handler prints of its job, whose end this is.
fn ended(body: &str, result: Result<&str, &str>) -> (String, bool) {
    let (mut script, _) = handled(&format!(
        "async (event) => {{ const job = new Job('j', 'i', event); {body};
         try {{ console.log('came to', await job.run()); }} catch (error) {{ console.log(error.message, error.exitCode); throw error; }} }}"
    ));
    let returned = |text: &str| Returned { text: text.to_owned(), ..Returned::default() };
    let result = result.map(returned).map_err(|reason| Failure {
        message: "job j(j-1): Error: Pod j-1 failed to run to completion".to_owned(),
        job: "j".to_owned(),
        pod_name: "j-1".to_owned(),
        exit_code: Some(3),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        ..Failure::default()
    });
    let turn = script.engine.turn(Delivery::Settle { id: 0, result });
    (script.printed(), turn.state.failed)
}

#[test]
fn a_job_comes_to_nothing_or_fails() {
    assert_eq!(ended("", Ok("")), ("came to undefined".to_owned(), false));
    let (printed, failed) = ended("", Err(""));
    assert!(failed);
    assert!(
        printed.starts_with("Job \"j\" failed: Pod j-1 failed to run to completion 3"),
        "{printed}"
    );
    let (printed, _) = ended("", Err("DeadlineExceeded"));
    assert!(printed.starts_with("Job \"j\" timed out: "), "{printed}");
    assert_eq!(
        ended("job.fallible = true", Err("")),
        (
            "[brigade:app] job j has failed, and may: it is fallible\ncame to undefined".to_owned(),
            false
        )
    );
}

/// The names of the jobs that are run, each as soon as those before it have ended well.
fn order(body: &str) -> Vec<Vec<String>> {
    let (mut script, mut turn) = handled(&format!(
        "async (event) => {{ const job = (name) => new Job(name, 'i', event); await ({body}).run(); console.log('end'); }}"
    ));
    let mut waves = Vec::new();
    let mut next = 0;
    while script.printed().is_empty() {
        let wave: Vec<String> = names(&turn).into_iter().map(str::to_owned).collect();
        assert!(!wave.is_empty(), "{turn:?}");
        let ids = next..next + wave.len();
        next = ids.end;
        waves.push(wave);
        let mut commands = Vec::new();
        for id in ids {
            turn = script.engine.turn(Delivery::Settle { id, result: Ok(Returned::default()) });
            commands.append(&mut turn.commands);
        }
        turn.commands = commands;
    }
    assert_eq!(script.printed(), "end");
    waves
}

#[test]
fn groups_run_in_sequence_and_at_once_at_any_depth() {
    for (body, expected) in [
        ("Job.sequence(job('a'), job('b'))", "a|b"),
        ("Job.sequence(job('a'))", "a"),
        ("Job.concurrent(job('a'), job('b'))", "a b"),
        ("Job.sequence(job('a'), Job.concurrent(job('b'), job('c')), job('d'))", "a|b c|d"),
        (
            "Job.concurrent(job('a'), Job.sequence(job('b'), Job.concurrent(job('c'), job('d'))))",
            "a b|c d",
        ),
        ("Job.sequence(Job.sequence(Job.concurrent(job('a'))), Job.sequence(job('b')))", "a|b"),
        ("Job.sequence(Job.concurrent(), Job.sequence(), job('a'))", "a"),
    ] {
        let order: Vec<String> = order(body).iter().map(|wave| wave.join(" ")).collect();
        assert_eq!(order.join("|"), expected, "{body}");
    }
}

#[test]
fn groups_take_more_and_count() {
    assert_eq!(
        said(
            "const a = new SerialGroup(); a.add({ run: async () => console.log('ran') }, { run: async () => console.log('too') });
             console.log(a.length(), new ConcurrentGroup(a, a).length(), Job.sequence(a) instanceof SerialGroup, Job.concurrent() instanceof ConcurrentGroup);
             a.run();"
        ),
        "2 2 true true\nran\ntoo"
    );
}

#[test]
fn a_sequence_ends_at_the_first_failure() {
    let (mut script, turn) = handled(
        "async (event) => { const job = (name) => new Job(name, 'i', event);
           await Job.sequence(job('a'), job('b')).run(); }",
    );
    assert_eq!(names(&turn), ["a"]);
    let failure = Failure { message: "no".to_owned(), job: "a".to_owned(), ..Failure::default() };
    let turn = script.engine.turn(Delivery::Settle { id: 0, result: Err(failure) });
    assert!(turn.state.failed && names(&turn).is_empty());
    assert!(script.printed().contains("Error: Job \"a\" failed: no"), "{}", script.printed());
}

#[test]
fn the_logger_says_its_level_and_is_silent_below_the_events() {
    assert_eq!(
        said("logger.debug('no'); logger.info('a %s', 'b').warn('c', { d: 1 }); logger.error('e')"),
        "INFO: a b\nWARN: c { d: 1 }\nERROR: e"
    );
}
