//! Which cluster is spoken to, and as whom.

use super::SettingsError;

/// What the environment says of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {}

impl ClusterSettings {
    /// Reads variables; an empty one was taken for one that is not set.
    pub(super) fn read(
        _get: impl Fn(&str) -> Option<String>,
    ) -> Result<ClusterSettings, SettingsError> {
        Ok(ClusterSettings {})
    }
}
