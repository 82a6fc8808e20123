//! Does what a death has left undone, as `worker sweep` does in a cluster: nobody else would here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use functions::App;
use futures::StreamExt;
use notify::{Outbox, reporter};
use runtime::project::Project;

/// How long a function has to start its build before somebody else does.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is looked for messages that nobody is left to tell.
const ROUND: Duration = Duration::from_secs(10);

/// Starts builds that nobody has started: those of an earlier run, and those made with `kubectl`.
/// Ends those that are cancelled with `kubectl` while nobody follows them.
pub(crate) async fn start_builds(app: App, namespace: String) {
    let mut builds = Box::pin(app.cluster.watch_builds(&namespace));
    let mut seen = HashSet::new();
    while let Some(build) = builds.next().await {
        if !seen.insert((build.id, build.cancelled().is_some())) {
            continue;
        }
        let app = app.clone();
        tokio::spawn(async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "a function may be starting it just now"
            )]
            tokio::time::sleep(GRACE).await;
            if let Ok(Some(build)) = app.cluster.build(&build.namespace, build.id).await {
                functions::resume(&app, &build).await;
            }
        });
    }
}

/// Tells what was collected for people by builds of an earlier run.
pub(crate) async fn tell_what_is_left(app: App, projects: Arc<[Project]>) {
    let outbox = Outbox::of(&app.settings);
    let mut round = tokio::time::interval(ROUND);
    loop {
        round.tick().await;
        for project in projects.iter() {
            let people = project.notifiers.all().iter().filter(|it| it.kind.is_read_by_people());
            for notifier in people {
                let (cluster, name) = (&app.cluster, &notifier.name);
                match reporter::tell_what_is_left(cluster, project, name, &outbox).await {
                    Ok(told) => told.iter().for_each(|title| {
                        tracing::info!(notifier = name, title, "what was left was told");
                    }),
                    Err(error) => {
                        tracing::warn!(notifier = name, %error, "what was left was not told");
                    }
                }
            }
        }
    }
}
