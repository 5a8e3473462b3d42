//! Fetching what changed, so that nothing is lost and nothing counts twice, whatever happens in between.
//!
//! A window is frozen before its first page. Each page is one transaction: findings, events, and how far the window is
//! read. Findings come in the order in which they changed, so the next question begins where the last page ended, ends
//! included; only where a whole page changed in one millisecond does it go on by the provider's token. A token is never
//! kept: a process that dies asks again from where its last transaction stands, and what comes twice is known. The next
//! window overlaps the last one, because a change may become visible late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::history;
use super::record::{Bringer, Incoming, Mark, Tally, keep};
use super::source::{Source, SourceError, Window, format};
use super::split::answer;
use crate::base::{Clock, Rng, Timestamp};
use crate::model::Came;
use crate::store::findings::{self, Stored, triage};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How much of the last window is read again.
const OVERLAP: Duration = Duration::from_secs(15 * 60);
/// What is read at a time of what was before the first window.
const DAY: Duration = Duration::from_secs(86_400);
/// Findings that are looked at again in one round of a source.
const SWEEP: i64 = 500;
/// Pages without a finding, one after another, after which a source is taken for broken.
const EMPTY: usize = 100;

/// Findings of a page of which it is asked who closed them.
const ASKED: usize = 20;
/// What is open is counted on both sides so often.
const COMPARE: Duration = Duration::from_secs(3600);

/// How many findings are open, at the source and here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// There.
    pub theirs: u64,
    /// Here.
    pub ours: u64,
}

/// Told of every page as it is kept.
pub type OnPage<'a> = &'a mut (dyn FnMut(&Tally) + Send);

/// Fetches.
#[derive(Debug)]
pub struct Sync {
    /// Where everything is kept.
    pub store: Store,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub rng: Arc<dyn Rng>,
    /// How far back a new source is read.
    pub backfill: Duration,
}

/// Why fetching ended early. What came until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database; [`StoreError::Fenced`]: another process fetches from the same source.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a source is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Everything that changed before this is here.
    watermark: Option<Timestamp>,
    /// What is being read, from where the last page ended.
    window: Option<Window>,
    /// Everything that changed between this and the first window is here too.
    reaches_back_to: Option<Timestamp>,
    /// When a window was last read to its end.
    last_ok: Option<Timestamp>,
    /// When what is open was last counted on both sides.
    compared_at: Option<Timestamp>,
    /// When the past was last begun again because something was missing.
    begun_again_at: Option<Timestamp>,
}

/// A source under way.
struct Walk<'a> {
    source: &'a dyn Source,
    state: State,
    version: i64,
    tally: Tally,
}

impl Sync {
    /// Everything that changed since the last time.
    ///
    /// # Errors
    /// [`SyncError`]; calling it again goes on where it ended.
    pub async fn live(&self, source: &dyn Source, on_page: OnPage<'_>) -> Result<Tally, SyncError> {
        let mut walk = self.begin(source).await?;
        let now = whole_millis(self.clock.now());
        let from = match (walk.state.window, walk.state.watermark) {
            (Some(unfinished), _) => unfinished.from,
            (None, Some(watermark)) => watermark.minus(OVERLAP),
            (None, None) => now.minus(OVERLAP),
        };
        walk.state.reaches_back_to.get_or_insert(from);
        let window = Window { from: whole_millis(from), to: now };
        walk.state.window = Some(window);
        self.read(&mut walk, window, true, on_page).await?;
        walk.state.window = None;
        walk.state.watermark = Some(now);
        walk.state.last_ok = Some(self.clock.now());
        self.keep(&mut walk, &[], &[]).await?;
        Ok(walk.tally)
    }

    /// One more day of what was before the first window, or `None` when it is all here. Call [`Sync::live`] first.
    ///
    /// # Errors
    /// As [`Sync::live`].
    pub async fn further_back(&self, source: &dyn Source, on_page: OnPage<'_>) -> Result<Option<Tally>, SyncError> {
        let mut walk = self.begin(source).await?;
        let end = self.clock.now().minus(self.backfill);
        let Some(to) = walk.state.reaches_back_to.filter(|to| *to > end) else { return Ok(None) };
        let window = Window { from: whole_millis(to.minus(DAY).max(end)), to };
        self.read(&mut walk, window, false, on_page).await?;
        walk.state.reaches_back_to = Some(window.from);
        self.keep(&mut walk, &[], &[]).await?;
        Ok(Some(walk.tally))
    }

    /// Looks again at findings that nobody looked at for a while, at open ones sooner: what somebody suppresses, resolves,
    /// archives or opens again at AWS moves no date, and what is gone there does not come again. How many were looked at.
    ///
    /// # Errors
    /// As [`Sync::live`].
    pub async fn sweep(&self, source: &dyn Source, on_page: OnPage<'_>) -> Result<u64, SyncError> {
        let mut walk = self.begin(source).await?;
        let now = self.clock.now();
        let due = findings::to_check(&mut self.store.read().await?, source.name(), now, SWEEP).await?;
        for batch in due.chunks(source.most_again().max(1)) {
            let ids: Vec<String> = batch.iter().map(|one| one.finding.provider_id.clone()).collect();
            let page = source.again(&ids).await?;
            let pieces = answer(&page.answer, format(source.service()))
                .map_err(|error| SourceError::new(source.name(), format!("its answer cannot be read: {error}")))?;
            let incoming: Vec<_> = pieces.into_iter().map(Incoming::read).collect();
            let is_whole = page.next.is_none_or(|next| next.is_empty());
            let came = |one: &&Stored| incoming.iter().any(|new| new.finding.provider_key == one.finding.provider_key);
            let gone: Vec<_> = batch.iter().filter(|one| is_whole && !came(one)).cloned().collect();
            on_page(&self.keep(&mut walk, &incoming, &gone).await?);
        }
        Ok(due.len() as u64)
    }

    /// Keeps what the source says of who closed a finding there. That it does not say costs nothing else.
    async fn ask_who(&self, source: &dyn Source, changed: &Stored) -> Result<(), StoreError> {
        let answer = match source.history(&changed.finding).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "nobody can tell who changed a finding");
                return Ok(());
            }
        };
        let notes = history::read(&answer, &changed.finding_id);
        if notes.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for note in notes {
            triage::note(&mut tx, &changed.finding_id, &note).await?;
        }
        tx.commit().await
    }

    /// Counts, each hour, what is open at the source and here. When something is missing here, the past is read again, at most
    /// once a day. `None`: not now, or the source does not tell.
    ///
    /// # Errors
    /// As [`Sync::live`].
    pub async fn compare(&self, source: &dyn Source) -> Result<Option<Compared>, SyncError> {
        let (mut walk, now) = (self.begin(source).await?, self.clock.now());
        let is_due = |last: Option<Timestamp>, every| last.is_none_or(|last| now >= last.plus(every));
        let end = now.minus(self.backfill);
        let is_whole = walk.state.reaches_back_to.is_some_and(|from| from <= end);
        if !is_whole || !is_due(walk.state.compared_at, COMPARE) {
            return Ok(None);
        }
        let told = source.open().await;
        let ours = findings::count_open(&mut self.store.read().await?, source.name()).await?;
        walk.state.compared_at = Some(now);
        let theirs = told.as_ref().ok().copied().flatten();
        if theirs.is_some_and(|theirs| theirs > ours) && is_due(walk.state.begun_again_at, DAY) {
            walk.state.begun_again_at = Some(now);
            walk.state.reaches_back_to = Some(whole_millis(now));
        }
        self.keep(&mut walk, &[], &[]).await?;
        Ok(told?.map(|theirs| Compared { theirs, ours }))
    }

    /// When a source was last read to its end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_ok(&self, source: &str) -> Result<Option<Timestamp>, StoreError> {
        let found = findings::source::<State>(&mut self.store.read().await?, source).await?;
        Ok(found.and_then(|(_, state)| state.last_ok))
    }

    async fn begin<'a>(&self, source: &'a dyn Source) -> Result<Walk<'a>, StoreError> {
        let found = findings::source(&mut self.store.read().await?, source.name()).await?;
        let (version, state) = found.unwrap_or_default();
        Ok(Walk { source, state, version, tally: Tally::default() })
    }

    /// Keeps a page, how far the source is read, and who closed what of it.
    async fn keep(&self, walk: &mut Walk<'_>, page: &[Incoming<'_>], gone: &[Stored]) -> Result<Tally, StoreError> {
        let service = walk.source.service();
        let by = Bringer { origin: service.as_str(), is_live: true, principal: None };
        let mark = Mark { source: walk.source.name(), version: walk.version, state: walk.state, gone };
        let kept = keep(&self.store, page, &by, Some(&mark), &*self.clock, &*self.rng).await?;
        walk.version += 1;
        let mut tally = Tally::default();
        for (incoming, (came, _)) in page.iter().zip(&kept) {
            tally.add(*came, incoming.finding.problem.is_some());
            self.metrics.findings.add((incoming.finding.format, *came));
            if incoming.finding.problem.is_some() {
                self.metrics.finding_problems.add(incoming.finding.format);
            }
        }
        walk.tally.add_all(&tally);
        let closed = |stored: &&Stored| matches!(stored.finding.workflow.as_deref(), Some("SUPPRESSED" | "RESOLVED"));
        let changed = kept.iter().filter(|(came, _)| *came == Came::Changed).map(|(_, stored)| stored);
        for stored in changed.filter(closed).take(ASKED) {
            self.ask_who(walk.source, stored).await?;
        }
        Ok(tally)
    }

    /// Reads a window to its end.
    async fn read(
        &self,
        walk: &mut Walk<'_>,
        mut window: Window,
        is_live: bool,
        on_page: OnPage<'_>,
    ) -> Result<(), SyncError> {
        let (mut token, mut seen, mut empty, mut is_orderly) = (None::<String>, HashSet::new(), 0, true);
        let source = walk.source;
        let broken = |problem: String| SyncError::from(SourceError::new(source.name(), problem));
        loop {
            let page = source.page(window, token.as_deref()).await?;
            let pieces = answer(&page.answer, format(source.service()))
                .map_err(|error| broken(format!("its answer cannot be read: {error}")))?;
            let incoming: Vec<_> = pieces.into_iter().map(Incoming::read).collect();
            let end = end_of(&incoming).filter(|end| is_orderly && *end >= window.from);
            is_orderly = end.is_some() || incoming.is_empty();
            let has_moved = end.is_some_and(|end| end > window.from);
            if let Some(end) = end.filter(|_| has_moved) {
                window.from = end;
                if is_live {
                    walk.state.window = Some(window);
                }
            }
            on_page(&self.keep(walk, &incoming, &[]).await?);
            let Some(next) = page.next.filter(|next| !next.is_empty()) else { return Ok(()) };
            empty = if incoming.is_empty() { empty + 1 } else { 0 };
            if empty > EMPTY {
                return Err(broken("it gives one empty page after another".to_owned()));
            }
            if has_moved {
                token = None;
                seen.clear();
            } else if seen.insert(next.clone()) {
                token = Some(next);
            } else {
                return Err(broken("it gives the same page again and again".to_owned()));
            }
        }
    }
}

/// When the last finding of a page changed, if they stand in that order.
fn end_of(page: &[Incoming<'_>]) -> Option<Timestamp> {
    let times: Option<Vec<Timestamp>> = page.iter().map(|one| one.finding.updated_at).collect();
    let times = times?;
    times.is_sorted().then(|| times.last().copied().map(whole_millis))?
}

/// Sources count milliseconds.
fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.as_micros().div_euclid(1000) * 1000)
}
