//! The queue and its writer: many callers, one group commit. Callers of [`AuditLog::record`] are answered after the
//! commit; what [`AuditLog::queue`] cannot place is counted, and the count becomes one `audit.gap` event.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::checkpoint;
use super::disk::Pressure;
use super::fold::Folds;
use super::merkle::Frontier;
use super::sequencer::Sequencer;
use super::signals::{Signal, Signals, Thresholds};
use crate::base::{Clock, Rng, Timestamp, id};
use crate::crypto::log_key::LogKey;
use crate::model::event::kind;
use crate::model::{Event, EventClass, Outcome, PrincipalRef};
use crate::store::changes::Watch;
use crate::store::entry::Entry;
use crate::store::events;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::labels::Recorded;

/// How many events one commit takes.
const BATCH: usize = 1000;
/// How often the intake is looked at when nothing announces work, and how long a queued event waits for others to share
/// its commit.
const POLL: Duration = Duration::from_millis(100);
/// How many queued events a database that is gone may hold back, before they are counted as a gap.
const HELD_BACK: usize = 20_000;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the log in its signed heads.
    pub origin: String,
    /// How many events may wait.
    pub queue: usize,
    /// How long [`AuditLog::record`] waits for the commit.
    pub patience: Duration,
    /// How often a grown log gets a signed head.
    pub checkpoint_every: Duration,
}

/// The event is not known to be recorded: the answer that depends on it must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log did not take the event in time")]
pub struct NotRecorded;

type Ack = oneshot::Sender<Result<(), NotRecorded>>;

enum Message {
    Record(Event, Ack),
    Flush(Ack),
}

struct Inner {
    first: mpsc::Sender<Message>,
    later: mpsc::Sender<Entry>,
    /// A whole batch of queued events waits.
    full: Notify,
    folds: Mutex<Folds>,
    /// What refusals say together; nobody listens until [`AuditLog::notice`].
    signals: OnceLock<Mutex<Signals>>,
    dropped: AtomicU64,
    /// As a number, see [`AuditLog::press`].
    pressure: AtomicU8,
    patience: Duration,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// Where rooms put their events. Clones share one queue.
#[derive(Clone)]
pub struct AuditLog(Arc<Inner>);

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("dropped", &self.0.dropped).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// A log and the worker that must run for it.
    pub fn new(
        store: Store,
        key: LogKey,
        settings: Settings,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> (Self, Worker) {
        let (first, first_rx) = mpsc::channel(settings.queue.max(1));
        let (later, later_rx) = mpsc::channel(settings.queue.max(1));
        let holder = id::new("proc", clock.now(), &*rng);
        let inner = Inner {
            first,
            later,
            full: Notify::new(),
            folds: Mutex::default(),
            signals: OnceLock::new(),
            dropped: AtomicU64::new(0),
            pressure: AtomicU8::new(0),
            patience: settings.patience,
            metrics,
            clock,
            rng,
        };
        let log = Self(Arc::new(inner));
        let key = Arc::new(key);
        let sequencer = Sequencer::new(store.clone(), holder, Arc::clone(&key));
        let worker = Worker {
            log: log.clone(),
            store,
            first: first_rx,
            later: later_rx,
            sequencer,
            head: Head { key, settings, signed_at_ns: None, signed_size: None },
        };
        (log, worker)
    }

    /// Counts refusals from now on, and gives what they say together with [`Self::signals`].
    pub fn notice(&self, thresholds: Thresholds) {
        self.0.signals.set(Mutex::new(Signals::new(thresholds))).ok();
    }

    /// A refresh token of this person came again after its successor was used: once says enough.
    pub fn replayed(&self, user_id: &str, at: Timestamp) {
        if let Some(signals) = self.0.signals.get() {
            signals.lock().replayed(user_id, at);
        }
    }

    /// Takes what was noticed since the last time.
    pub fn signals(&self) -> Vec<Signal> {
        self.0.signals.get().map(|signals| signals.lock().take()).unwrap_or_default()
    }

    fn see(&self, event: &Event) {
        if event.outcome == Outcome::Denied
            && let Some(signals) = self.0.signals.get()
        {
            signals.lock().see(event);
        }
    }

    /// From now on as much is written as the disk has room for: above [`Pressure::Shed`] nothing is queued, above
    /// [`Pressure::Stop`] nothing recorded.
    pub fn press(&self, pressure: Pressure) {
        self.0.pressure.store(pressure as u8, Ordering::Relaxed);
    }

    fn pressed(&self, as_much_as: Pressure) -> bool {
        self.0.pressure.load(Ordering::Relaxed) >= as_much_as as u8
    }

    /// Records `event` before the answer: returns after the commit that holds it.
    ///
    /// # Errors
    /// [`NotRecorded`] when the queue is full, the commit failed or took longer than the configured patience.
    pub async fn record(&self, event: Event) -> Result<(), NotRecorded> {
        self.see(&event);
        let (ack, done) = oneshot::channel();
        if self.pressed(Pressure::Stop) {
            self.0.metrics.audit_events.add((EventClass::Before, Recorded::Failed));
            return Err(NotRecorded);
        }
        let result = match self.0.first.try_send(Message::Record(event, ack)) {
            Ok(()) => match tokio::time::timeout(self.0.patience, done).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => Err(NotRecorded),
            },
            Err(_) => Err(NotRecorded),
        };
        let recorded = if result.is_ok() { Recorded::Recorded } else { Recorded::Failed };
        self.0.metrics.audit_events.add((EventClass::Before, recorded));
        result
    }

    /// Queues `event`; it is visible within a second. When the queue is full it is counted in a gap event instead.
    pub fn queue(&self, event: Event) {
        self.see(&event);
        // Packed by who has it: the writer's thread then frees one piece of memory instead of a dozen.
        let room = !self.pressed(Pressure::Shed);
        let queued = room
            && self.0.later.try_reserve().is_ok_and(|place| {
                place.send(Entry::new(&event, &*self.0.rng));
                true
            });
        if !queued {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if self.depth().is_multiple_of(BATCH) {
            self.0.full.notify_one();
        }
        let recorded = if queued { Recorded::Recorded } else { Recorded::Dropped };
        self.0.metrics.audit_events.add((EventClass::Queued, recorded));
    }

    /// Counts a refusal that anyone can cause; one event a second for each reason and caller.
    pub fn fold(&self, event: Event) {
        self.0.metrics.audit_events.add((EventClass::Queued, Recorded::Folded));
        self.0.folds.lock().add(event);
    }

    /// Counts what a known caller does all the time, one event a second for each kind, reason and caller: `make` makes it
    /// when it is the first of its second.
    pub fn count(
        &self,
        kind: &'static str,
        reason: Option<Arc<str>>,
        principal: &PrincipalRef,
        make: impl FnOnce() -> Event,
    ) {
        self.0.metrics.audit_events.add((EventClass::Queued, Recorded::Folded));
        self.0.folds.lock().count(kind, reason, principal, make);
    }

    /// Waits until everything queued before this call is committed.
    ///
    /// # Errors
    /// [`NotRecorded`] when the worker has stopped or the commit failed.
    pub async fn flush(&self) -> Result<(), NotRecorded> {
        let (ack, done) = oneshot::channel();
        self.0.first.send(Message::Flush(ack)).await.map_err(|_| NotRecorded)?;
        done.await.map_err(|_| NotRecorded)?
    }

    /// Events that wait in the queue.
    pub fn depth(&self) -> usize {
        self.0.later.max_capacity() - self.0.later.capacity()
    }
}

/// Signs heads as the log gentries.
struct Head {
    key: Arc<LogKey>,
    settings: Settings,
    signed_at_ns: Option<u64>,
    signed_size: Option<u64>,
}

impl Head {
    async fn sign(&mut self, store: &Store, frontier: Option<&Frontier>, clock: &dyn Clock, at_the_end: bool) {
        // The first head is signed as soon as there is something to sign.
        let due = self.signed_at_ns.is_none_or(|at| {
            clock.monotonic_ns().saturating_sub(at)
                >= u64::try_from(self.settings.checkpoint_every.as_nanos()).unwrap_or(u64::MAX)
        });
        let Some(frontier) = frontier else { return };
        if frontier.size() == 0 || Some(frontier.size()) == self.signed_size || !(due || at_the_end) {
            return;
        }
        // A failure is tried again when the next head is due.
        self.signed_at_ns = Some(clock.monotonic_ns());
        match checkpoint::sign(store, &self.settings.origin, &self.key, frontier, clock.now()).await {
            Ok(_) => self.signed_size = Some(frontier.size()),
            Err(error) => {
                tracing::error!(error = %crate::telemetry::chain(&error), "the head of the audit log was not signed")
            }
        }
    }
}

/// Writes the log. There is one a process; run it until it returns.
pub struct Worker {
    log: AuditLog,
    store: Store,
    first: mpsc::Receiver<Message>,
    later: mpsc::Receiver<Entry>,
    sequencer: Sequencer,
    head: Head,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("sequencer", &self.sequencer).finish_non_exhaustive()
    }
}

impl Worker {
    /// Runs until `stop` turns true (or its sender is gone), then writes what is queued, signs the head and returns.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { log, store, first, later, mut sequencer, mut head } = self;
        let clock = Arc::clone(&log.0.clock);
        let mut writer = Writer { log, store: store.clone(), first, later, held_back: Vec::new() };
        if store.is_shared() {
            let mover = async {
                let mut watch = Watch::new(store.clone());
                let mut stop = stop.clone();
                while !*stop.borrow() {
                    move_all(&mut sequencer, &*clock).await;
                    head.sign(&store, sequencer.frontier(), &*clock, false).await;
                    tokio::select! {
                        () = watch.wait(POLL) => {}
                        _ = stop.changed() => break,
                    }
                }
            };
            tokio::join!(mover, writer.run(None, None, stop.clone()));
            move_all(&mut sequencer, &*clock).await;
        } else {
            writer.run(Some(&mut sequencer), Some(&mut head), stop).await;
        }
        head.sign(&store, sequencer.frontier(), &*clock, true).await;
        sequencer.release().await;
    }
}

/// Moves the whole intake, as far as this process may.
async fn move_all(sequencer: &mut Sequencer, clock: &dyn Clock) {
    loop {
        let result = match sequencer.keep(clock).await {
            Ok(()) if sequencer.is_holder() => sequencer.move_intake().await,
            Ok(()) => return,
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(0) => sequencer.settle().await.map(|()| 0),
            other => other,
        };
        match result {
            Ok(0) | Err(StoreError::Fenced) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = %crate::telemetry::chain(&error),
                    "the intake was not moved to the audit log; trying again"
                );
                return;
            }
        }
    }
}

struct Writer {
    log: AuditLog,
    store: Store,
    first: mpsc::Receiver<Message>,
    later: mpsc::Receiver<Entry>,
    /// Queued events that a failed commit gave back, and what takes back events that came too late.
    held_back: Vec<Entry>,
}

impl Writer {
    /// The loop. With a sequencer (SQLite) events go straight to the log, else to the intake.
    async fn run(
        &mut self,
        mut sequencer: Option<&mut Sequencer>,
        mut head: Option<&mut Head>,
        mut stop: watch::Receiver<bool>,
    ) {
        let clock = Arc::clone(&self.log.0.clock);
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut since_fold_ns, mut since_move_ns) = (clock.monotonic_ns(), 0);
        let (mut messages, mut queued) = (Vec::new(), Vec::new());
        loop {
            let stopping = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => true,
                _ = self.first.recv_many(&mut messages, BATCH) => false,
                () = self.log.0.full.notified() => false,
                _ = tick.tick() => false,
            };
            let flush = messages.iter().any(|m| matches!(m, Message::Flush(_)));
            let most = if stopping || flush { usize::MAX } else { BATCH };
            while messages.len() < most
                && let Ok(message) = self.first.try_recv()
            {
                messages.push(message);
            }
            while queued.len() < most
                && let Ok(entry) = self.later.try_recv()
            {
                queued.push(entry);
            }
            let now_ns = clock.monotonic_ns();
            if stopping || flush || now_ns.saturating_sub(since_fold_ns) >= 1_000_000_000 {
                since_fold_ns = now_ns;
                let folded = self.log.0.folds.lock().take();
                folded.iter().for_each(|event| self.log.see(event));
                queued.extend(folded.iter().map(|event| Entry::new(event, &*self.log.0.rng)));
            }
            if let Some(sequencer) = sequencer.as_deref_mut() {
                if flush || stopping || now_ns.saturating_sub(since_move_ns) >= POLL.as_nanos() as u64 {
                    since_move_ns = now_ns;
                    move_all(sequencer, &*clock).await;
                } else if let Err(error) = sequencer.keep(&*clock).await {
                    tracing::warn!(error = %crate::telemetry::chain(&error), "the sequencer's lease was not renewed");
                }
            }
            self.write(sequencer.as_deref_mut(), &mut messages, &mut queued).await;
            if let (Some(head), Some(sequencer)) = (head.as_deref_mut(), sequencer.as_deref()) {
                head.sign(&self.store, sequencer.frontier(), &*clock, false).await;
            }
            if stopping {
                if !self.held_back.is_empty() {
                    self.write(sequencer.as_deref_mut(), &mut messages, &mut queued).await;
                }
                return;
            }
        }
    }

    /// One commit for everything at hand, then the answers.
    async fn write(&mut self, sequencer: Option<&mut Sequencer>, messages: &mut Vec<Message>, queued: &mut Vec<Entry>) {
        let rng = Arc::clone(&self.log.0.rng);
        let mut entries = std::mem::take(&mut self.held_back);
        let dropped = self.log.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let mut gap = Event::new(kind::AUDIT_GAP, Outcome::Failed, self.log.0.clock.now(), &*rng);
            gap.count = dropped;
            gap.reason = Some("queue_full".into());
            entries.push(Entry::new(&gap, &*rng));
        }
        entries.append(queued);
        let later = entries.len();
        let mut acks = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Record(event, ack) => {
                    // A caller that gave up has answered 503: its event would claim what did not happen.
                    if !ack.is_closed() {
                        entries.push(Entry::new(&event, &*rng));
                        acks.push((ack, Some(event)));
                    }
                }
                Message::Flush(ack) => acks.push((ack, None)),
            }
        }
        let result = if entries.is_empty() { Ok(()) } else { self.commit(sequencer, &entries).await };
        self.log.0.metrics.audit_queue.set((), u64::try_from(self.first.len() + self.later.len()).unwrap_or(0));
        let answer = match result {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(
                    error = %crate::telemetry::chain(&error),
                    events = entries.len(),
                    "the audit log did not take a batch"
                );
                entries.truncate(later);
                if entries.len() > HELD_BACK {
                    let over = u64::try_from(entries.len() - HELD_BACK).unwrap_or(u64::MAX);
                    self.log.0.dropped.fetch_add(over, Ordering::Relaxed);
                    entries.truncate(HELD_BACK);
                }
                self.held_back = entries;
                Err(NotRecorded)
            }
        };
        for (ack, event) in acks {
            if ack.send(answer).is_err()
                && let (Ok(()), Some(event)) = (answer, event)
            {
                // The caller gave up while this commit ran, and answered 503: the log must not claim more.
                let mut withheld = Event::new(kind::ANSWER_WITHHELD, Outcome::Failed, self.log.0.clock.now(), &*rng);
                withheld.principal = event.principal;
                withheld.request_id = event.request_id;
                withheld.action = event.action;
                withheld.resource = event.resource;
                withheld.reason = Some("recorded_too_late".into());
                let withheld = withheld.with("event", event.id).with("kind", event.kind);
                // Not by the queue, which may be full just then.
                self.held_back.push(Entry::new(&withheld, &*rng));
            }
        }
    }

    async fn commit(&self, sequencer: Option<&mut Sequencer>, entries: &[Entry]) -> Result<(), StoreError> {
        let (inner, began_ns) = (&self.log.0, self.log.0.clock.monotonic_ns());
        let result = self.commit_once(sequencer, entries).await;
        inner.metrics.audit_commit_seconds.record_ns((), inner.clock.monotonic_ns().saturating_sub(began_ns));
        #[expect(clippy::cast_precision_loss, reason = "a batch is at most some thousands")]
        inner.metrics.audit_batch.with(()).record(entries.len() as f64);
        result
    }

    async fn commit_once(&self, sequencer: Option<&mut Sequencer>, entries: &[Entry]) -> Result<(), StoreError> {
        if let Some(sequencer) = sequencer
            && sequencer.is_holder()
        {
            match sequencer.append(entries).await {
                Err(StoreError::Fenced) => {}
                other => return other,
            }
        }
        events::put_many(&self.store, entries).await
    }
}
