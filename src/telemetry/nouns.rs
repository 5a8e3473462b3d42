//! Nouns of the model as labels.

use super::labels::Label;
use crate::model::{
    Algorithm, AuthMethod, Came, DenyReason, EventClass, Format, GrantType, KeyState, Outcome, Service,
};

impl Label for Outcome {
    const KEY: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Allowed, Self::Denied, Self::Failed];
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Format {
    const KEY: &'static str = "format";
    const ALL: &'static [Self] = Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Service {
    const KEY: &'static str = "service";
    const ALL: &'static [Self] = Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for Came {
    const KEY: &'static str = "result";
    const ALL: &'static [Self] = Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for GrantType {
    const KEY: &'static str = "grant";
    const ALL: &'static [Self] = &Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for AuthMethod {
    const KEY: &'static str = "method";
    const ALL: &'static [Self] = &[Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt, Self::None];
    fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }
}

impl Label for Algorithm {
    const KEY: &'static str = "alg";
    const ALL: &'static [Self] = &Self::ALL;
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }
}

impl Label for KeyState {
    const KEY: &'static str = "state";
    const ALL: &'static [Self] = &[Self::Published, Self::Active, Self::Retired, Self::Expired];
    fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Expired => "expired",
        }
    }
}

impl Label for EventClass {
    const KEY: &'static str = "class";
    const ALL: &'static [Self] = &[Self::Durable, Self::Before, Self::Queued];
    fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Before => "before",
            Self::Queued => "queued",
        }
    }
}

/// A decision's result: `None` is allowed.
impl Label for Option<DenyReason> {
    const KEY: &'static str = "result";
    const ALL: &'static [Self] = &[
        None,
        Some(DenyReason::Forbidden),
        Some(DenyReason::NoPermit),
        Some(DenyReason::ForbidErred),
        Some(DenyReason::UnknownPrincipal),
        Some(DenyReason::UnknownResource),
        Some(DenyReason::UnknownAction),
        Some(DenyReason::InvalidRequest),
        Some(DenyReason::NoSnapshot),
        Some(DenyReason::NoRoute),
        Some(DenyReason::NoTier),
    ];
    fn as_str(self) -> &'static str {
        self.map_or("allowed", DenyReason::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_deny_is_a_label() {
        assert!(DenyReason::ALL.iter().all(|r| <Option<DenyReason> as Label>::ALL.contains(&Some(*r))));
        assert_eq!(<Option<DenyReason> as Label>::ALL.len(), DenyReason::ALL.len() + 1);
    }
}
