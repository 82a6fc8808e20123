//! What every cluster has from the start.

use serde_json::json;

use crate::access;
use crate::server::Shared;
use crate::verbs::create;

/// Makes the namespaces, the roles and the service that are always there, unless they were kept.
pub(crate) fn bootstrap(shared: &Shared) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        create::internal(shared, "namespaces", json!({"metadata": {"name": name}}));
    }
    access::bootstrap(shared);
    create::internal(
        shared,
        "services",
        json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "10.96.0.1",
                "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
            },
        }),
    );
}
