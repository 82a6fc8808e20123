//! What crosses crates: recorded requests, example projects, and checks of the architecture.
//!
//! The tests are in `it/`; this library is empty.
