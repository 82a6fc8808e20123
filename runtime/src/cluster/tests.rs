//! Tests of what is sent to a cluster.
