//! `[policy]`: where the policies are.

use std::path::PathBuf;

use super::reader::Reader;

/// `[policy]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The directory, reloaded when it changes; `None`: the set inside the binary.
    pub dir: Option<PathBuf>,
}

impl Policy {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self { dir: r.path("policy.dir", None) }
    }
}
