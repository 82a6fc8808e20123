//! Which version this is.

use std::sync::LazyLock;

/// The commit that this was built of, where whoever built it said so: the same commit is the same
/// program, wherever it is built.
const COMMIT: Option<&str> = option_env!("BRIGANTINE_COMMIT");

/// The version, and the commit if it is known: `0.0.0 (6f1ed002ab55)`.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match COMMIT.filter(|commit| !commit.is_empty()) {
            Some(commit) => format!("{version} ({commit})"),
            None => version.to_owned(),
        }
    });
    &VERSION
}
