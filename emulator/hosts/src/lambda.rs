//! AWS Lambda: its Runtime API, and what stands in front of it.
