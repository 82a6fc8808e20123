//! The host against a handler that says what it was asked.
