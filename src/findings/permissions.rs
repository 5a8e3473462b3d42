//! What a caller may be allowed to do with findings.

use std::sync::LazyLock;

use crate::http::Permission;
use crate::policy::Resource;

static FINDINGS: LazyLock<Resource> = LazyLock::new(Resource::findings);

/// Reading them.
pub(super) struct Read;

impl Permission for Read {
    const ACTION: &'static str = "finding:read";
    const SCOPE: &'static str = "findings:read";

    fn resource() -> &'static Resource {
        &FINDINGS
    }
}
