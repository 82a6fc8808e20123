//! A Kubernetes API in memory, with its kubelet.
