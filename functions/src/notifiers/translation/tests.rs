//! What bodies tell.
