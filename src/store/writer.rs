//! SQLite's one writing connection, shared: transactions queue for it, run one after another as savepoints of one commit,
//! and hear of it when that commit is on the disk. A commit costs a wait for the disk; under load many share one.
//!
//! One task owns the connection and lends it, one [`Turn`] at a time. Whoever gives its turn back uncommitted is rolled
//! back alone. The group is committed when nobody waits, or when it has [`MOST`] members; until then none of them has
//! been answered. The events that its members recorded are written by the commit, all at once. When the commit fails, or SQLite gave the whole transaction up by itself (a full disk, a broken file),
//! every member is told so, and the next group starts on a fresh connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use super::entry::Entry;
use super::{ACQUIRE_TIMEOUT, StoreError, events};
use crate::telemetry::Metrics;

/// How many transactions share one commit.
const MOST: usize = 64;
/// A group with this many events takes no more members.
const MANY_EVENTS: usize = 4096;
/// How many events one statement writes.
const ROWS: usize = 512;
/// How many may wait for their turn.
const QUEUE: usize = 1024;
/// How often the writer lets others run before it takes it that nobody waits: who was answered a moment ago, and who
/// is about to ask, come into this commit.
const YIELDS: usize = 3;

// Each is one trip to the connection's thread, which costs more than what it does there.
const BEGIN: &str = "begin immediate; savepoint turn";
const KEEP: &str = "release turn; savepoint turn";
const UNDO: &str = "rollback to turn";
const KEEP_LAST: &str = "release turn";
const UNDO_LAST: &str = "rollback to turn; release turn";
const ROLL_BACK: &str = "rollback";

/// Whether the work of a turn is durable.
type Ack = oneshot::Sender<Result<(), Arc<sqlx::Error>>>;

/// A turn that is to be committed.
#[derive(Debug)]
struct Kept {
    ack: Ack,
    events: Vec<Entry>,
}

/// Turns that are committed together.
#[derive(Default)]
struct Members {
    acks: Vec<Ack>,
    events: Vec<Entry>,
}

impl Members {
    fn join(&mut self, Kept { ack, events }: Kept) {
        self.acks.push(ack);
        self.events.extend(events);
    }

    fn is_full(&self) -> bool {
        self.acks.len() >= MOST || self.events.len() >= MANY_EVENTS
    }

    fn hear(self, outcome: &Result<(), Arc<sqlx::Error>>) {
        for ack in self.acks {
            ack.send(outcome.clone()).ok();
        }
    }
}

/// Somebody waits for a turn.
struct Wanted {
    /// Told when it is first in the line.
    called: oneshot::Sender<()>,
    turn: oneshot::Sender<Result<Turn, sqlx::Error>>,
}

enum Message {
    Wanted(Wanted),
    Close(oneshot::Sender<()>),
}

/// How many transactions there were, and how many commits they took.
#[derive(Debug, Default)]
struct Counts {
    transactions: AtomicU64,
    commits: AtomicU64,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Counts {
    /// One commit of so many transactions.
    fn add(&self, transactions: u64) {
        let transactions = self.transactions.fetch_add(transactions, Ordering::Relaxed) + transactions;
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(metrics) = self.metrics.get() {
            metrics.store_transactions.with(()).absolute(transactions);
            metrics.store_commits.with(()).absolute(commits);
        }
    }
}

/// The line in front of the connection. Clones share it; when the last is gone the connection is closed.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    line: mpsc::Sender<Message>,
    counts: Arc<Counts>,
}

/// The connection, lent for one transaction. Dropped without [`Turn::commit`] it leaves no trace.
#[derive(Debug)]
pub struct Turn {
    // The order matters: the connection is free before the writer hears that the turn is over.
    conn: OwnedMutexGuard<SqliteConnection>,
    end: oneshot::Sender<Kept>,
    events: Vec<Entry>,
}

impl Turn {
    /// What statements run on.
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    /// Writes these events to the intake, in the commit.
    pub(super) fn record(&mut self, events: Vec<Entry>) {
        self.events.extend(events);
    }

    /// Waits for the commit that holds this transaction.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let Self { conn, end, events } = self;
        drop(conn);
        let (ack, done) = oneshot::channel();
        // A writer that is gone drops what it is sent, and the answer is that nobody answers.
        end.send(Kept { ack, events }).ok();
        done.await.unwrap_or_else(|_| Err(Arc::new(sqlx::Error::PoolClosed))).map_err(StoreError::Transaction)
    }
}

impl Writer {
    /// Connects, and starts the task that lends the connection.
    pub(super) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let conn = options.connect().await?;
        let (line, wanted) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let desk = Desk {
            options,
            conn: Arc::new(Mutex::new(conn)),
            wanted,
            counts: Arc::clone(&counts),
            fresh: true,
            closing: None,
        };
        tokio::spawn(desk.run());
        Ok(Self { line, counts })
    }

    /// The next turn.
    pub(super) async fn begin(&self) -> Result<Turn, sqlx::Error> {
        let (called, is_called) = oneshot::channel();
        let (turn, is_mine) = oneshot::channel();
        let waiting = async {
            self.line.send(Message::Wanted(Wanted { called, turn })).await.ok()?;
            is_called.await.ok()
        };
        match tokio::time::timeout(ACQUIRE_TIMEOUT, waiting).await {
            Err(_) => Err(sqlx::Error::PoolTimedOut),
            Ok(None) => Err(sqlx::Error::PoolClosed),
            // Another process may hold the file's lock: the busy timeout bounds this wait.
            Ok(Some(())) => is_mine.await.unwrap_or(Err(sqlx::Error::PoolClosed)),
        }
    }

    /// Transactions and commits since the start.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.transactions.load(Ordering::Relaxed), self.counts.commits.load(Ordering::Relaxed))
    }

    /// From now on `metrics` shows them.
    pub(super) fn count_in(&self, metrics: Arc<Metrics>) {
        // The first stays: there is one catalogue a process.
        self.counts.metrics.set(metrics).ok();
    }

    /// Closes the connection after the group that is running; whoever comes later is refused.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.line.send(Message::Close(done)).await.is_ok() {
            closed.await.ok();
        }
    }
}

/// The task that owns the connection.
struct Desk {
    options: SqliteConnectOptions,
    conn: Arc<Mutex<SqliteConnection>>,
    wanted: mpsc::Receiver<Message>,
    counts: Arc<Counts>,
    /// Whether the connection is known to be in order.
    fresh: bool,
    closing: Option<oneshot::Sender<()>>,
}

impl Desk {
    async fn run(mut self) {
        while self.closing.is_none() {
            match self.wanted.recv().await {
                Some(Message::Wanted(first)) => self.group(first).await,
                Some(Message::Close(done)) => self.closing = Some(done),
                None => break,
            }
        }
        self.wanted.close();
        // Nobody holds a turn any more, so this is the last hand on the connection.
        if let Some(conn) = Arc::into_inner(self.conn) {
            conn.into_inner().close().await.ok();
        }
        if let Some(done) = self.closing {
            done.send(()).ok();
        }
    }

    /// One commit: the first who waits, and all who come while it runs.
    async fn group(&mut self, first: Wanted) {
        let Wanted { called, turn } = first;
        if turn.is_closed() {
            return;
        }
        called.send(()).ok();
        if let Err(error) = self.start().await {
            turn.send(Err(error)).ok();
            return;
        }
        let (mut members, mut turn) = (Members::default(), turn);
        loop {
            let joined = self.lend(turn).await;
            let keeps = joined.is_some();
            joined.into_iter().for_each(|kept| members.join(kept));
            let next = if members.is_full() { None } else { self.another(!members.acks.is_empty()).await };
            let Some(next) = next else { return self.commit(members, keeps).await };
            // That the savepoint is still there proves that SQLite did not give up the transaction around it.
            if let Err(error) = self.control(if keeps { KEEP } else { UNDO }).await {
                next.send(Err(sqlx::Error::Protocol(error.to_string()))).ok();
                return self.lost(members, &Arc::new(error)).await;
            }
            turn = next;
        }
    }

    /// Ends the group; `keeps` says whether its last turn joined it.
    async fn commit(&mut self, members: Members, keeps: bool) {
        let done = match members.acks.is_empty() {
            true => self.control(ROLL_BACK).await,
            false => self.write(if keeps { KEEP_LAST } else { UNDO_LAST }, &members.events).await,
        };
        match done {
            Ok(()) => {
                if !members.acks.is_empty() {
                    self.counts.add(u64::try_from(members.acks.len()).unwrap_or(u64::MAX));
                }
                members.hear(&Ok(()));
            }
            Err(error) => self.lost(members, &Arc::new(error)).await,
        }
    }

    /// The end of the last turn, the events of all, the commit: one trip.
    async fn write(&self, last: &str, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let mut text = last.to_owned();
        for rows in entries.chunks(ROWS) {
            text.push_str("; ");
            text.push_str(events::ROWS);
            text.extend(rows.iter().skip(1).map(|_| ", (?)"));
        }
        text.push_str("; commit");
        // No two are alike: there is no use in keeping it prepared.
        let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
        let query = entries.iter().fold(query, |query, entry| query.bind(entry.bytes().to_vec()));
        query.execute(&mut *self.conn.lock().await).await.map(drop)
    }

    /// Begins on a connection that is in order.
    async fn start(&mut self) -> Result<(), sqlx::Error> {
        if !self.fresh {
            *self.conn.lock().await = self.options.connect().await?;
            self.fresh = true;
        }
        let begun = self.control(BEGIN).await;
        self.fresh = begun.is_ok();
        begun
    }

    /// Lends the connection for one turn, inside the savepoint; who is to hear of the commit, or `None` when the turn's work
    /// is to be undone.
    async fn lend(&self, turn: oneshot::Sender<Result<Turn, sqlx::Error>>) -> Option<Kept> {
        let (end, ended) = oneshot::channel();
        let conn = Arc::clone(&self.conn).lock_owned().await;
        // Whoever gave up meanwhile drops the turn, and that ends it.
        turn.send(Ok(Turn { conn, end, events: Vec::new() })).ok();
        ended.await.ok()
    }

    /// Who else waits; `None` when nobody does, after others had the chance (when there is something to commit).
    async fn another(&mut self, patient: bool) -> Option<oneshot::Sender<Result<Turn, sqlx::Error>>> {
        let mut yields = if patient { YIELDS } else { 0 };
        while self.closing.is_none() {
            match self.wanted.try_recv() {
                Ok(Message::Wanted(Wanted { called, turn })) if !turn.is_closed() => {
                    called.send(()).ok();
                    return Some(turn);
                }
                Ok(Message::Wanted(_)) => {}
                Ok(Message::Close(done)) => self.closing = Some(done),
                Err(_) if yields > 0 => {
                    yields -= 1;
                    tokio::task::yield_now().await;
                }
                Err(_) => return None,
            }
        }
        None
    }

    /// Tells every member that its work is gone, or that nobody can tell, and leaves the connection behind.
    async fn lost(&mut self, members: Members, error: &Arc<sqlx::Error>) {
        // What is left of the transaction would keep the file locked.
        self.control(ROLL_BACK).await.ok();
        self.fresh = false;
        members.hear(&Err(Arc::clone(error)));
    }

    async fn control(&self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.conn.lock().await.execute(statement).await.map(drop)
    }
}
