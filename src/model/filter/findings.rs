//! What findings can be asked about.

use super::Kind;
use super::events::fields;
use crate::model::EntityKind;

const FORMATS: &[&str] = &["guardduty", "asff", "ocsf"];
const SEVERITIES: &[&str] = &["info", "low", "medium", "high", "critical"];
const STATES: &[&str] = &["open", "suppressed", "resolved", "archived", "expired_upstream"];

fields! {
    /// A field of a finding.
    FindingField {
        /// `fnd_…`.
        FindingId = "finding_id": Kind::Text,
        /// `case_…`.
        CaseId = "case_id": Kind::Text,
        /// Its id at its provider.
        ProviderId = "provider_id": Kind::Text,
        /// What it was written in.
        Format = "format": Kind::Choice(FORMATS),
        /// How bad it is.
        Severity = "severity": Kind::Ordered(SEVERITIES),
        /// How it stands.
        State = "state": Kind::Choice(STATES),
        /// Whether it is made up.
        Sample = "sample": Kind::Bool,
        /// The provider's type.
        Type = "type": Kind::Text,
        /// Which product found it.
        Product = "product": Kind::Text,
        /// Which AWS account.
        Account = "account": Kind::Text,
        /// Which region.
        Region = "region": Kind::Text,
        /// One line.
        Title = "title": Kind::Text,
        /// More.
        Description = "description": Kind::Text,
        /// When its provider last changed it.
        UpdatedAt = "updated_at": Kind::Time,
        /// When it first came.
        RecordedAt = "recorded_at": Kind::Time,
        /// Which revision is in force.
        Revision = "revision": Kind::Number,
        /// How many there are.
        Revisions = "revisions": Kind::Number,
        /// What it is or was about.
        Principal = "principal": Kind::Text,
        /// What it is or was about.
        Client = "client": Kind::Text,
        /// What it is or was about.
        User = "user": Kind::Text,
        /// What it is or was about.
        Role = "role": Kind::Text,
        /// What it is or was about.
        Session = "session": Kind::Text,
        /// What it is or was about.
        AccessKey = "access_key": Kind::Text,
        /// What it is or was about: an address, not a network.
        Address = "address": Kind::Address,
        /// What it is or was about.
        Domain = "domain": Kind::Domain,
        /// What it is or was about.
        Image = "image": Kind::Text,
        /// What it is or was about.
        Resource = "resource": Kind::Text,
    }
}

impl FindingField {
    /// Of a field that is something findings are about: of which kind.
    pub const fn entity(&self) -> Option<EntityKind> {
        Some(match self {
            Self::Principal => EntityKind::Principal,
            Self::Client => EntityKind::Client,
            Self::User => EntityKind::User,
            Self::Role => EntityKind::Role,
            Self::Session => EntityKind::Session,
            Self::AccessKey => EntityKind::AccessKey,
            Self::Address => EntityKind::Address,
            Self::Domain => EntityKind::Domain,
            Self::Image => EntityKind::Image,
            Self::Resource => EntityKind::Resource,
            _ => return None,
        })
    }
}
