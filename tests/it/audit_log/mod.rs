//! The log on both databases: order, durability, integrity.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use stockade::audit_log::verify::VerifyError;
use stockade::audit_log::{AuditLog, Settings, export, verify};
use stockade::base::{Secret, SystemClock, SystemRng, Timestamp};
use stockade::crypto::log_key::LogKey;
use stockade::crypto::seal::Sealer;
use stockade::model::{Event, Outcome, PrincipalRef, event::kind};
use stockade::store::{Store, events, log};
use stockade::telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::stores::{sqlite, stores};

mod anchors;
mod erasure;
mod pressure;
mod proofs;
mod retention;
pub(crate) mod tamper;

const ORIGIN: &str = "localhost/audit";

pub(crate) fn key() -> LogKey {
    let sealer = Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("a sealer");
    LogKey::open(&sealer, &LogKey::generate(&sealer, &stockade::base::SeededRng::new(7)).expect("a key"))
        .expect("opens")
}

struct Running {
    log: AuditLog,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
}

impl Running {
    fn start(store: &Store, queue: usize) -> Self {
        Self::patient(store, queue, Duration::from_secs(30))
    }

    fn patient(store: &Store, queue: usize, patience: Duration) -> Self {
        let settings =
            Settings { origin: ORIGIN.to_owned(), queue, patience, checkpoint_every: Duration::from_secs(60) };
        let (log, worker) = AuditLog::new(
            store.clone(),
            key(),
            settings,
            Arc::new(Metrics::register()),
            Arc::new(SystemClock),
            Arc::new(SystemRng),
        );
        let (stop, stopped) = watch::channel(false);
        Self { log, stop, worker: tokio::spawn(worker.run(stopped)) }
    }

    async fn stop(self) {
        self.stop.send(true).expect("the worker listens");
        self.worker.await.expect("the worker ends");
    }
}

fn event(n: usize) -> Event {
    let mut event = Event::new(kind::DECISION, Outcome::Allowed, Timestamp::from_secs(1_800_000_000), &SystemRng);
    event.principal = Some(PrincipalRef::new("Client", format!("c{n}")));
    event.with("n", n)
}

/// Waits until the log holds `size` entries.
async fn until_size(store: &Store, size: i64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let now = log::last_seq(&mut store.read_log().await.expect("read")).await.expect("the last") + 1;
        if now >= size {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "the log stands at {now}, not {size}");
        tokio::task::yield_now().await;
    }
}

async fn exported(store: &Store) -> String {
    let mut out = Vec::new();
    export::export(store, ORIGIN, &key(), &SystemClock, &mut out).await.expect("export");
    String::from_utf8(out).expect("UTF-8")
}

#[tokio::test]
async fn what_is_recorded_is_in_the_log_and_the_log_verifies() {
    for test in stores().await {
        let running = Running::start(&test.store, 1024);
        let records = (0..300).map(|n| {
            let log = running.log.clone();
            tokio::spawn(async move { log.record(event(n)).await })
        });
        for record in records.collect::<Vec<_>>() {
            record.await.expect("joined").expect("recorded");
        }
        running.log.queue(event(300));
        running.log.flush().await.expect("flushed");
        running.stop().await;
        let report = verify::store(&test.store, &key().public()).await.expect("it verifies");
        assert_eq!((report.entries, report.waiting), (301, 0), "{}", test.name);
        let text = exported(&test.store).await;
        let offline = verify::export(Cursor::new(&text), Some(&key().public())).expect("the export verifies");
        assert_eq!(offline.entries, 301);
        assert_eq!(
            offline.head,
            report.head.map(|head| stockade::audit_log::checkpoint::Checkpoint { size: 301, ..head })
        );
    }
}

/// Small appends leave the state row behind, large ones write it down: whoever comes next goes on from the truth.
#[tokio::test]
async fn a_restart_goes_on_after_small_and_large_appends_alike() {
    for test in stores().await {
        let mut size = 0;
        for batch in [1, 250, 3, 2500, 7] {
            let running = Running::start(&test.store, 4096);
            for n in 0..batch {
                running.log.queue(event(n));
            }
            running.log.flush().await.expect("flushed");
            running.log.record(event(0)).await.expect("recorded");
            size += u64::try_from(batch).expect("small") + 1;
            running.stop().await;
            let report = verify::store(&test.store, &key().public()).await.expect("verifies");
            assert_eq!((report.entries, report.waiting), (size, 0), "{} after {batch}", test.name);
        }
    }
}

#[tokio::test]
async fn an_intake_row_gets_a_number_by_itself() {
    for test in stores().await {
        let running = Running::start(&test.store, 16);
        let mut tx = test.store.begin().await.expect("begin");
        events::intake(&mut tx, &event(1)).await.expect("intake");
        tx.commit().await.expect("commit");
        until_size(&test.store, 1).await;
        running.stop().await;
        let mut reader = test.store.read().await.expect("read");
        assert!(events::waiting_after(&mut reader, -1, 10).await.expect("intake").is_empty(), "{}", test.name);
    }
}

#[tokio::test]
async fn an_export_without_a_server_still_holds_what_waits_in_the_intake() {
    for test in stores().await {
        let mut tx = test.store.begin().await.expect("begin");
        events::intake(&mut tx, &event(1)).await.expect("intake");
        tx.commit().await.expect("commit");
        let text = exported(&test.store).await;
        assert!(text.starts_with(r#"{"type":"waiting""#), "{}: {text}", test.name);
        assert_eq!(verify::export(Cursor::new(&text), None).expect("verifies").waiting, 1);
    }
}

#[tokio::test]
async fn what_a_full_queue_drops_is_one_event_that_says_how_many() {
    let test = sqlite().await;
    // No worker runs yet: the queue takes four and drops the rest.
    let settings = Settings {
        origin: ORIGIN.to_owned(),
        queue: 4,
        patience: Duration::from_secs(30),
        checkpoint_every: Duration::from_secs(60),
    };
    let (log, worker) = AuditLog::new(
        test.store.clone(),
        key(),
        settings,
        Arc::new(Metrics::register()),
        Arc::new(SystemClock),
        Arc::new(SystemRng),
    );
    for n in 0..10 {
        log.queue(event(n));
    }
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(worker.run(stopped));
    log.flush().await.expect("flushed");
    stop.send(true).expect("listens");
    worker.await.expect("ends");
    let text = exported(&test.store).await;
    let gap = text.lines().find(|line| line.contains(kind::AUDIT_GAP)).expect("a gap event");
    assert!(gap.contains(r#""count":6"#), "{gap}");
    assert_eq!(text.lines().filter(|line| line.contains(r#""kind":"decision""#)).count(), 4);
}

#[tokio::test]
async fn an_edited_reordered_dropped_or_truncated_export_is_refused_by_name() {
    let test = sqlite().await;
    let running = Running::start(&test.store, 64);
    for n in 0..5 {
        running.log.record(event(n)).await.expect("recorded");
    }
    running.stop().await;
    let text = exported(&test.store).await;
    let lines: Vec<&str> = text.lines().collect();
    let check = |lines: Vec<&str>| verify::export(Cursor::new(lines.join("\n")), Some(&key().public()));
    check(lines.clone()).expect("untouched, it verifies");

    let edited = lines[2].replace(r#""n":2"#, r#""n":9"#);
    assert_ne!(edited, lines[2]);
    let mut changed = lines.clone();
    changed[2] = &edited;
    assert!(matches!(check(changed), Err(VerifyError::Leaf(2))));

    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert!(matches!(check(swapped), Err(VerifyError::Gap { expected: 1, found: 2 })));

    let mut dropped = lines.clone();
    dropped.remove(3);
    assert!(matches!(check(dropped), Err(VerifyError::Gap { expected: 3, found: 4 })));

    let mut tail = lines.clone();
    tail.remove(4);
    assert!(matches!(check(tail), Err(VerifyError::Root { entries: 4, size: 5 })));

    assert!(matches!(check(lines[..5].to_vec()), Err(VerifyError::NoHead)));
    assert!(matches!(check(vec!["{\"type\":\"other\"}"]), Err(VerifyError::Line { line: 1, .. })));
    let other = verify::export(Cursor::new(&text), Some(&[9; 32]));
    assert!(matches!(other, Err(VerifyError::Note(_))), "another key");
}

#[tokio::test]
async fn two_processes_share_one_log_without_a_gap() {
    for test in stores().await {
        let (one, two) = (Running::start(&test.store, 256), Running::start(&test.store, 256));
        for n in 0..60 {
            let log = if n % 2 == 0 { &one.log } else { &two.log };
            log.record(event(n)).await.expect("recorded");
        }
        one.stop().await;
        // The second takes over and moves what is left.
        two.log.record(event(60)).await.expect("recorded");
        until_size(&test.store, 61).await;
        two.stop().await;
        let report = verify::store(&test.store, &key().public()).await.expect("verifies");
        assert_eq!((report.entries, report.waiting), (61, 0), "{}", test.name);
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_one_event_with_a_count() {
    let test = sqlite().await;
    let running = Running::start(&test.store, 16);
    for _ in 0..10_000 {
        let mut refused = Event::new(kind::UNAUTHENTICATED, Outcome::Denied, Timestamp::from_secs(1), &SystemRng);
        refused.reason = Some("invalid_token".into());
        refused.address = Some("192.0.2.7".parse().expect("an address"));
        running.log.fold(refused);
    }
    running.log.flush().await.expect("flushed");
    running.stop().await;
    let text = exported(&test.store).await;
    let counts: u64 = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["rest"]["count"].as_u64())
        .sum();
    assert_eq!(counts, 10_000);
    assert!(text.lines().count() <= 4, "{text}");
}

/// Who gave up and answered 503 is not in the log as having succeeded: the event is absent, or another takes it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_recorded_too_late_is_taken_back() {
    for test in stores().await {
        let running = Running::patient(&test.store, 4096, Duration::from_millis(1));
        let records = (0..400).map(|n| {
            let (log, event) = (running.log.clone(), event(n));
            tokio::spawn(async move { (event.id.clone(), log.record(event).await.is_ok()) })
        });
        let mut answers = Vec::new();
        for record in records.collect::<Vec<_>>() {
            answers.push(record.await.expect("joined"));
        }
        running.log.flush().await.expect("flushed");
        running.stop().await;
        let text = exported(&test.store).await;
        for (id, recorded) in answers {
            let present = text.contains(&format!(r#""id":"{id}""#));
            let withheld = text.contains(&format!(r#""event":"{id}""#));
            assert_eq!((present, withheld), (recorded || withheld, present && !recorded), "{}: {id}", test.name);
        }
    }
}
