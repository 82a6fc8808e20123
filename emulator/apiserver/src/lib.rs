//! A Kubernetes API in memory, with its kubelet.
#![warn(missing_docs)]

pub mod kubelet;
pub mod logs;
