//! What is said of a cluster that heeds roles.

use apiserver::{Options, Server};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::project::values;

fn made<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// A cluster that heeds roles, and the settings of a service account of it that may do this.
async fn world(rules: Vec<Value>) -> (Server, kube::Client, Settings) {
    let server = Server::new(Options { rbac: true, ..Options::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = server.clone();
    tokio::spawn(async move {
        let _ended = serving.serve(listener, std::future::pending()).await;
    });
    let (admin, parameters) = (server.client(), PostParams::default());
    let accounts = Api::<ServiceAccount>::default_namespaced(admin.clone());
    for name in ["brigantine-functions", "brigade-worker"] {
        let account = made(json!({"metadata": {"name": name}}));
        accounts.create(&parameters, &account).await.unwrap();
    }
    let role = json!({"metadata": {"name": "functions"}, "rules": rules});
    Api::<Role>::default_namespaced(admin.clone()).create(&parameters, &made(role)).await.unwrap();
    let binding = json!({
        "metadata": {"name": "functions"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "functions"},
        "subjects": [{
            "kind": "ServiceAccount", "name": "brigantine-functions", "namespace": "default",
        }],
    });
    let bindings = Api::<RoleBinding>::default_namespaced(admin.clone());
    bindings.create(&parameters, &made(binding)).await.unwrap();
    let wanted =
        TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let token = accounts.create_token_request("brigantine-functions", &parameters, &wanted).await;
    let token = token.unwrap().status.unwrap().token;
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": url, "certificate-authority-data": server.authority(),
        }}],
        "users": [{"name": "c", "user": {"token": token}}],
    });
    let text = config.to_string();
    let settings =
        Settings::read(|name| (name == "KUBECONFIG_TEXT").then(|| text.clone())).unwrap();
    (server, admin, settings)
}

/// The rules of a program, as a role has them.
fn rules(part: Part) -> Vec<Value> {
    let rule = |right: &super::super::rights::Right| json!({"apiGroups": [""], "resources": [right.resource], "verbs": right.verbs});
    part.rights().iter().map(rule).collect()
}

async fn report(settings: &Settings) -> Report {
    let cluster = Cluster::connect(&settings.cluster, "default").unwrap();
    cluster.check(Part::Functions, settings).await
}

#[tokio::test]
async fn a_program_with_its_rights_misses_nothing() {
    let (_server, admin, settings) = world(rules(Part::Functions)).await;
    let (project, _) =
        values::read("project: acme/app\nrepository: github.com/acme/app", "default").unwrap();
    let secret = project.secret();
    let secrets = Api::<Secret>::default_namespaced(admin);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let report = report(&settings).await;
    // But it may not see what its pods run as.
    assert_eq!(report.worst(), Some(Weight::Remark), "{:?}", report.problems);
    let said: Vec<_> = report.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(
        said,
        ["it is not known whether the service accounts default/brigade-worker, \
             default/brigantine-sweeper are there: who asks may not get them, and does not need to"]
    );
    assert_eq!(report.user.as_deref(), Some("system:serviceaccount:default:brigantine-functions"));
    assert_eq!(report.projects[0].name, "acme/app");
    assert!(report.version.is_some_and(|version| version.starts_with('v')));
    assert!(report.server.is_some_and(|server| server.starts_with("https://127.0.0.1:")));
    assert_eq!(report.way, "KUBECONFIG_TEXT");
    let rights: Vec<_> = report.rights.iter().map(|right| right.resource).collect();
    assert_eq!(rights, ["configmaps", "persistentvolumeclaims", "pods", "secrets"]);
}

#[tokio::test]
async fn whoever_may_see_service_accounts_is_told_which_are_missing() {
    let mut rules = rules(Part::Functions);
    rules.push(json!({"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}));
    let (_server, admin, settings) = world(rules).await;
    let secrets = Api::<Secret>::default_namespaced(admin);
    let (project, _) =
        values::read("project: acme/app\nrepository: github.com/acme/app", "default").unwrap();
    secrets.create(&PostParams::default(), &project.secret()).await.unwrap();
    let told = |report: Report| {
        let told = report.problems.into_iter().map(|problem| (problem.weight, problem.mend));
        told.collect::<Vec<_>>()
    };
    let sweeper = "kubectl -n default create serviceaccount brigantine-sweeper".to_owned();
    let sweeper = (Weight::Remark, sweeper);
    assert_eq!(told(report(&settings).await), std::slice::from_ref(&sweeper));
    let settings = Settings { job_service_account: "jobs".to_owned(), ..settings };
    let jobs = "kubectl -n default create serviceaccount jobs".to_owned();
    assert_eq!(told(report(&settings).await), [(Weight::Missing, jobs), sweeper]);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_the_command_that_gives_it() {
    let mut rules = rules(Part::Functions);
    rules.retain(|rule| rule["resources"][0] != "persistentvolumeclaims");
    let (_server, admin, settings) = world(rules).await;
    let broken = json!({
        "metadata": {"name": "brigade-broken"}, "type": "brigade.sh/project",
        "stringData": {"repository": "x", "secrets": "["},
    });
    let secrets = Api::<Secret>::default_namespaced(admin);
    secrets.create(&PostParams::default(), &made(broken)).await.unwrap();
    let report = report(&settings).await;
    assert_eq!(report.worst(), Some(Weight::Missing));
    let said: Vec<_> = report.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("the project brigade-broken cannot be loaded: "), "{said:?}");
    assert_eq!(
        said[1],
        "in the namespace default, persistentvolumeclaims must be allowed: create,delete,get"
    );
    assert_eq!(
        report.problems[1].mend,
        "kubectl -n default create role brigantine-functions-persistentvolumeclaims \
         --verb=create,delete,get --resource=persistentvolumeclaims && kubectl -n default create \
         rolebinding brigantine-functions-persistentvolumeclaims \
         --role=brigantine-functions-persistentvolumeclaims \
         --serviceaccount=default:brigantine-functions"
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_the_only_thing_that_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
    });
    let text = config.to_string();
    let settings =
        Settings::read(|name| (name == "KUBECONFIG_TEXT").then(|| text.clone())).unwrap();
    let report = report(&settings).await;
    assert_eq!(report.worst(), Some(Weight::NoCluster));
    let said = &report.problems[0].what;
    assert!(said.starts_with(&format!("{server} refuses connections")), "{said}");
    assert_eq!(report.problems.len(), 1);
}
