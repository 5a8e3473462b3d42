//! Appending to the audit log, acknowledged after the commit, against bare inserts of the same bytes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, SqliteConnection};
use stockade::audit_log::{AuditLog, Settings};
use stockade::base::{Clock as _, Secret, SystemClock, SystemRng};
use stockade::crypto::log_key::LogKey;
use stockade::crypto::seal::Sealer;
use stockade::model::event::kind;
use stockade::model::{Event, Outcome, PrincipalRef};
use stockade::store::Store;
use stockade::store::entry::Entry;

use crate::report::{Bound, Report};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(1500);

/// What a log needs at least: a number and the bytes.
const TABLE: &str = "create table events (seq integer primary key, entry blob not null) strict";

/// An event as the token endpoint records one.
fn event() -> Event {
    let mut event = Event::new(kind::TOKEN_ISSUED, Outcome::Allowed, SystemClock.now(), &SystemRng);
    event.principal = Some(PrincipalRef::new("Client", "demo"));
    event.address = "192.0.2.7".parse().ok();
    event.action = Some("token:issue".into());
    event.resource = Some("http://localhost:8080/demo".into());
    event.policies = ["tokens.issue.client", "tokens.scope.registered"].map(Into::into).to_vec();
    event.snapshot = Some("sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b".into());
    event.request_id = Some("req_01jdt6p7x8w3m2b5v9c4q1z0ka".into());
    event.latency_us = Some(180);
    event.with("jti", "tok_01jdt6p7x8w3m2b5v9c4q1z0kb").with("scope", "notes:read notes:write")
}

/// Adds the lines of the audit log.
pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut best = [0.0_f64; 4];
        for _ in 0..ROUNDS {
            for (case, best) in best.iter_mut().enumerate() {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
                let rate = match case {
                    0 => bare(dir.path(), 1).await,
                    1 => appenders(dir.path(), 1).await,
                    2 => bare(dir.path(), 1000).await,
                    _ => appenders(dir.path(), 256).await,
                };
                *best = best.max(rate);
            }
        }
        let name = "audit append, SQLite FULL: 1 appender against a bare one-row commit";
        report.line(name, "rows/s", best[1], best[0], Bound::AtLeast(0.8));
        let name = "audit append, SQLite FULL: 256 appenders against a bare 1,000-row insert";
        report.line(name, "rows/s", best[3], best[2], Bound::AtLeast(0.3));
    });
}

async fn bare(dir: &Path, rows: usize) -> f64 {
    let options = SqliteConnectOptions::new().filename(dir.join("bare.db")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut conn = options.connect().await.expect("a database");
    sqlx::query(TABLE).execute(&mut conn).await.expect("a table");
    let event = event();
    let (mut seq, begun) = (0, Instant::now());
    while begun.elapsed() < TIME {
        insert(&mut conn, &event, seq, rows).await;
        seq += rows as i64;
    }
    let rate = seq as f64 / begun.elapsed().as_secs_f64();
    conn.close().await.expect("closed");
    rate
}

async fn insert(conn: &mut SqliteConnection, event: &Event, first: i64, rows: usize) {
    let mut tx = conn.begin().await.expect("a transaction");
    // The statement of 100 rows is the fastest there is: longer ones cost more to prepare than they save.
    for chunk in (first..first + rows as i64).collect::<Vec<_>>().chunks(100) {
        let rows: Vec<(i64, Entry)> = chunk.iter().map(|seq| (*seq, Entry::new(event, &SystemRng))).collect();
        let mut insert = QueryBuilder::new("insert into events ");
        insert.push_values(&rows, |mut values, (seq, entry)| {
            values.push_bind(*seq).push_bind(entry.bytes());
        });
        insert.build().execute(&mut *tx).await.expect("inserted");
    }
    tx.commit().await.expect("committed");
}

async fn appenders(dir: &Path, count: usize) -> f64 {
    let store = Store::open(&format!("sqlite:{}", dir.join("stockade.db").display())).await.expect("a store");
    store.migrate().await.expect("migrated");
    let sealer = Sealer::new(&[Secret::new("a key of the benchmark, long enough".to_owned())]).expect("a sealer");
    let sealed = LogKey::generate(&sealer, &SystemRng).expect("a key");
    let key = LogKey::open(&sealer, &sealed).expect("a key");
    let settings = Settings {
        origin: "bench".to_owned(),
        queue: 65_536,
        patience: Duration::from_secs(10),
        checkpoint_every: Duration::from_secs(1),
    };
    let (log, worker) = AuditLog::new(
        store.clone(),
        key,
        settings,
        Arc::new(stockade::telemetry::Metrics::register()),
        Arc::new(SystemClock),
        Arc::new(SystemRng),
    );
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn(worker.run(stopped));
    log.record(event()).await.expect("the first event, which takes the lease");

    let done = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (log, done, event) = (log.clone(), Arc::clone(&done), event());
            tokio::spawn(async move {
                while begun.elapsed() < TIME {
                    log.record(event.clone()).await.expect("recorded");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("an appender");
    }
    let rate = done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.send(true).expect("the worker listens");
    worker.await.expect("the worker ends");
    store.close().await;
    rate
}
