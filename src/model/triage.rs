//! What people here make of findings, beside what their provider says of them.

use serde::{Deserialize, Serialize};

use super::decision::PrincipalRef;
use super::finding::{Entity, Finding, FindingState, Severity, words};
use crate::base::Timestamp;

words! {
    /// How far people here are with a finding.
    #[derive(Default)]
    Handling {
        /// Nobody has looked, or what they saw has changed for the worse.
        #[default]
        New = "new",
        /// Somebody has it in hand.
        Acknowledged = "acknowledged",
        /// It is dealt with.
        Resolved = "resolved",
    }
    /// What it came to.
    Resolution {
        /// It was true, and is no longer.
        Fixed = "fixed",
        /// It is true and harmless.
        Benign = "benign",
        /// It was never true.
        FalsePositive = "false_positive",
    }
}

/// What people here made of one finding. Its provider's state is another matter: neither changes the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Triage {
    /// How far they are.
    pub handling: Handling,
    /// When an acknowledgement ends.
    pub until: Option<Timestamp>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// To whom it was handed up.
    pub escalated_to: Option<String>,
    /// What it came to; of a resolved one.
    pub resolution: Option<Resolution>,
    /// How bad it was when it was acknowledged or resolved: what is worse is news.
    pub severity: Option<Severity>,
    /// The suppression that hides it.
    pub suppressed_by: Option<String>,
    /// When somebody last acted.
    pub at: Option<Timestamp>,
    /// Who that was.
    pub by: Option<PrincipalRef>,
}

impl Triage {
    /// Whether it keeps a finding from counting.
    pub fn is_quiet(&self) -> bool {
        self.handling == Handling::Resolved || self.suppressed_by.is_some()
    }

    /// How far people are at this time: an acknowledgement ends.
    pub fn handling_at(&self, now: Timestamp) -> Handling {
        match self.until {
            Some(until) if self.handling == Handling::Acknowledged && until <= now => Handling::New,
            _ => self.handling,
        }
    }

    /// Why what a finding says now undoes what people made of what it said `before`; `None`: it does not.
    ///
    /// An acknowledgement stands until it grows worse. A resolution also ends when it is seen again after it, or when its
    /// provider opens it again.
    pub fn undone_by(&self, before: &Finding, now: &Finding) -> Option<&'static str> {
        let is_worse = self.severity.is_some_and(|then| now.severity > then);
        let is_resolved = self.handling == Handling::Resolved;
        if now.state != FindingState::Open || self.handling == Handling::New {
            return None;
        }
        if is_worse {
            return Some("worse");
        }
        if is_resolved && before.state != FindingState::Open {
            return Some("opened_again");
        }
        let seen_after = matches!((self.at, now.last_seen), (Some(at), Some(seen)) if seen > at);
        (is_resolved && seen_after).then_some("seen_again")
    }

    /// The same, untouched again: who works on it stays.
    #[must_use]
    pub fn begun_again(&self) -> Self {
        Self { handling: Handling::New, until: None, resolution: None, severity: None, ..self.clone() }
    }
}

/// Something that was done to a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `note_…`.
    pub note_id: String,
    /// When.
    pub at: Timestamp,
    /// By whom; of what the service did itself nobody.
    pub author: Option<String>,
    /// What: `acknowledged`, `assigned`, `resolved`, `reopened`, `escalated`, `commented`, `suppressed`, `shown`.
    pub act: String,
    /// In their words.
    pub text: Option<String>,
}

/// Which findings a suppression hides: those to which everything said here applies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matching {
    /// The provider's type; one that ends in `*` stands for all that begin so.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The control that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_id: Option<String>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The AWS account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// About each of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<Entity>,
    /// At most so bad; medium when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_severity: Option<Severity>,
}

impl Matching {
    /// Whether it says what, and not only where.
    pub const fn is_specific(&self) -> bool {
        self.kind.is_some() || self.control_id.is_some() || !self.about.is_empty()
    }

    /// The worst that it hides. Never critical ones.
    pub fn most(&self) -> Severity {
        self.max_severity.unwrap_or(Severity::Medium).min(Severity::High)
    }

    /// Whether it applies to this finding.
    pub fn applies_to(&self, finding: &Finding) -> bool {
        let same = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        let kind = match self.kind.as_deref().map(|kind| (kind, kind.strip_suffix('*'))) {
            None => true,
            Some((_, Some(start))) => finding.kind.as_deref().is_some_and(|kind| kind.starts_with(start)),
            Some((whole, None)) => finding.kind.as_deref() == Some(whole),
        };
        kind && finding.severity <= self.most()
            && same(&self.control_id, &finding.control_id)
            && same(&self.product, &finding.product)
            && same(&self.account, &finding.account)
            && same(&self.region, &finding.region)
            && self.about.iter().all(|one| finding.entities.contains(one))
    }
}

/// A decision not to be told of some findings, for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suppression {
    /// `sup_…`.
    pub suppression_id: String,
    /// Which findings.
    pub matching: Matching,
    /// Who answers for it.
    pub owner: String,
    /// Why it is right.
    pub reason: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: PrincipalRef,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityKind, Format};

    fn finding(severity: Severity) -> Finding {
        let address = Entity { kind: EntityKind::Address, value: "198.51.100.7".to_owned() };
        Finding {
            severity,
            kind: Some("Recon:EC2/Portscan".to_owned()),
            account: Some("111122223333".to_owned()),
            entities: vec![address],
            ..Finding::new(Format::GuardDuty, "a")
        }
    }

    #[test]
    fn everything_that_is_said_must_apply_and_nothing_critical_is_hidden() {
        let scan = Matching { kind: Some("Recon:EC2/*".to_owned()), ..Matching::default() };
        assert!(scan.is_specific() && scan.applies_to(&finding(Severity::Medium)));
        assert!(!scan.applies_to(&finding(Severity::High)), "medium unless more is said");
        let all = Matching { max_severity: Some(Severity::Critical), ..scan.clone() };
        assert!(all.applies_to(&finding(Severity::High)) && !all.applies_to(&finding(Severity::Critical)));
        let elsewhere = Matching { account: Some("444455556666".to_owned()), ..scan.clone() };
        assert!(!elsewhere.applies_to(&finding(Severity::Low)));
        let exact = Matching { kind: Some("Recon:EC2".to_owned()), ..Matching::default() };
        assert!(!exact.applies_to(&finding(Severity::Low)));
        let about = |value: &str| Matching {
            about: vec![Entity { kind: EntityKind::Address, value: value.to_owned() }],
            ..Matching::default()
        };
        assert!(about("198.51.100.7").applies_to(&finding(Severity::Low)));
        assert!(!about("198.51.100.8").applies_to(&finding(Severity::Low)));
        assert!(!Matching { account: Some("111122223333".to_owned()), ..Matching::default() }.is_specific());
    }

    #[test]
    fn what_grows_worse_or_comes_again_undoes_what_people_made_of_it() {
        let at = Timestamp::from_secs(100);
        let made = |handling| Triage { handling, at: Some(at), severity: Some(Severity::Medium), ..Triage::default() };
        let (before, worse) = (finding(Severity::Medium), finding(Severity::High));
        let seen = |secs| Finding { last_seen: Some(Timestamp::from_secs(secs)), ..finding(Severity::Medium) };
        let archived = Finding { state: FindingState::Archived, ..worse.clone() };
        for (handling, before, now, expected) in [
            (Handling::New, &before, &worse, None),
            (Handling::Acknowledged, &before, &worse, Some("worse")),
            (Handling::Acknowledged, &before, &seen(101), None),
            (Handling::Resolved, &before, &worse, Some("worse")),
            (Handling::Resolved, &before, &before, None),
            (Handling::Resolved, &before, &seen(100), None),
            (Handling::Resolved, &before, &seen(101), Some("seen_again")),
            (Handling::Resolved, &before, &archived, None),
            (Handling::Resolved, &archived, &before, Some("opened_again")),
        ] {
            assert_eq!(made(handling).undone_by(before, now), expected, "{handling:?}");
        }
        let until = Triage { until: Some(at), ..made(Handling::Acknowledged) };
        assert_eq!(until.handling_at(Timestamp::from_secs(99)), Handling::Acknowledged);
        assert_eq!(until.handling_at(at), Handling::New);
    }
}
