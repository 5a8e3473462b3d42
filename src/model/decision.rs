//! The answer to one request under one snapshot.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who asks: a Cedar entity by wire name, such as `Client::"demo"` or `User::"ada"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PrincipalRef {
    /// Entity type without namespace: `Client`, `User`, `Operator`, or an application's own.
    pub kind: Arc<str>,
    /// Entity id.
    pub id: Arc<str>,
}

impl PrincipalRef {
    /// `kind::"id"`.
    pub fn new(kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

impl std::fmt::Display for PrincipalRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{:?}", self.kind, &*self.id)
    }
}

/// Why a request was denied when no policy said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// A `forbid` applied.
    Forbidden,
    /// Nothing permitted it.
    NoPermit,
    /// A `forbid` could not be evaluated: fail closed.
    ForbidErred,
    /// The principal is not a known entity: fail closed.
    UnknownPrincipal,
    /// The resource is not a known entity: fail closed.
    UnknownResource,
    /// The schema has no such action, as of policies older than this version: fail closed.
    UnknownAction,
    /// The request does not fit the schema: fail closed.
    InvalidRequest,
    /// No snapshot is loaded: fail closed.
    NoSnapshot,
    /// No route matches the method and path: fail closed.
    NoRoute,
    /// No rate tier is permitted: fail closed.
    NoTier,
}

impl DenyReason {
    /// Every reason, for metrics that must stand at zero.
    pub const ALL: [Self; 10] = [
        Self::Forbidden,
        Self::NoPermit,
        Self::ForbidErred,
        Self::UnknownPrincipal,
        Self::UnknownResource,
        Self::UnknownAction,
        Self::InvalidRequest,
        Self::NoSnapshot,
        Self::NoRoute,
        Self::NoTier,
    ];

    /// The name in events, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::NoPermit => "no_permit",
            Self::ForbidErred => "forbid_erred",
            Self::UnknownPrincipal => "unknown_principal",
            Self::UnknownResource => "unknown_resource",
            Self::UnknownAction => "unknown_action",
            Self::InvalidRequest => "invalid_request",
            Self::NoSnapshot => "no_snapshot",
            Self::NoRoute => "no_route",
            Self::NoTier => "no_tier",
        }
    }
}

/// Allowed or denied, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `None` when allowed.
    pub denied: Option<DenyReason>,
    /// Ids of the determining policies, sorted. Empty for a default deny.
    pub policies: Vec<Arc<str>>,
    /// Ids of policies that could not be evaluated, sorted.
    pub errors: Vec<Arc<str>>,
    /// Digest of the snapshot that decided; empty when there was none.
    pub snapshot: Arc<str>,
    /// What it would have been if risk counted: told only in a dry run, and only of an answer that would be another.
    pub would: Option<Arc<Decision>>,
}

impl Decision {
    /// Whether the request may proceed.
    pub fn is_allowed(&self) -> bool {
        self.denied.is_none()
    }

    /// A denial that no policy was asked about.
    pub fn deny(reason: DenyReason, snapshot: Arc<str>) -> Self {
        Self { denied: Some(reason), policies: Vec::new(), errors: Vec::new(), snapshot, would: None }
    }
}
