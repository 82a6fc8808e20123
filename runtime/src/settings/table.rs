//! Every setting, made from the comments of the fields: `tests/table.rs`.

use super::help::{Group, Program, Setting};

#[rustfmt::skip]
pub(super) const TABLE: &[Group] = &[
    Group { title: "Serving", programs: &[Program::Functions], settings: &[
        Setting {
            names: &["FUNCTIONS"],
            meaning: "which functions are served, a list of their names",
            default: Some("all"),
        },
        Setting {
            names: &["HOST", "PORT"],
            meaning: "where plain HTTP is served",
            default: Some("`0.0.0.0` and 8080"),
        },
        Setting {
            names: &["REQUEST_BUDGET"],
            meaning: "how long a request may take before it is answered with what is certain by then, in seconds",
            default: Some("8, since GitHub gives up after 10"),
        },
        Setting {
            names: &["SLACK_BUDGET"],
            meaning: "how long a request of Slack's may take, in seconds",
            default: Some("2.5, since Slack gives up after 3"),
        },
    ] },
    Group { title: "The cluster", programs: &[Program::Functions, Program::Run, Program::Sweep], settings: &[
        Setting {
            names: &["NAMESPACE", "BRIGADE_NAMESPACE"],
            meaning: "where the projects are",
            default: Some("`default`"),
        },
    ] },
    Group { title: "Who is believed", programs: &[Program::Functions], settings: &[
        Setting {
            names: &["DEFAULT_SHARED_SECRET"],
            meaning: "signs the webhooks of projects that have no secret",
            default: Some("none"),
        },
        Setting {
            names: &["REGISTRY_ALLOW_UNSIGNED"],
            meaning: "takes the webhooks of registries without a token, as Brigade's own URLs need. Anybody who can reach the function can then start builds of branches and tags, with a payload of their own",
            default: Some("false"),
        },
        Setting {
            names: &["GITHUB_ALLOW_SHA1"],
            meaning: "takes a signature by SHA-1 where the sender sends no better one, as old GitHub Enterprise servers do",
            default: Some("false"),
        },
        Setting {
            names: &["BITBUCKET_ALLOW_HOOK_UUID"],
            meaning: "takes a Bitbucket delivery without a signature whose `X-Hook-UUID` is the project's secret, as Brigade did",
            default: Some("false"),
        },
    ] },
    Group { title: "What is built", programs: &[Program::Functions], settings: &[
        Setting {
            names: &["EVENTS", "BRIGADE_EVENTS"],
            meaning: "which events of GitHub, GitLab, Gitea and Bitbucket become builds in projects that do not say so themselves, a list of `*`, `<event>` and `<event>:<action>`",
            default: Some("`*`"),
        },
        Setting {
            names: &["ALLOWED_AUTHORS", "BRIGADE_AUTHORS"],
            meaning: "whose pull requests from forks are built, a list of GitHub's author associations",
            default: Some("`COLLABORATOR,OWNER,MEMBER`"),
        },
        Setting {
            names: &["COMMENT_COMMAND"],
            meaning: "what the comment or the review of a trusted author must begin with to run a pull request from GitHub that would not be built without it, such as `/brig`",
            default: Some("none, since in Brigade any does"),
        },
        Setting {
            names: &["CHECK_SUITE_ON_PR"],
            meaning: "asks GitHub for a check suite of the App when a pull request is opened or its commits change, which only pushes have by themselves",
            default: Some("true"),
        },
        Setting {
            names: &["GITHUB_TWO_BUILDS"],
            meaning: "makes two builds of an event with an action, `<event>` and `<event>:<action>`, as Brigade does, instead of one that fires both names",
            default: Some("false"),
        },
    ] },
    Group { title: "The GitHub App", programs: &[Program::Functions, Program::Run, Program::Notify, Program::Sweep], settings: &[
        Setting {
            names: &["APP_ID"],
            meaning: "the GitHub App whose checks are built and that asks GitHub for tokens and check suites",
            default: Some("none"),
        },
        Setting {
            names: &["APP_KEY", "APP_KEY_FILE"],
            meaning: "the App's private key, in PEM; needed with `APP_ID`",
            default: Some("the file `/etc/brigade-github-app/key.pem`"),
        },
        Setting {
            names: &["APP_SECRET"],
            meaning: "the Secret whose keys `APP_ID` and `APP_KEY` are those of the App, in the namespaces of the builds. The workers of projects with a notifier of the kind `github` have them and write check runs with them; it is the key of every repository that the App is installed in. Jobs, clones, and workers whose image or command is a project's do not",
            default: Some("none, so that projects have their own credentials"),
        },
        Setting {
            names: &["GITHUB_HOSTS"],
            meaning: "the servers beside api.github.com and this machine that are sent what proves the App of `APP_ID`, a list of names without ports: those of the App's own GitHub. Whatever other server a project names could ask GitHub for tokens with it",
            default: Some("none"),
        },
    ] },
    Group { title: "Scripts", programs: &[Program::Functions, Program::Run], settings: &[
        Setting {
            names: &["INLINE"],
            meaning: "`never` sends every build through a worker pod",
            default: Some("`auto`"),
        },
        Setting {
            names: &["SCRIPT_FETCH_BUDGET"],
            meaning: "how long the repository's script is waited for, in seconds; then a worker clones it",
            default: Some("3; 0 never fetches it"),
        },
        Setting {
            names: &["SCRIPT_LIMITS"],
            meaning: "the most that projects may let their scripts have, a list with `memory`, `time`, `output`, `jobs` and `timers`",
            default: Some("`memory=256Mi,time=1m,output=16Mi,jobs=5000,timers=10000`"),
        },
        Setting {
            names: &["NPM_REGISTRY"],
            meaning: "where workers fetch the packages of scripts, the URL of a registry that speaks npm's protocol",
            default: Some("`https://registry.npmjs.org`"),
        },
        Setting {
            names: &["PACKAGE_CACHE"],
            meaning: "the folder where workers keep packages, which nobody else writes to",
            default: Some("`/tmp/brigantine/packages`"),
        },
    ] },
    Group { title: "The pods that are made", programs: &[Program::Functions, Program::Run, Program::Sweep], settings: &[
        Setting {
            names: &["WORKER_IMAGE", "BRIGADE_WORKER_IMAGE"],
            meaning: "the image of worker pods",
            default: Some("`ghcr.io/brigantine/worker:latest`"),
        },
        Setting {
            names: &["WORKER_PULL_POLICY", "BRIGADE_WORKER_PULL_POLICY"],
            meaning: "when that image is pulled",
            default: Some("`IfNotPresent`"),
        },
        Setting {
            names: &["WORKER_SERVICE_ACCOUNT", "BRIGADE_WORKER_SERVICE_ACCOUNT"],
            meaning: "the service account of worker pods",
            default: Some("`brigade-worker`"),
        },
        Setting {
            names: &["JOB_SERVICE_ACCOUNT", "BRIGADE_JOB_SERVICE_ACCOUNT"],
            meaning: "the service account of jobs in projects that name none",
            default: Some("`brigade-worker`"),
        },
        Setting {
            names: &["DEFAULT_BUILD_STORAGE_CLASS", "BRIGADE_DEFAULT_BUILD_STORAGE_CLASS"],
            meaning: "the storage class of shared storage in projects that name none",
            default: Some("the cluster's"),
        },
        Setting {
            names: &["DEFAULT_CACHE_STORAGE_CLASS", "BRIGADE_DEFAULT_CACHE_STORAGE_CLASS"],
            meaning: "the storage class of caches in projects that name none",
            default: Some("the cluster's"),
        },
    ] },
    Group { title: "Telling others", programs: &[Program::Functions, Program::Run, Program::Notify, Program::Sweep], settings: &[
        Setting {
            names: &["NOTIFY_ALLOWED_HOSTS"],
            meaning: "hosts with private addresses, or without encryption, that messages may go to all the same, a list of names or addresses, with a port or without",
            default: Some("none"),
        },
        Setting {
            names: &["NOTIFY_BUDGET"],
            meaning: "for how long it is tried to deliver a message, and to tell of a build once it has ended, in seconds",
            default: Some("300"),
        },
        Setting {
            names: &["BUILD_URL"],
            meaning: "where people see a build, an address with `{{ project }}` and `{{ build }}`",
            default: Some("nowhere"),
        },
        Setting {
            names: &["NOTIFY_DRY_RUN"],
            meaning: "says what would be sent, and sends nothing",
            default: Some("false"),
        },
        Setting {
            names: &["NOTIFY_RELAY"],
            meaning: "who is given all messages instead of their sinks, an address of HTTP",
            default: Some("nobody"),
        },
        Setting {
            names: &["NOTIFY_SMTP_RELAY"],
            meaning: "the same for email, `host:port`",
            default: Some("nobody"),
        },
    ] },
    Group { title: "What it says of itself", programs: &[Program::Functions, Program::Run, Program::Clone, Program::Notify, Program::Sweep], settings: &[
        Setting {
            names: &["LOG"],
            meaning: "what is logged, by level or by target: `debug`, `info,functions=debug`",
            default: Some("`info`"),
        },
        Setting {
            names: &["LOG_FORMAT"],
            meaning: "`json` or `text`",
            default: Some("`json`"),
        },
    ] },
    Group { title: "The build", programs: &[Program::Run], settings: &[
        Setting {
            names: &["BRIGADE_BUILD_ID"],
            meaning: "the build's id",
            default: None,
        },
        Setting {
            names: &["BRIGADE_PROJECT_NAMESPACE"],
            meaning: "where the build is",
            default: None,
        },
        Setting {
            names: &["BRIGADE_PROJECT_ID"],
            meaning: "the project's id",
            default: None,
        },
        Setting {
            names: &["NAMESPACE", "BRIGADE_NAMESPACE"],
            meaning: "where the project is",
            default: Some("where the build is, as Brigade has it"),
        },
        Setting {
            names: &["BRIGADE_LOG_LEVEL"],
            meaning: "the level of the worker's own lines",
            default: Some("the build's"),
        },
        Setting {
            names: &["BRIGADE_EVENT_TYPE", "BRIGADE_EVENT_PROVIDER", "BRIGADE_COMMIT_ID", "BRIGADE_COMMIT_REF", "BRIGADE_REMOTE_URL"],
            meaning: "the event, for a build that is not in the cluster",
            default: Some("`ping` of the provider `unknown`"),
        },
        Setting {
            names: &["BRIGADE_CONFIG"],
            meaning: "the file that names what the script depends on, before any other",
            default: Some("none"),
        },
        Setting {
            names: &["BRIGADE_SCRIPT"],
            meaning: "the file of the script, before any other but the event's own",
            default: Some("none"),
        },
        Setting {
            names: &["BRIGADE_SERVICE_ACCOUNT"],
            meaning: "the service account of jobs that name none",
            default: Some("that of `JOB_SERVICE_ACCOUNT`"),
        },
        Setting {
            names: &["BRIGADE_SERVICE_ACCOUNT_REGEX"],
            meaning: "what that must match somewhere",
            default: Some("anything"),
        },
        Setting {
            names: &["BRIGADE_WORKSPACE"],
            meaning: "where the repository was cloned to, if it was",
            default: Some("`/vcs`"),
        },
    ] },
    Group { title: "The repository", programs: &[Program::Clone], settings: &[
        Setting {
            names: &["BRIGADE_REMOTE_URL"],
            meaning: "the repository",
            default: None,
        },
        Setting {
            names: &["BRIGADE_COMMIT_ID"],
            meaning: "the commit",
            default: Some("the one that the reference names"),
        },
        Setting {
            names: &["BRIGADE_COMMIT_REF"],
            meaning: "the branch, the tag or the reference",
            default: Some("the commit's id, or the repository's own branch"),
        },
        Setting {
            names: &["BRIGADE_WORKSPACE"],
            meaning: "the folder that it is cloned to",
            default: Some("`/src`"),
        },
        Setting {
            names: &["BRIGADE_SUBMODULES"],
            meaning: "whether its submodules are cloned too",
            default: Some("false"),
        },
        Setting {
            names: &["BRIGADE_REPO_KEY"],
            meaning: "the SSH key, whose lines may be separated by `$`",
            default: Some("none"),
        },
        Setting {
            names: &["BRIGADE_REPO_SSH_CERT"],
            meaning: "the certificate of that key, likewise",
            default: Some("none"),
        },
        Setting {
            names: &["BRIGADE_REPO_AUTH_TOKEN"],
            meaning: "the password for HTTPS",
            default: Some("none"),
        },
        Setting {
            names: &["CLONE_KNOWN_HOSTS"],
            meaning: "the lines of a file `known_hosts`; only hosts in it are spoken to by SSH",
            default: Some("any host, as long as its key stays the same during the clone"),
        },
        Setting {
            names: &["CLONE_DEPTH"],
            meaning: "how many commits of history are fetched; 0 is all, and the tags",
            default: Some("1"),
        },
        Setting {
            names: &["CLONE_TIMEOUT"],
            meaning: "how long all of it may take, in seconds",
            default: Some("1800"),
        },
        Setting {
            names: &["PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_DIR", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"],
            meaning: "what git needs to be found and to reach the network; it is given nothing else of the environment",
            default: Some("not set"),
        },
    ] },
    Group { title: "What is deleted", programs: &[Program::Sweep], settings: &[
        Setting {
            names: &["VACUUM_AGE"],
            meaning: "builds that are older are deleted",
            default: Some("no limit"),
        },
        Setting {
            names: &["VACUUM_MAX_BUILDS"],
            meaning: "so many builds of a namespace are kept",
            default: Some("no limit, as 0 and -1"),
        },
        Setting {
            names: &["VACUUM_SKIP_RUNNING_BUILDS"],
            meaning: "whether running builds are kept",
            default: Some("true"),
        },
    ] },
];
