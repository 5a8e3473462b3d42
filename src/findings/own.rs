//! What this server finds out by itself, as findings beside those of AWS: written in OCSF (a detection finding, class 2004),
//! kept by the one way in. A finding that nothing adds to for a while is resolved.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::normalise::normalise;
use super::record::{Bringer, Incoming, Mark, keep};
use crate::audit_log::{AuditLog, Signal, Subject};
use crate::base::{Clock, Rng, Timestamp};
use crate::model::filter::{self, Filter, FindingField, Op};
use crate::model::{Entity, EntityKind, Finding, FindingState, Format, PrincipalRef, Severity};
use crate::store::{Store, StoreError, findings};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Ended, Noticed};

/// The product that such a finding names.
pub const PRODUCT: &str = "stockade";
/// How often it is looked for findings that are over.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How many are resolved at a time.
const BATCH: i64 = 100;

/// Makes findings of signals.
#[derive(Debug)]
pub struct Own {
    /// Where signals come from.
    pub audit: AuditLog,
    /// Where findings go.
    pub store: Store,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub rng: Arc<dyn Rng>,
    /// After so long without another signal a finding is over.
    pub quiet: Duration,
    /// When it was last looked for findings that are over.
    pub looked_at: Mutex<Option<Timestamp>>,
}

/// How a signal is told.
struct Words {
    kind: &'static str,
    title: &'static str,
    severity: Severity,
}

fn words(noticed: Noticed) -> Words {
    let told = |kind, title, severity| Words { kind, title, severity };
    match noticed {
        // Whoever has the token may be anybody: what follows is a proof of the person, not their exclusion.
        Noticed::RefreshReplay => {
            told("TokenTheft:User/RefreshReplay", "A refresh token was used again after its successor", Severity::High)
        }
        Noticed::DenyBurst => {
            told("Discovery:Caller/DenyBurst", "A caller was denied again and again", Severity::Medium)
        }
        Noticed::PasswordSpraying => told(
            "CredentialAccess:Address/PasswordSpraying",
            "An address tried the passwords of many people",
            Severity::High,
        ),
        Noticed::LimitFlood => {
            told("Impact:Caller/LimitFlood", "A caller went on far beyond its limit", Severity::Medium)
        }
    }
}

impl Own {
    /// Keeps what was noticed since the last time, and resolves what is over.
    ///
    /// # Errors
    /// When the database fails; what was noticed comes again while it goes on.
    pub async fn tick(&self) -> Result<Ended, StoreError> {
        let (signals, now) = (self.audit.signals(), self.clock.now());
        for signal in &signals {
            self.metrics.signals.add(signal.noticed);
            self.note(signal).await?;
        }
        let is_time = self.looked_at.lock().is_none_or(|at| now.since(at) >= LOOK_AGAIN);
        if is_time {
            self.resolve_quiet(now).await?;
            *self.looked_at.lock() = Some(now);
        }
        Ok(if signals.is_empty() && !is_time { Ended::Skipped } else { Ended::Done })
    }

    async fn note(&self, signal: &Signal) -> Result<(), StoreError> {
        let words = words(signal.noticed);
        let who = match &signal.subject {
            Subject::Caller(who) => who.to_string(),
            Subject::Address(address) => address.to_string(),
        };
        let uid = format!("{PRODUCT}:{}:{who}", words.kind);
        let before = findings::called(&mut self.store.read().await?, &uid).await?.map(|stored| stored.finding);
        let before = before.filter(|finding| finding.state == FindingState::Open);
        let millis = |at: Timestamp| at.as_micros().div_euclid(1000);
        let since = before.as_ref().and_then(|finding| finding.first_seen).unwrap_or(signal.since);
        let counted = before.as_ref().and_then(|finding| finding.count).unwrap_or(0);
        let activity = if before.is_some() { 2 } else { 1 };
        let document = json!({
            "class_uid": 2004, "category_uid": 2, "type_uid": 200_400 + activity, "activity_id": activity,
            "severity_id": words.severity.level() + 1, "severity": words.severity.as_str(),
            "status_id": 1, "status": "New", "time": millis(signal.at), "message": words.title,
            "count": counted.saturating_add(i64::try_from(signal.count).unwrap_or(i64::MAX)),
            "metadata": { "version": "1.1.0", "product": { "uid": PRODUCT, "name": "Stockade", "vendor_name": "Stockade" } },
            "finding_info": {
                "uid": uid, "title": words.title, "types": [words.kind], "created_time": millis(since),
                "first_seen_time": millis(since), "last_seen_time": millis(signal.at), "modified_time": millis(signal.at),
            },
            "evidences": [evidence(&signal.subject)],
        });
        tracing::warn!(kind = words.kind, count = signal.count, "noticed");
        self.keep(&document).await
    }

    /// What nothing was added to for a while is over.
    async fn resolve_quiet(&self, now: Timestamp) -> Result<(), StoreError> {
        let quiet = Filter::of(FindingField::UpdatedAt, Op::Lt, filter::Value::Time(now.minus(self.quiet)));
        let filter = quiet
            .and(Filter::is(FindingField::Format, Format::Ocsf.as_str()))
            .and(Filter::is(FindingField::Product, PRODUCT))
            .and(Filter::is(FindingField::State, FindingState::Open.as_str()));
        let over = findings::page(&mut self.store.read().await?, &filter, None, BATCH).await?;
        for stored in over {
            let raw = findings::raw(&mut self.store.read().await?, &stored.finding_id, stored.revision).await?;
            let Some(Ok(mut document)) = raw.map(|(_, raw)| serde_json::from_slice::<Map<String, Value>>(&raw)) else {
                continue;
            };
            let millis = Value::from(now.as_micros().div_euclid(1000));
            let closed = [("activity_id", json!(3)), ("type_uid", json!(200_403)), ("status_id", json!(4))];
            document.extend(closed.map(|(name, value)| (name.to_owned(), value)));
            document.insert("status".to_owned(), "Resolved".into());
            document.insert("time".to_owned(), millis.clone());
            if let Some(Value::Object(info)) = document.get_mut("finding_info") {
                info.insert("modified_time".to_owned(), millis);
            }
            self.keep(&Value::Object(document)).await?;
        }
        Ok(())
    }

    async fn keep(&self, document: &Value) -> Result<(), StoreError> {
        let raw = document.to_string();
        let incoming = [Incoming { finding: read(document, raw.as_bytes()), raw: raw.as_bytes() }];
        let principal = Some(PrincipalRef::new("Operator", "signals"));
        let by = Bringer { origin: PRODUCT, is_live: true, principal };
        keep(&self.store, &incoming, &by, None::<&Mark<'_, ()>>, &*self.clock, &*self.rng).await.map(drop)
    }
}

fn evidence(subject: &Subject) -> Value {
    match subject {
        Subject::Address(address) => json!({ "src_endpoint": { "ip": address.to_string() } }),
        Subject::Caller(who) if &*who.kind == "Client" => json!({ "actor": { "app_uid": &*who.id } }),
        Subject::Caller(who) => json!({ "actor": { "user": { "uid": &*who.id } } }),
    }
}

/// As any other, and about the client: only a finding of our own is believed when it names one of our clients by its id.
fn read(document: &Value, raw: &[u8]) -> Finding {
    let mut finding = normalise(Format::Ocsf, raw);
    if let Some(Value::String(id)) = document.pointer("/evidences/0/actor/app_uid") {
        finding.entities.push(Entity { kind: EntityKind::Client, value: id.clone() });
    }
    finding
}
