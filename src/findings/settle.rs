//! What new words of a provider do to what people made of a finding, and what suppressions hide. Happens in the
//! transaction that keeps the revision, so that no finding slips past a suppression and none stays hidden by mistake.

use super::normalise::hex;
use crate::base::{Clock, Rng, id};
use crate::model::event::kind;
use crate::model::{Event, Finding, Note, Outcome, Suppression, Triage};
use crate::store::changes::{self, Topic};
use crate::store::findings::triage::{self, Held};
use crate::store::findings::{Stored, suppressions};
use crate::store::{Store, StoreError, Tx, events};

/// Findings that come back in one statement when a suppression ends.
const BATCH: i64 = 500;

/// Looks again at what was made of a finding that says something new.
pub(super) async fn settle(
    tx: &mut Tx,
    now: &Stored,
    before: Option<&Finding>,
    rules: &[Suppression],
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(), StoreError> {
    let rule = rules.iter().find(|rule| rule.matching.applies_to(&now.finding));
    let rule = rule.map(|rule| rule.suppression_id.clone());
    let held = match before {
        None => Held::default(),
        Some(_) => triage::of(tx, &now.finding_id).await?,
    };
    if held.version == 0 && rule.is_none() {
        return Ok(());
    }
    if let Some(why) = before.and_then(|before| held.triage.undone_by(before, &now.finding)) {
        let again = Triage { suppressed_by: rule, at: Some(clock.now()), by: None, ..held.triage.begun_again() };
        return put(tx, now, again, "reopened", Some(why), clock, rng).await.map(drop);
    }
    if rule == held.triage.suppressed_by {
        return Ok(());
    }
    hide(tx, now, held.triage, rule, clock, rng).await
}

/// Says which suppression hides a finding, or that none does.
pub(super) async fn hide(
    tx: &mut Tx,
    stored: &Stored,
    before: Triage,
    rule: Option<String>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(), StoreError> {
    let act = if rule.is_some() { "suppressed" } else { "shown" };
    put(tx, stored, Triage { suppressed_by: rule, ..before }, act, None, clock, rng).await.map(drop)
}

/// Writes what the service itself makes of a finding, with a note and an event.
async fn put(
    tx: &mut Tx,
    stored: &Stored,
    triage: Triage,
    act: &'static str,
    why: Option<&str>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<Held, StoreError> {
    let held = triage::put(tx, &stored.finding_id, triage).await?;
    let note = Note {
        note_id: id::new("note", clock.now(), rng),
        at: clock.now(),
        author: None,
        act: act.to_owned(),
        text: why.or(held.triage.suppressed_by.as_deref()).map(str::to_owned),
    };
    triage::note(tx, &stored.finding_id, &note).await?;
    let event = Event::new(kind::FINDING_TRIAGED, Outcome::Allowed, clock.now(), rng);
    let mut event = told(event, act, stored, &held, &note.note_id);
    if let Some(why) = why {
        event = event.with("why", why);
    }
    events::intake(tx, &event).await?;
    Ok(held)
}

/// What is made of a finding, as an event tells it: no names and no words of people.
pub(super) fn told(event: Event, act: &'static str, stored: &Stored, held: &Held, note_id: &str) -> Event {
    let mut event = event
        .with("change", act)
        .with("finding_id", stored.finding_id.as_str())
        .with("case_id", stored.case_id.as_str())
        .with("revision", stored.revision)
        .with("sha256", hex(&stored.content_hash))
        .with("handling", held.triage.handling.as_str())
        .with("note_id", note_id);
    event.resource = Some(format!("Finding::\"{}\"", stored.finding_id).into());
    if let Some(rule) = &held.triage.suppressed_by {
        event = event.with("suppressed_by", rule.as_str());
    }
    match held.triage.resolution {
        Some(resolution) => event.with("resolution", resolution.as_str()),
        None => event,
    }
}

/// Shows what a suppression that has ended hid; how many findings that were. Take [`suppressions::lock`] first.
pub(super) async fn lift(
    tx: &mut Tx,
    ended: &Suppression,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<u64, StoreError> {
    let others = suppressions::in_force(tx).await?;
    let mut all = 0;
    loop {
        let page = triage::suppressed(tx, &ended.suppression_id, BATCH).await?;
        if page.is_empty() {
            return Ok(all);
        }
        for stored in page {
            triage::hold(tx, &stored.finding_id).await?;
            let held = triage::of(tx, &stored.finding_id).await?;
            let other = others.iter().find(|rule| rule.matching.applies_to(&stored.finding));
            hide(tx, &stored, held.triage, other.map(|rule| rule.suppression_id.clone()), clock, rng).await?;
            all += 1;
        }
    }
}

/// Ends the suppressions whose time is over; how many.
///
/// # Errors
/// When the database fails.
pub async fn end_expired(store: &Store, clock: &dyn Clock, rng: &dyn Rng) -> Result<u64, StoreError> {
    let mut ended = 0;
    while suppressions::due(&mut store.read().await?, clock.now()).await?.is_some() {
        let mut tx = store.begin().await?;
        suppressions::lock(&mut tx).await?;
        // Another process may have been here first.
        if let Some(due) = suppressions::due(&mut tx, clock.now()).await? {
            let over = Suppression { ended_at: Some(clock.now()), ..due };
            suppressions::put(&mut tx, &over).await?;
            let shown = lift(&mut tx, &over, clock, rng).await?;
            let event = Event::new(kind::SUPPRESSION_CHANGED, Outcome::Allowed, clock.now(), rng);
            events::intake(&mut tx, &changed(event, "expired", &over, shown)).await?;
            changes::bump(&mut tx, Topic::Findings).await?;
            ended += 1;
        }
        tx.commit().await?;
    }
    Ok(ended)
}

/// A suppression, as an event tells it.
pub(super) fn changed(mut event: Event, change: &'static str, rule: &Suppression, findings: u64) -> Event {
    event.resource = Some(format!("Suppression::\"{}\"", rule.suppression_id).into());
    event
        .with("change", change)
        .with("suppression_id", rule.suppression_id.as_str())
        .with("findings", findings)
        .with("expires_at", rule.expires_at.to_string())
}
