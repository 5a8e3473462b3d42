//! What a caller may be allowed to do with the log.

use std::sync::LazyLock;

use crate::http::Permission;
use crate::policy::Resource;

static LOG: LazyLock<Resource> = LazyLock::new(Resource::audit_log);

/// Reading events.
pub(super) struct Search;

impl Permission for Search {
    const ACTION: &'static str = "audit:search";
    const SCOPE: &'static str = "audit:read";

    fn resource() -> &'static Resource {
        &LOG
    }
}

/// Getting what it takes to verify the log.
pub(super) struct Verify;

impl Permission for Verify {
    const ACTION: &'static str = "audit:verify";
    const SCOPE: &'static str = "audit:read";

    fn resource() -> &'static Resource {
        &LOG
    }
}

/// Taking all of it away.
pub(super) struct Export;

impl Permission for Export {
    const ACTION: &'static str = "audit:export";
    const SCOPE: &'static str = "admin";

    fn resource() -> &'static Resource {
        &LOG
    }
}
