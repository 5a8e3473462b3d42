//! What a finding ends. Decisions see risk by themselves; sessions and families of tokens stand until somebody ends them,
//! so that keeping one is a decision, `session:keep`, asked about those at risk by whoever holds the lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::accounts::{Ended, Occasion, Why, end_session, revoke};
use crate::base::{Clock, Rng, Timestamp, id};
use crate::live::Live;
use crate::model::event::kind;
use crate::model::{Acr, Event, Outcome, PrincipalRef, Standing};
use crate::policy::{Engine, Facts, Principal, Question, Resource, Snapshot};
use crate::store::grants::{self, Of};
use crate::store::{Store, StoreError, events, leases, sessions};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{self, Point, Would};

const KEEP: &str = "session:keep";
/// The lease of whoever ends sessions.
const LEASE: &str = "risk";
const LEASE_TTL: Duration = Duration::from_secs(30);
/// People who are looked at in one round.
const MOST: usize = 500;
/// Families of one person.
const MOST_GRANTS: i64 = 1000;
/// Somebody who stays at the same risk is looked at again after this: they may have signed in again.
const AGAIN: Duration = Duration::from_secs(10);
/// That names are held back is said so often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Ends what policy lets nobody keep.
#[derive(Debug)]
pub struct Responder {
    live: Arc<Live>,
    engine: Arc<Engine>,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    holder: String,
    /// What is asked about; made once, because decisions about it are remembered.
    registry: Resource,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Who was looked at, at which risk and when.
    people: HashMap<Box<str>, (Standing, Timestamp)>,
    said_at: Option<Timestamp>,
}

/// A session or a family, and how its person had authenticated.
struct Held<'a> {
    client: &'a str,
    acr: Acr,
    auth_time: Timestamp,
    address: Option<&'a str>,
}

impl Responder {
    /// Nothing is asked yet.
    pub fn new(
        live: Arc<Live>,
        engine: Arc<Engine>,
        store: Store,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let holder = id::new("rsp", clock.now(), &*rng);
        let registry = Resource::user_registry();
        Self { live, engine, store, metrics, clock, rng, holder, registry, seen: Mutex::default() }
    }

    /// Looks at everybody who came to be at risk.
    ///
    /// # Errors
    /// When the database fails; the next round goes on.
    pub async fn tick(&self) -> Result<labels::Ended, StoreError> {
        let (known, now) = (self.engine.risk().known(), self.clock.now());
        let held_back = self.live.risk_tally().held_back;
        let due: Vec<(Box<str>, Standing)> = {
            let mut seen = self.seen.lock();
            seen.people.retain(|id, _| known.users.get(&**id).is_some());
            let is_due = |id: &str, standing: &Standing| {
                let before = seen.people.get(id);
                before.is_none_or(|(before, at)| before != standing || now.since(*at) >= AGAIN)
            };
            let ours = known.users.iter().filter(|(id, _)| id.starts_with("usr_") && !known.spared_users.contains(*id));
            let due = ours.filter(|(id, standing)| is_due(id, standing)).take(MOST);
            due.map(|(id, standing)| (id.clone(), standing.clone())).collect()
        };
        if (due.is_empty() && held_back == 0)
            || leases::take(&self.store, LEASE, &self.holder, LEASE_TTL, now).await?.is_none()
        {
            return Ok(labels::Ended::Skipped);
        }
        let Some(snapshot) = self.engine.snapshot() else { return Ok(labels::Ended::Skipped) };
        for (user_id, standing) in due {
            self.look_at(&snapshot, &user_id, &standing, now).await?;
            self.seen.lock().people.insert(user_id, (standing, now));
        }
        if held_back > 0 && self.seen.lock().said_at.is_none_or(|at| now.since(at) >= SAY_AGAIN) {
            self.say(held_back, now).await?;
        }
        Ok(labels::Ended::Done)
    }

    /// More came to be at risk than is let in at once.
    async fn say(&self, held_back: usize, now: Timestamp) -> Result<(), StoreError> {
        let mut event = self.event(kind::RISK_HELD_BACK, Outcome::Allowed);
        event.reason = Some("new_a_minute".into());
        let mut tx = self.store.begin().await?;
        events::intake(&mut tx, &event.with("held_back", held_back)).await?;
        tx.commit().await?;
        self.seen.lock().said_at = Some(now);
        Ok(())
    }

    fn event(&self, kind: &'static str, outcome: Outcome) -> Event {
        let mut event = Event::new(kind, outcome, self.clock.now(), &*self.rng);
        event.principal = Some(PrincipalRef::new("Operator", LEASE));
        event
    }

    /// Ends what this person may not keep.
    async fn look_at(
        &self,
        snapshot: &Snapshot,
        user_id: &str,
        standing: &Standing,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(user) = self.live.user(user_id).await? else { return Ok(()) };
        let mut reader = self.store.read().await?;
        let sessions = sessions::of_user(&mut reader, user_id).await?;
        let families = grants::live_of_user(&mut reader, user_id, now, MOST_GRANTS).await?;
        drop(reader);
        let is_new = self.seen.lock().people.get(user_id).is_none_or(|(before, _)| before != standing);
        let may_keep = |held: &Held<'_>| self.may_keep(snapshot, &user.principal, held, is_new, now);
        let (mut sessions_to_end, mut families_to_end) = (Vec::new(), Vec::new());
        for session in sessions {
            let held = Held {
                client: "",
                acr: session.acr,
                auth_time: session.auth_time,
                address: session.address.as_deref(),
            };
            if !may_keep(&held) {
                sessions_to_end.push(session);
            }
        }
        for family in families {
            let held = Held { client: &family.client_id, acr: family.acr, auth_time: family.auth_time, address: None };
            if !may_keep(&held) {
                families_to_end.push(family.grant_id);
            }
        }
        if sessions_to_end.is_empty() && families_to_end.is_empty() {
            return Ok(());
        }
        let make = |kind, outcome| self.event(kind, outcome).at_risk(Some(standing));
        let on = Occasion { event: &make, why: Why::AtRisk, now, rng: &*self.rng };
        let (mut tx, mut ended) = (self.store.begin().await?, Ended::default());
        for session in &sessions_to_end {
            ended = ended.and(end_session(&mut tx, &self.live, session, &on).await?);
        }
        for grant_id in &families_to_end {
            ended = ended.and(revoke(&mut tx, Of::Grant(grant_id), &on).await?);
        }
        tx.commit().await?;
        ended.announce(&self.live);
        tracing::info!(
            user_id,
            finding_id = &*standing.finding_id,
            sessions = ended.sessions.len(),
            families = ended.revoked.len(),
            "a finding ended what a person had"
        );
        Ok(())
    }

    /// Only a policy that says no ends something; that none can be asked does not.
    fn may_keep(
        &self,
        snapshot: &Snapshot,
        principal: &Principal,
        held: &Held<'_>,
        is_new: bool,
        now: Timestamp,
    ) -> bool {
        use crate::model::DenyReason::{Forbidden, NoPermit};
        let facts = Facts {
            client: held.client,
            acr: held.acr.level(),
            auth_age_secs: u32::try_from(now.since(held.auth_time).as_secs()).unwrap_or(u32::MAX),
            ..Facts::at(now).address(held.address.and_then(|address| address.parse().ok()))
        };
        let facts = self.engine.risk().told(principal.reference(), facts);
        let decision = snapshot.decide(&Question { principal, action: KEEP, resource: &self.registry, facts: &facts });
        if decision.would.is_some() && is_new {
            self.metrics.risk_dry_runs.add((Point::Login, Would::EndSessions));
        }
        !matches!(decision.denied, Some(Forbidden | NoPermit))
    }
}
