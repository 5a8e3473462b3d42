//! What a caller may be allowed to do with findings.

use std::sync::LazyLock;

use crate::http::Permission;
use crate::policy::Resource;

static FINDINGS: LazyLock<Resource> = LazyLock::new(Resource::findings);

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident = $action:literal by $scope:literal;)+) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl Permission for $name {
            const ACTION: &'static str = $action;
            const SCOPE: &'static str = $scope;

            fn resource() -> &'static Resource {
                &FINDINGS
            }
        }
    )+};
}

permissions! {
    /// Reading them.
    Read = "finding:read" by "findings:read";
    /// Working on them.
    Triage = "finding:triage" by "findings:write";
    /// Deciding which of them nobody is told of.
    Suppress = "finding:suppress" by "admin";
}
