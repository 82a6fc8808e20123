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
            names: &["AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest", "AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest"],
            meaning: "whether requests arrive as they were sent, where that is not said in `host.json`",
            default: Some("false"),
        },
        Setting {
            names: &["AzureFunctionsJobHost__extensions__http__routePrefix"],
            meaning: "the prefix where it is not that of `host.json`",
            default: Some("none"),
        },
        Setting {
            names: &["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"],
            meaning: "the port of this machine that the host of Azure Functions speaks to; with it, requests are expected from there. Set by the host",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_ROUTE_PREFIX"],
            meaning: "what the paths of requests begin with behind Azure Functions, and `/` for nothing",
            default: Some("what `extensions.http.routePrefix` of `host.json` says, else `api`"),
        },
        Setting {
            names: &["FUNCTIONS_APP_ROOT_PATH"],
            meaning: "the folder with `host.json` and a folder for each function. Set by the host",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_TRIGGERS"],
            meaning: "where the messages of triggers other than HTTP's and timers' are posted, a list of `<function>=<path>`, with the token in the path where the path needs one: `acr=/eventgrid/{project}/{token}`",
            default: Some("nowhere"),
        },
        Setting {
            names: &["AWS_LAMBDA_RUNTIME_API"],
            meaning: "where invocations are fetched from, `host:port`; Lambda sets it, and `AWS_LAMBDA_FUNCTION_NAME`, `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` and `AWS_LAMBDA_FUNCTION_VERSION` with it",
            default: Some("none, since the host is another one"),
        },
        Setting {
            names: &["MESSAGE_PATH"],
            meaning: "where the messages of queues, topics and buses are posted that name no `path` of their own, a path with the token that proves them, such as `/events/webhook/org/repository?token=...`",
            default: Some("nowhere, so that such messages are not taken, and go to a dead letter queue if there is one"),
        },
        Setting {
            names: &["DRAIN_DELAY"],
            meaning: "for how long requests are still taken once the program is asked to end, while `/readyz` answers 503 already, so that whoever spreads requests can look elsewhere; in seconds",
            default: Some("0"),
        },
        Setting {
            names: &["HOST", "PORT"],
            meaning: "where plain HTTP is served",
            default: Some("`0.0.0.0` and 8080"),
        },
        Setting {
            names: &["LISTEN_FDS"],
            meaning: "how many sockets systemd hands over; the first is served in the place of all others. Set by systemd",
            default: Some("0"),
        },
        Setting {
            names: &["NOTIFY_SOCKET"],
            meaning: "where systemd is told that the program serves, and that it ends. Set by systemd",
            default: Some("nowhere"),
        },
        Setting {
            names: &["TLS_CERT"],
            meaning: "the file with the certificate of the server and those that it was made with, in PEM; with it and `TLS_KEY` HTTPS is served in the place of HTTP. Both files are read again when they have changed",
            default: Some("none"),
        },
        Setting {
            names: &["TLS_KEY"],
            meaning: "the file with the key of that certificate, in PEM",
            default: Some("none"),
        },
        Setting {
            names: &["UNIX_SOCKET"],
            meaning: "the path of a socket that is served in the place of `HOST` and `PORT`",
            default: Some("none"),
        },
        Setting {
            names: &["UNIX_SOCKET_MODE"],
            meaning: "who may speak to that socket, in the octal digits of chmod",
            default: Some("`660`"),
        },
        Setting {
            names: &["SWEEPER_SERVICE_ACCOUNT"],
            meaning: "the service account of the pods that a timer of the host has sweep, as `worker sweep` does; its `imagePullSecrets` are theirs",
            default: Some("`brigantine-sweeper`"),
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
        Setting {
            names: &["KUBECONFIG_TEXT"],
            meaning: "a kubeconfig itself, as YAML or in base64; or where the Parameters and Secrets extension of AWS Lambda has it, `ssm:<name>` or `secretsmanager:<name or ARN>`",
            default: Some("none"),
        },
        Setting {
            names: &["KUBECONFIG"],
            meaning: "the files of a kubeconfig, a list with `:` whose first file to say something counts",
            default: Some("`~/.kube/config` if there is one"),
        },
        Setting {
            names: &["KUBE_CONTEXT"],
            meaning: "the context of the kubeconfig",
            default: Some("its current one"),
        },
        Setting {
            names: &["PATH"],
            meaning: "where the programs are that a kubeconfig asks for a token",
            default: Some("nowhere"),
        },
        Setting {
            names: &["HOME"],
            meaning: "where `.kube/config` is looked for",
            default: Some("nowhere"),
        },
        Setting {
            names: &["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"],
            meaning: "the cluster that this program runs in, as Kubernetes sets them",
            default: Some("none, and 443"),
        },
        Setting {
            names: &["HTTPS_PROXY", "https_proxy"],
            meaning: "the proxy of a cluster's API that this program does not run in, and of the clouds' APIs, an address that begins with `http://`",
            default: Some("none"),
        },
        Setting {
            names: &["NO_PROXY", "no_proxy"],
            meaning: "what is spoken to without it, a list of names, addresses and ranges of addresses",
            default: Some("none"),
        },
        Setting {
            names: &["CHECK_TOKEN"],
            meaning: "whoever bears it is told at `/healthz/cluster` what `functions check` says",
            default: Some("none, so that nobody is"),
        },
        Setting {
            names: &["EKS_CLUSTER"],
            meaning: "the name of a cluster of EKS",
            default: Some("none"),
        },
        Setting {
            names: &["EKS_ENDPOINT"],
            meaning: "the address of its API server, which AWS is then not asked for",
            default: Some("what AWS says"),
        },
        Setting {
            names: &["EKS_CA"],
            meaning: "the certificate authority of that, PEM, in base64 or not",
            default: Some("what AWS says"),
        },
        Setting {
            names: &["EKS_ROLE_ARN"],
            meaning: "the role that is assumed to speak to the cluster",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_REGION", "AWS_DEFAULT_REGION"],
            meaning: "the region of the cluster",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_ACCESS_KEY_ID"],
            meaning: "the key of whoever asks",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_SECRET_ACCESS_KEY"],
            meaning: "its secret",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_SESSION_TOKEN"],
            meaning: "its session, if it has one",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_ROLE_ARN"],
            meaning: "the role of the web identity",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_ROLE_SESSION_NAME"],
            meaning: "the name of its session",
            default: Some("`brigantine`"),
        },
        Setting {
            names: &["AWS_WEB_IDENTITY_TOKEN_FILE"],
            meaning: "the file of a web identity, as pods of EKS have it",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
            meaning: "where a container asks for a key, as pods of EKS and tasks of ECS do",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
            meaning: "the same, a path at `169.254.170.2`",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
            meaning: "what a container shows there",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
            meaning: "the file of that",
            default: Some("none"),
        },
        Setting {
            names: &["AWS_EC2_METADATA_DISABLED"],
            meaning: "true asks no machine of EC2 for a key",
            default: Some("false"),
        },
        Setting {
            names: &["AWS_EC2_METADATA_SERVICE_ENDPOINT"],
            meaning: "where a machine of EC2 is asked for a key",
            default: Some("`http://169.254.169.254`"),
        },
        Setting {
            names: &["AWS_ENDPOINT_URL_EKS"],
            meaning: "the API of EKS",
            default: Some("the region's"),
        },
        Setting {
            names: &["AWS_ENDPOINT_URL_STS"],
            meaning: "the API of STS",
            default: Some("the region's"),
        },
        Setting {
            names: &["PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"],
            meaning: "the port of Lambda's Parameters and Secrets extension",
            default: Some("2773"),
        },
        Setting {
            names: &["AKS_CLUSTER"],
            meaning: "the resource id of a cluster of AKS, `/subscriptions/.../managedClusters/<name>`",
            default: Some("none"),
        },
        Setting {
            names: &["AKS_ENDPOINT"],
            meaning: "the address of its API server, which Azure is then not asked for",
            default: Some("what Azure says"),
        },
        Setting {
            names: &["AKS_CA"],
            meaning: "the certificate authority of that, PEM, in base64 or not",
            default: Some("what Azure says"),
        },
        Setting {
            names: &["AKS_SERVER_ID"],
            meaning: "the application that tokens are for",
            default: Some("AKS's own, `6dae42f8-4368-4678-94ff-3960e28e3630`"),
        },
        Setting {
            names: &["AZURE_CLIENT_ID"],
            meaning: "the identity that asks",
            default: Some("that of the host"),
        },
        Setting {
            names: &["AZURE_TENANT_ID"],
            meaning: "its tenant",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_CLIENT_SECRET"],
            meaning: "the secret of that application",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_FEDERATED_TOKEN_FILE"],
            meaning: "the file of a workload's identity, as pods of AKS have it",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_AUTHORITY_HOST"],
            meaning: "who gives tokens",
            default: Some("`https://login.microsoftonline.com`"),
        },
        Setting {
            names: &["IDENTITY_ENDPOINT"],
            meaning: "where App Service and Functions give tokens of a managed identity",
            default: Some("none"),
        },
        Setting {
            names: &["IDENTITY_HEADER"],
            meaning: "what is shown there",
            default: Some("none"),
        },
        Setting {
            names: &["AZURE_POD_IDENTITY_AUTHORITY_HOST"],
            meaning: "where a virtual machine is asked for a token",
            default: Some("`http://169.254.169.254`"),
        },
        Setting {
            names: &["AZURE_RESOURCE_MANAGER"],
            meaning: "the API of Azure",
            default: Some("`https://management.azure.com`"),
        },
        Setting {
            names: &["GKE_CLUSTER"],
            meaning: "a cluster of GKE, `projects/<project>/locations/<location>/clusters/<name>`",
            default: Some("none"),
        },
        Setting {
            names: &["GKE_ENDPOINT"],
            meaning: "the address of its API server, which Google is then not asked for",
            default: Some("what Google says"),
        },
        Setting {
            names: &["GKE_CA"],
            meaning: "the certificate authority of that, PEM, in base64 or not",
            default: Some("what Google says"),
        },
        Setting {
            names: &["GCE_METADATA_HOST"],
            meaning: "where Google's hosts give tokens, a name or an address with or without a port",
            default: Some("`metadata.google.internal`"),
        },
        Setting {
            names: &["GKE_API"],
            meaning: "the API of GKE",
            default: Some("`https://container.googleapis.com`"),
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
        Setting {
            names: &["METRICS"],
            meaning: "where `/metrics` is served for Prometheus: `off`; an address of its own, such as `0.0.0.0:9090`, that only those can reach who may read it; or `on`, beside the functions, to whoever can reach those. On hosts without a port of ours, as AWS Lambda, it is nowhere",
            default: Some("`off`, since functions are mostly open to the internet"),
        },
        Setting {
            names: &["METRICS_EMF"],
            meaning: "whether each invocation on AWS Lambda writes its metrics to the log, as CloudWatch takes them (embedded metric format), which bills each as a metric of its own",
            default: Some("false"),
        },
        Setting {
            names: &["TRACEPARENT"],
            meaning: "where the program is in a trace, as its pod is told; what it sends is a part of that",
            default: Some("nowhere"),
        },
        Setting {
            names: &["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"],
            meaning: "OpenTelemetry's own variables: `true` tells the collector nothing, `none` no spans or no logs, and the protocol is `http/protobuf`",
            default: Some("`false`, `otlp`, `otlp` and `http/protobuf`; nothing is told while no endpoint is set"),
        },
        Setting {
            names: &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"],
            meaning: "where spans are told to by OTLP over HTTP, such as `http://collector:4318`; worker pods are told of it, too, so it may have neither a password nor a query. What is wrong in this and in the others of OpenTelemetry's is warned of, and does without",
            default: Some("nowhere"),
        },
        Setting {
            names: &["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"],
            meaning: "where what is logged is told to as well; else `/v1/logs` below `OTEL_EXPORTER_OTLP_ENDPOINT`",
            default: Some("nowhere"),
        },
        Setting {
            names: &["OTEL_EXPORTER_OTLP_HEADERS"],
            meaning: "headers that every request to the collector has, a list of `name=value` with values as in an address. They are secret: worker pods are not given them",
            default: Some("none"),
        },
        Setting {
            names: &["OTEL_EXPORTER_OTLP_TIMEOUT"],
            meaning: "how long a request to the collector may take, in milliseconds; where the host stops the program after each answer, half a second at most",
            default: Some("10000"),
        },
        Setting {
            names: &["OTEL_BSP_SCHEDULE_DELAY"],
            meaning: "how long spans and records are gathered before they are told, in milliseconds",
            default: Some("5000"),
        },
        Setting {
            names: &["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"],
            meaning: "what the program is called by the collector, and what else it is, a list of `name=value`",
            default: Some("`brigantine`"),
        },
        Setting {
            names: &["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"],
            meaning: "which traces are told: `always_on`, `always_off`, `traceidratio` of a share from 0 to 1, or what the sender says, with `parentbased_` before one of those for senders that say nothing, and for requests that prove nothing. Fronts that say that they do not sample, as Google Cloud Run's for most requests and others' that trace for themselves, need `always_on`",
            default: Some("`parentbased_always_on`"),
        },
        Setting {
            names: &["OTEL_PROPAGATORS"],
            meaning: "`tracecontext` goes on with the traces of senders, `none` begins each anew; others are not known here",
            default: Some("`tracecontext`"),
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
