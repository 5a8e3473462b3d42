//! Findings of AWS's detectors, in one shape whatever they came as.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$value_meta])* #[serde(rename = $text)] $value,)+ }

        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }

            /// From that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    )+};
}

pub(super) use words;

words! {
    /// What a finding was written in. The same activity in two formats is two findings of one case.
    Format {
        /// GuardDuty's own.
        GuardDuty = "guardduty",
        /// Security Hub's: the AWS Security Finding Format.
        Asff = "asff",
        /// The Open Cybersecurity Schema Framework: Security Hub since 2025, and others.
        Ocsf = "ocsf",
    }
    /// A service of AWS that gives findings.
    Service {
        /// Amazon GuardDuty.
        GuardDuty = "guardduty",
        /// AWS Security Hub, in its own format.
        SecurityHub = "securityhub",
        /// The same since 2025, in OCSF: what it knows is not all what the other knows.
        SecurityHubV2 = "securityhub_v2",
    }
    /// What became of a finding that came.
    Came {
        /// Nobody had seen it.
        New = "new",
        /// It has a new revision, which is in force.
        Changed = "changed",
        /// It has a new revision, older than the one in force.
        Late = "late",
        /// There was nothing new in it.
        Known = "known",
    }
    /// How bad it is.
    Severity {
        /// Nothing to do.
        Info = "info",
        /// GuardDuty 0.1 to 3.9, Security Hub 1 to 39.
        Low = "low",
        /// GuardDuty 4.0 to 6.9, Security Hub 40 to 69.
        Medium = "medium",
        /// GuardDuty 7.0 to 8.9, Security Hub 70 to 89.
        High = "high",
        /// The rest.
        Critical = "critical",
    }
    /// Whether somebody still has to look.
    FindingState {
        /// Yes.
        Open = "open",
        /// Someone, or a rule, wants no more of it.
        Suppressed = "suppressed",
        /// It was dealt with, or the check passes now.
        Resolved = "resolved",
        /// Its provider put it away.
        Archived = "archived",
        /// Its provider no longer has it.
        Expired = "expired_upstream",
    }
    /// What a finding can be about.
    EntityKind {
        /// The unique id of an AWS identity, such as `AIDA…` or `AROA…`.
        Principal = "principal",
        /// A client of ours, by id.
        Client = "client",
        /// The name of a person: of IAM, of Kubernetes or of ours.
        User = "user",
        /// The name or ARN of a role.
        Role = "role",
        /// The session of an assumed role.
        Session = "session",
        /// The id of an access key.
        AccessKey = "access_key",
        /// An IP address.
        Address = "address",
        /// A DNS name.
        Domain = "domain",
        /// A machine or container image.
        Image = "image",
        /// An ARN, or an id where there is no ARN.
        Resource = "resource",
    }
}

impl Severity {
    /// From 0, informational, to 4, critical: `context.risk.level`.
    pub const fn level(self) -> u8 {
        self as u8
    }
}

/// Something a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Which.
    pub value: String,
}

/// How bad it stands with somebody, and which finding says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// 1 low to 4 critical.
    pub level: u8,
    /// The id of the worst finding.
    pub finding_id: Arc<str>,
}

/// What is known of a finding, from its newest revision. Texts hold no control characters and are bounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it was written in.
    pub format: Format,
    /// Its id at its provider: GuardDuty's ARN, ASFF's `Id`, OCSF's `uid`.
    pub provider_id: String,
    /// What makes it the same finding again: the provider's id, with the product where ids are only unique within one.
    pub provider_key: String,
    /// What it shares with findings of the same cause: the GuardDuty ARN; or control and resource.
    pub correlation_key: String,
    /// Which AWS account.
    pub account: Option<String>,
    /// Which region.
    pub region: Option<String>,
    /// How bad, in five steps.
    pub severity: Severity,
    /// How bad, as the provider put it.
    pub severity_raw: Option<String>,
    /// Whether somebody still has to look.
    pub state: FindingState,
    /// ASFF `RecordState`.
    pub record_state: Option<String>,
    /// ASFF `Workflow.Status`, OCSF `status`.
    pub workflow: Option<String>,
    /// ASFF `Compliance.Status`, OCSF `status_code`.
    pub compliance: Option<String>,
    /// The provider's type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Which product found it, such as `aws/guardduty`.
    pub product: Option<String>,
    /// Which detector of GuardDuty.
    pub detector: Option<String>,
    /// Which control failed.
    pub control_id: Option<String>,
    /// One line.
    pub title: Option<String>,
    /// More.
    pub description: Option<String>,
    /// Whether it is made up, to try things out.
    pub sample: bool,
    /// How often it was seen.
    pub count: Option<i64>,
    /// When the activity was first seen.
    pub first_seen: Option<Timestamp>,
    /// When it was last seen.
    pub last_seen: Option<Timestamp>,
    /// When the finding was made.
    pub created_at: Option<Timestamp>,
    /// When its provider last changed it.
    pub updated_at: Option<Timestamp>,
    /// What it is about.
    pub entities: Vec<Entity>,
    /// Why not everything could be read; the bytes are kept all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Finding {
    /// A finding of which nothing is known but what it was written in and what it is called: open, informational.
    pub fn new(format: Format, key: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            format,
            provider_id: key.clone(),
            correlation_key: key.clone(),
            provider_key: key,
            account: None,
            region: None,
            severity: Severity::Info,
            severity_raw: None,
            state: FindingState::Open,
            record_state: None,
            workflow: None,
            compliance: None,
            kind: None,
            product: None,
            detector: None,
            control_id: None,
            title: None,
            description: None,
            sample: false,
            count: None,
            first_seen: None,
            last_seen: None,
            created_at: None,
            updated_at: None,
            entities: Vec::new(),
            problem: None,
        }
    }

    /// Which of two revisions is the newer one: what its provider says, else when it was last seen, else made.
    pub fn updated(&self) -> Timestamp {
        self.updated_at.or(self.last_seen).or(self.created_at).unwrap_or_default()
    }
}
