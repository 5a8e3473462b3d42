//! One entry of the audit log, before it has a sequence number.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::decision::{Decision, DenyReason, PrincipalRef};
use super::finding::Standing;
use crate::base::{Rng, Timestamp, id};

/// What a promise to record means for this event (`DECISIONS`: event classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Durable before the answer, or the answer is 503: admin and key changes, revocation, policy changes. Written as
    /// an intake row of the transaction that changes the state.
    Durable,
    /// Group commit before the answer, 503 after 50 ms: logins, issuance, refusals of authenticated callers.
    Before,
    /// Queued; what a full queue drops is counted in one `audit.gap` event: decisions and reads.
    Queued,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed, issued, done.
    Allowed,
    /// Refused by policy, credentials or limits.
    Denied,
    /// Broke on our side.
    Failed,
}

impl Outcome {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// From the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allowed, Self::Denied, Self::Failed].into_iter().find(|o| o.as_str() == text)
    }
}

/// An event. Serialised in two halves: [`Event::personal`] can be erased later, [`Event::rest`] stays; the log's leaf
/// commits to both (see `audit_log::leaf`).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `evt_…`, unique.
    pub id: String,
    /// When it happened.
    pub time: Timestamp,
    /// `noun.verb`, from the closed list in `kind`.
    pub kind: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Who, when known.
    pub principal: Option<PrincipalRef>,
    /// The peer's address, when there was one.
    pub address: Option<std::net::IpAddr>,
    /// Cedar action or OAuth operation.
    pub action: Option<Arc<str>>,
    /// What it was done to: `Type::"id"` or a URI.
    pub resource: Option<Arc<str>>,
    /// A machine-readable reason: `DenyReason`, an OAuth error code, `rate_limited`.
    pub reason: Option<Arc<str>>,
    /// Determining policies.
    pub policies: Vec<Arc<str>>,
    /// Snapshot digest.
    pub snapshot: Option<Arc<str>>,
    /// `X-Request-ID`.
    pub request_id: Option<Arc<str>>,
    /// W3C trace id, 32 hex digits.
    pub trace_id: Option<Arc<str>>,
    /// How long the work took.
    pub latency_us: Option<u64>,
    /// How many like it this one stands for (folded floods); 1 unless folded.
    pub count: u64,
    /// Everything else that belongs to this kind (`jti`, `scope`, `kid`, …): no secrets, no personal data.
    pub data: Data,
}

/// Facts by name, in the order they were told; a name told again takes the new value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data(Vec<(&'static str, Value)>);

impl Data {
    /// The fact of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => {
                // Most kinds have four to eight facts: one allocation instead of two.
                if self.0.is_empty() {
                    self.0.reserve(8);
                }
                self.0.push((name, value));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The kinds of event there are.
pub mod kind {
    /// An access token was issued.
    pub const TOKEN_ISSUED: &str = "token.issued";
    /// The token endpoint refused.
    pub const TOKEN_REFUSED: &str = "token.refused";
    /// A token was revoked.
    pub const TOKEN_REVOKED: &str = "token.revoked";
    /// A token was introspected.
    pub const TOKEN_INTROSPECTED: &str = "token.introspected";
    /// A guarded call was decided.
    pub const DECISION: &str = "decision";
    /// A call was refused by a limit.
    pub const RATE_LIMITED: &str = "rate.limited";
    /// A caller without a usable credential was refused.
    pub const UNAUTHENTICATED: &str = "auth.refused";
    /// A client was created, changed, rotated, disabled, deleted.
    pub const CLIENT_CHANGED: &str = "client.changed";
    /// A signing key was generated, activated, retired.
    pub const KEY_CHANGED: &str = "key.changed";
    /// A policy snapshot was activated.
    pub const POLICY_ACTIVATED: &str = "policy.activated";
    /// A policy load failed; the last good snapshot stays.
    pub const POLICY_REJECTED: &str = "policy.rejected";
    /// The audit log was read.
    pub const AUDIT_READ: &str = "audit.read";
    /// Events were dropped because the queue was full; `count` says how many.
    pub const AUDIT_GAP: &str = "audit.gap";
    /// Halves of entries were erased: `data.half` of `data.entries`, ranges of numbers that include both ends.
    pub const AUDIT_ERASED: &str = "audit.erased";
    /// Entries are older than the log keeps them, and only their leaves are left: `data.entries`, all that were ever dropped.
    pub const AUDIT_DROPPED: &str = "audit.dropped";
    /// A legal hold on the log was added or removed.
    pub const AUDIT_HELD: &str = "audit.held";
    /// An event is recorded, but its commit came too late and the answer it allowed did not leave; `data.event` names it.
    pub const ANSWER_WITHHELD: &str = "answer.withheld";
    /// A process started serving.
    pub const SERVICE_STARTED: &str = "service.started";
    /// A process stopped serving.
    pub const SERVICE_STOPPED: &str = "service.stopped";
    /// A person was created, changed, disabled, deleted.
    pub const USER_CHANGED: &str = "user.changed";
    /// A credential of a person was added, replaced, removed.
    pub const CREDENTIAL_CHANGED: &str = "credential.changed";
    /// A person signed in, or stepped up.
    pub const SESSION_STARTED: &str = "session.started";
    /// A session was ended: by its person, by an administrator, by a reset.
    pub const SESSION_ENDED: &str = "session.ended";
    /// A person's name was given and not proven.
    pub const LOGIN_FAILED: &str = "login.failed";
    /// A person agreed to give a client something.
    pub const CONSENT_GIVEN: &str = "consent.given";
    /// A person took that back.
    pub const CONSENT_WITHDRAWN: &str = "consent.withdrawn";
    /// An authorization code was issued.
    pub const AUTHORIZATION_GRANTED: &str = "authorization.granted";
    /// The authorization endpoint, or the endpoint for pushed requests, refused.
    pub const AUTHORIZATION_REFUSED: &str = "authorization.refused";
    /// A family of tokens was revoked.
    pub const GRANT_REVOKED: &str = "grant.revoked";
    /// An authorization code came a second time; its family was revoked.
    pub const CODE_REPLAYED: &str = "code.replayed";
    /// A refresh token came again after its successor was used; its family was revoked.
    pub const REFRESH_REPLAYED: &str = "refresh.replayed";
    /// A person let a device in, or did not.
    pub const DEVICE_DECIDED: &str = "device.decided";
    /// A logout token was delivered to a client, or given up.
    pub const LOGOUT_DELIVERED: &str = "logout.delivered";
    /// A finding came, or came again with other words: `data.change` is `new`, `changed` or `late`.
    pub const FINDING_REVISED: &str = "finding.revised";
    /// Findings were read.
    pub const FINDING_READ: &str = "finding.read";
    /// Findings name more people, clients and addresses than may come to be at risk in a minute.
    pub const RISK_HELD_BACK: &str = "risk.held_back";
    /// Somebody, a suppression or a new revision changed what is made of a finding: `data.change` says how.
    pub const FINDING_TRIAGED: &str = "finding.triaged";
    /// A suppression began or ended: `data.change` is `created`, `ended` or `expired`, `data.findings` how many it concerns.
    pub const SUPPRESSION_CHANGED: &str = "suppression.changed";

    /// Every kind.
    pub const ALL: [&str; 38] = [
        TOKEN_ISSUED,
        TOKEN_REFUSED,
        TOKEN_REVOKED,
        TOKEN_INTROSPECTED,
        DECISION,
        RATE_LIMITED,
        UNAUTHENTICATED,
        CLIENT_CHANGED,
        KEY_CHANGED,
        POLICY_ACTIVATED,
        POLICY_REJECTED,
        AUDIT_READ,
        AUDIT_GAP,
        AUDIT_ERASED,
        AUDIT_DROPPED,
        AUDIT_HELD,
        ANSWER_WITHHELD,
        SERVICE_STARTED,
        SERVICE_STOPPED,
        USER_CHANGED,
        CREDENTIAL_CHANGED,
        SESSION_STARTED,
        SESSION_ENDED,
        LOGIN_FAILED,
        CONSENT_GIVEN,
        CONSENT_WITHDRAWN,
        AUTHORIZATION_GRANTED,
        AUTHORIZATION_REFUSED,
        GRANT_REVOKED,
        CODE_REPLAYED,
        REFRESH_REPLAYED,
        DEVICE_DECIDED,
        LOGOUT_DELIVERED,
        FINDING_REVISED,
        FINDING_READ,
        RISK_HELD_BACK,
        FINDING_TRIAGED,
        SUPPRESSION_CHANGED,
    ];
}

/// The half that can be erased.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// `Type::"id"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
}

/// The half that stays.
#[derive(Serialize)]
struct Rest<'a> {
    id: &'a str,
    time: Timestamp,
    kind: &'a str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "slice_is_empty")]
    policies: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    #[serde(skip_serializing_if = "is_one")]
    count: u64,
    #[serde(skip_serializing_if = "Data::is_empty")]
    data: &'a Data,
}

fn slice_is_empty(policies: &&[Arc<str>]) -> bool {
    policies.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Event {
    /// A new event with a fresh id and nothing known but its kind and outcome.
    pub fn new(kind: &'static str, outcome: Outcome, now: Timestamp, rng: &dyn Rng) -> Self {
        Self {
            id: id::new("evt", now, rng),
            time: now,
            kind,
            outcome,
            principal: None,
            address: None,
            action: None,
            resource: None,
            reason: None,
            policies: Vec::new(),
            snapshot: None,
            request_id: None,
            trace_id: None,
            latency_us: None,
            count: 1,
            data: Data::default(),
        }
    }

    /// Takes over what a decision says: reason, policies, snapshot.
    #[must_use]
    pub fn decided(mut self, decision: &Decision) -> Self {
        self.reason = decision.denied.map(|r| Arc::from(r.as_str()));
        self.policies.clone_from(&decision.policies);
        self.snapshot = Some(Arc::clone(&decision.snapshot));
        if !decision.errors.is_empty() {
            let ids = decision.errors.iter().map(|id| Value::from(&**id)).collect();
            self.data.set("errors", Value::Array(ids));
        }
        if let Some(would) = &decision.would {
            let ids = would.policies.iter().map(|id| Value::from(&**id)).collect();
            self.data.set("risk_would", Value::from(would.denied.map_or("allowed", DenyReason::as_str)));
            self.data.set("risk_would_policies", Value::Array(ids));
        }
        self
    }

    /// Says which finding put somebody at risk, if any.
    #[must_use]
    pub fn at_risk(self, standing: Option<&Standing>) -> Self {
        match standing {
            Some(standing) => self.with("risk", standing.level).with("finding_id", &*standing.finding_id),
            None => self,
        }
    }

    /// Adds one fact of this kind.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.data.set(name, value.into());
        self
    }

    /// Writes the half that can be erased: JSON, `{}` when there is nothing personal.
    pub fn write_personal(&self, out: &mut Vec<u8>) {
        let half = Personal { principal: self.principal.as_ref().map(ToString::to_string), address: self.address };
        json(out, &half);
    }

    /// Writes the half that stays: JSON.
    pub fn write_rest(&self, out: &mut Vec<u8>) {
        let half = Rest {
            id: &self.id,
            time: self.time,
            kind: self.kind,
            outcome: self.outcome,
            action: self.action.as_deref(),
            resource: self.resource.as_deref(),
            reason: self.reason.as_deref(),
            policies: &self.policies,
            snapshot: self.snapshot.as_deref(),
            request_id: self.request_id.as_deref(),
            trace_id: self.trace_id.as_deref(),
            latency_us: self.latency_us,
            count: self.count,
            data: &self.data,
        };
        json(out, &half);
    }
}

fn json(out: &mut Vec<u8>, half: &impl Serialize) {
    let begun = out.len();
    // Memory takes everything, and these types have no value that JSON has not.
    if serde_json::to_writer(&mut *out, half).is_err() {
        out.truncate(begun);
    }
}
