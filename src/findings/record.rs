//! The one way in: whatever brings a finding, however often, it is kept once, and every revision is an event of the
//! transaction that keeps it.

use std::time::Duration;

use serde::Serialize;

use super::normalise::{hex, normalise};
use super::settle::settle;
use super::split::Piece;
use crate::base::{Clock, Rng, Timestamp, id};
use crate::crypto::sha256;
use crate::model::event::kind;
use crate::model::{Came, Event, Finding, FindingState, Outcome, PrincipalRef, Suppression};
use crate::store::changes::{self, Topic};
use crate::store::findings::{self, Revision, Stored, suppressions};
use crate::store::{Store, StoreError, Tx, events, risk};

/// Who brings findings.
#[derive(Clone, Debug)]
pub struct Bringer {
    /// Where revisions say they come from: `import`, `guardduty`, `securityhub`.
    pub origin: &'static str,
    /// Whether what comes now is how things stand now. Files come in any order: of those only what the provider dates
    /// later is newer, and what was there before is nothing new.
    pub is_live: bool,
    /// Who did it, when it was somebody.
    pub principal: Option<PrincipalRef>,
}

/// A finding that came, read.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    /// What it says.
    pub finding: Finding,
    /// Its bytes.
    pub raw: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Reads a finding.
    pub fn read(piece: Piece<'a>) -> Self {
        Self { finding: normalise(piece.format, piece.raw), raw: piece.raw }
    }
}

/// How far a source is read, written down with what was read.
#[derive(Debug)]
pub(super) struct Mark<'a, T> {
    pub(super) source: &'a str,
    pub(super) version: i64,
    pub(super) state: T,
    /// Findings that the source no longer has.
    pub(super) gone: &'a [Stored],
}

/// Open findings are looked at again after this: that somebody suppressed, resolved or archived one moves no date.
const CHECK_OPEN: Duration = Duration::from_secs(300);
/// The others after this: that somebody opened one again moves none either.
const CHECK_CLOSED: Duration = Duration::from_secs(6 * 3600);

fn check_at(stored: &Stored, now: Timestamp) -> Option<Timestamp> {
    match stored.finding.state {
        FindingState::Open => Some(now.plus(CHECK_OPEN)),
        FindingState::Suppressed | FindingState::Resolved | FindingState::Archived => Some(now.plus(CHECK_CLOSED)),
        FindingState::Expired => None,
    }
}

/// How many came, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub read: u64,
    /// Those that nobody had seen.
    pub new: u64,
    /// New revisions in force.
    pub changed: u64,
    /// New revisions that are older than the one in force.
    pub late: u64,
    /// Nothing new.
    pub known: u64,
    /// Of all of them, those that could not be read whole.
    pub odd: u64,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, came: Came, is_odd: bool) {
        self.read += 1;
        self.odd += u64::from(is_odd);
        match came {
            Came::New => self.new += 1,
            Came::Changed => self.changed += 1,
            Came::Late => self.late += 1,
            Came::Known => self.known += 1,
        }
    }

    /// Counts all of another.
    pub fn add_all(&mut self, other: &Self) {
        self.read += other.read;
        self.new += other.new;
        self.changed += other.changed;
        self.late += other.late;
        self.known += other.known;
        self.odd += other.odd;
    }
}

/// How often a transaction is begun again because another process brought the same finding.
const TRIES: usize = 5;

/// Keeps a page in one transaction, and how far its source is read.
pub(super) async fn keep<T: Serialize + Sync>(
    store: &Store,
    page: &[Incoming<'_>],
    by: &Bringer,
    mark: Option<&Mark<'_, T>>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<Vec<(Came, Stored)>, StoreError> {
    let mut tries = 1;
    loop {
        match keep_once(store, page, by, mark, clock, rng).await {
            Err(StoreError::Conflict(_)) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

async fn keep_once<T: Serialize + Sync>(
    store: &Store,
    page: &[Incoming<'_>],
    by: &Bringer,
    mark: Option<&Mark<'_, T>>,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<Vec<(Came, Stored)>, StoreError> {
    let mut tx = store.begin().await?;
    // First of all: whoever was overtaken learns it before it writes.
    if let Some(mark) = mark {
        findings::put_source(&mut tx, mark.source, mark.version, &mark.state, clock.now()).await?;
    }
    let rules = suppressions::in_force(&mut tx).await?;
    let mut kept = Vec::with_capacity(page.len());
    for incoming in page {
        let one = record_under(&mut tx, incoming, &rules, by, clock, rng).await?;
        if let Some(mark) = mark {
            findings::seen(&mut tx, mark.source, &one.1.finding_id, check_at(&one.1, clock.now())).await?;
        }
        kept.push(one);
    }
    if let Some(mark) = mark {
        for gone in mark.gone {
            expire(&mut tx, gone, mark.source, by, clock, rng).await?;
        }
    }
    if kept.iter().any(|(came, _)| *came != Came::Known) || mark.is_some_and(|mark| !mark.gone.is_empty()) {
        changes::bump(&mut tx, Topic::Findings).await?;
    }
    tx.commit().await?;
    Ok(kept)
}

/// Keeps one finding: what became of it, and how it stands.
///
/// # Errors
/// [`StoreError::Conflict`] when another process brought the same one: begin the transaction again. Else when the database
/// fails.
pub async fn record(
    tx: &mut Tx,
    incoming: &Incoming<'_>,
    by: &Bringer,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(Came, Stored), StoreError> {
    let rules = suppressions::in_force(tx).await?;
    record_under(tx, incoming, &rules, by, clock, rng).await
}

async fn record_under(
    tx: &mut Tx,
    incoming: &Incoming<'_>,
    rules: &[Suppression],
    by: &Bringer,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(Came, Stored), StoreError> {
    let (finding, raw) = (incoming.finding.clone(), incoming.raw);
    let (now, updated, content_hash) = (clock.now(), finding.updated(), sha256(raw));
    let Some(before) = findings::lock(tx, &finding).await? else {
        let new = Stored {
            finding_id: id::new("fnd", now, rng),
            case_id: case_id(&finding),
            updated,
            revision: 1,
            revisions: 1,
            content_hash,
            recorded_at: now,
            finding,
        };
        findings::insert(tx, &new, raw, by.origin).await?;
        risk::begin(tx, &new.finding_id, true, now).await?;
        events::intake(tx, &event(Came::New, &new, &new.finding, None, by, clock, rng)).await?;
        settle(tx, &new, None, rules, clock, rng).await?;
        return Ok((Came::New, new));
    };
    if by.is_live && content_hash == before.content_hash && before.finding.state != finding.state {
        // It was gone and is back.
        let after = Stored { finding, ..before.clone() };
        findings::restate(tx, &after).await?;
        risk::begin(tx, &after.finding_id, true, now).await?;
        events::intake(tx, &event(Came::Changed, &after, &after.finding, Some(&before.finding), by, clock, rng))
            .await?;
        settle(tx, &after, Some(&before.finding), rules, clock, rng).await?;
        return Ok((Came::Changed, after));
    }
    let is_newer = updated >= before.updated;
    if content_hash == before.content_hash
        || (!(by.is_live && is_newer) && findings::has_content(tx, &before.finding_id, &content_hash).await?)
    {
        return Ok((Came::Known, before));
    }
    let revision = Revision {
        revision: before.revisions + 1,
        content_hash,
        updated,
        recorded_at: now,
        origin: by.origin.to_owned(),
    };
    let mut after = Stored { revisions: revision.revision, ..before.clone() };
    if is_newer {
        after.case_id = case_id(&finding);
        after = Stored { revision: revision.revision, updated, content_hash, finding, ..after };
        findings::update(tx, &after, &revision, raw).await?;
        let (old, new) = (&before.finding, &after.finding);
        let is_worse = new.severity > old.severity || (new.state != old.state && new.state == FindingState::Open);
        risk::begin(tx, &after.finding_id, is_worse, now).await?;
        events::intake(tx, &event(Came::Changed, &after, &after.finding, Some(&before.finding), by, clock, rng))
            .await?;
        settle(tx, &after, Some(&before.finding), rules, clock, rng).await?;
        return Ok((Came::Changed, after));
    }
    findings::keep_late(tx, &before.finding_id, &revision, raw, &finding.entities).await?;
    risk::begin(tx, &before.finding_id, false, now).await?;
    let mut late = event(Came::Late, &after, &finding, None, by, clock, rng);
    late = late.with("sha256", hex(&content_hash)).with("revision", revision.revision);
    events::intake(tx, &late).await?;
    Ok((Came::Late, after))
}

/// Its provider has it no longer: ours stays, and says so if it was open.
async fn expire(
    tx: &mut Tx,
    gone: &Stored,
    source: &str,
    by: &Bringer,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(), StoreError> {
    let Some(before) = findings::lock(tx, &gone.finding).await? else { return Ok(()) };
    findings::seen(tx, source, &before.finding_id, None).await?;
    if before.finding.state != FindingState::Open {
        return Ok(());
    }
    let mut after = before.clone();
    after.finding.state = FindingState::Expired;
    findings::restate(tx, &after).await?;
    let event = event(Came::Changed, &after, &after.finding, Some(&before.finding), by, clock, rng);
    events::intake(tx, &event.with("change", "expired")).await
}

/// Findings of one cause share it, whoever computes it and whenever.
fn case_id(finding: &Finding) -> String {
    let digest = sha256(finding.correlation_key.as_bytes());
    format!("case_{}", hex(digest.get(..13).unwrap_or_default()))
}

/// No entities and no title: they name people, and an event's data stays when its personal half is erased.
fn event(
    came: Came,
    now: &Stored,
    finding: &Finding,
    before: Option<&Finding>,
    by: &Bringer,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Event {
    let mut event = Event::new(kind::FINDING_REVISED, Outcome::Allowed, clock.now(), rng);
    event.principal.clone_from(&by.principal);
    event.resource = Some(format!("Finding::\"{}\"", now.finding_id).into());
    let mut event = event
        .with("change", came.as_str())
        .with("finding_id", now.finding_id.as_str())
        .with("case_id", now.case_id.as_str())
        .with("revision", now.revision)
        .with("sha256", hex(&now.content_hash))
        .with("format", finding.format.as_str())
        .with("origin", by.origin)
        .with("severity", finding.severity.as_str())
        .with("state", finding.state.as_str());
    for (name, value) in [("type", &finding.kind), ("account", &finding.account), ("region", &finding.region)] {
        if let Some(value) = value {
            event = event.with(name, value.as_str());
        }
    }
    if let Some(before) = before.filter(|before| before.state != finding.state) {
        event = event.with("state_before", before.state.as_str());
    }
    if let Some(before) = before.filter(|before| before.severity != finding.severity) {
        event = event.with("severity_before", before.severity.as_str());
    }
    if finding.sample {
        event = event.with("sample", true);
    }
    event
}
