//! `kubectl auth`, and acting as others with it.

use apiserver::Options;
use serde_json::json;
use tokio::process::Command;

use super::Served;

#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
fn skipped() {
    println!("skipped: there is no kubectl on PATH");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_asks_who_may_what() {
    if Command::new("kubectl").arg("version").arg("--client").output().await.is_err() {
        return skipped();
    }
    let served = Served::start(Options { rbac: true, ..Options::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    apiserver::private::write(&file, &served.kubeconfig).unwrap();
    let run = async |file: &std::path::Path, arguments: &str| {
        let output = Command::new("kubectl")
            .args(arguments.split(' '))
            .env("KUBECONFIG", file)
            .env("HOME", folder.path())
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let admin = async |arguments: &str| run(&file, arguments).await;
    let (_, text) = admin("auth whoami").await;
    assert!(text.contains("kubernetes-admin") && text.contains("system:masters"), "{text}");
    assert!(text.contains("X509SHA256="), "{text}");
    let (good, text) = admin("auth can-i delete nodes").await;
    assert!(good && text.starts_with("yes"), "{text}");
    for command in [
        "create serviceaccount bot",
        "create role reader --verb=get,list --resource=pods",
        "create rolebinding bot --role=reader --serviceaccount=default:bot",
        "create clusterrolebinding jane --clusterrole=view --user=jane",
    ] {
        let (good, text) = admin(command).await;
        assert!(good, "{command}: {text}");
    }
    let bot = "--as=system:serviceaccount:default:bot";
    for (question, answer) in [
        (format!("auth can-i list pods {bot}"), "yes"),
        (format!("auth can-i delete pods {bot}"), "no"),
        (format!("auth can-i list pods -n kube-system {bot}"), "no"),
        ("auth can-i list pods -n kube-system --as=jane".to_owned(), "yes"),
        ("auth can-i get secrets --as=jane".to_owned(), "no"),
        ("auth can-i get /version --as=jane --as-group=system:authenticated".to_owned(), "yes"),
    ] {
        let (good, text) = admin(&question).await;
        assert!(text.lines().next() == Some(answer), "{question}: {text}");
        assert_eq!(good, answer == "yes", "{question}");
    }
    let (_, list) = admin(&format!("auth can-i --list {bot}")).await;
    let pods = list.lines().find(|line| line.starts_with("pods "));
    assert!(pods.is_some_and(|line| line.contains("[get list]")), "{list}");
    let (good, text) = admin("get secrets --as=jane").await;
    assert!(!good && text.contains("secrets is forbidden: User \"jane\" cannot list"), "{text}");
    let (good, token) = admin("create token bot --duration=10m").await;
    assert!(good && token.trim().split('.').count() == 3);
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&served.kubeconfig).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let file = folder.path().join("bot");
    apiserver::private::write(&file, &kubeconfig.to_string()).unwrap();
    let (good, text) = run(&file, "get pods").await;
    assert!(good, "{text}");
    let (good, text) = run(&file, "get configmaps").await;
    assert!(!good && text.contains("system:serviceaccount:default:bot"), "{text}");
}
