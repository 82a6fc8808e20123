//! Azure Functions with a custom handler.
