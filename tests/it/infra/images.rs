//! The Dockerfile.
