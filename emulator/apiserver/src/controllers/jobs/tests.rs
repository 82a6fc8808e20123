//! Decisions about jobs.
