//! A disk that hangs, and one that fills up: what each class of events promises then.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use stockade::audit_log::disk::Pressure;
use stockade::store::{Store, StoreError, events};

use super::tamper::verified;
use super::{Running, event, exported};
use crate::support::stores::{sqlite, stores};

/// Somebody else holds the log's file, as a disk that hangs does.
async fn hang(store: &Store) -> sqlx::SqliteConnection {
    let file = store.path().expect("a file").with_file_name("audit.db");
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.expect("connects");
    conn.execute("begin exclusive").await.expect("holds it");
    conn
}

/// How many events of an export are decisions, and how many it says were dropped.
fn told(export: &str) -> (usize, u64) {
    let lines = export.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.fold((0, 0), |(decisions, dropped), line| match line["rest"]["kind"].as_str() {
        Some("decision") => (decisions + 1, dropped),
        Some("audit.gap") => (decisions, dropped + line["rest"]["count"].as_u64().unwrap_or(1)),
        _ => (decisions, dropped),
    })
}

/// Records until it is recorded: after a disk that hung.
async fn recovered(running: &Running) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while running.log.record(event(9999)).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it never recovers");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_hangs_nothing_is_acknowledged_and_what_is_dropped_is_counted() {
    let test = sqlite().await;
    let running = Running::patient(&test.store, 16, Duration::from_millis(50));
    recovered(&running).await;
    let conn = hang(&test.store).await;
    // Class B: the answer is withheld.
    let refused = event(1);
    let id = refused.id.clone();
    running.log.record(refused).await.expect_err("nothing can be recorded");
    // Class C: as many as there is room for wait, the others are counted.
    for n in 0..2000 {
        running.log.queue(event(n));
    }
    // Class A has the other file: it is durable, and gets its number later.
    let mut tx = test.store.begin().await.expect("begin");
    events::intake(&mut tx, &event(2)).await.expect("intake");
    tx.commit().await.expect("durable");

    conn.close().await.expect("lets go");
    recovered(&running).await;
    running.log.flush().await.expect("flushed");
    running.stop().await;
    let text = exported(&test.store).await;
    let present = text.contains(&format!(r#""id":"{id}""#));
    assert_eq!(present, text.contains(&format!(r#""event":"{id}""#)), "what was withheld is not claimed");
    let (decisions, dropped) = told(&text);
    let acknowledged = text.matches(r#""n":9999"#).count();
    let others = decisions - acknowledged - usize::from(present);
    assert_eq!(
        others + usize::try_from(dropped).expect("small"),
        2001,
        "queued and the one of class A: {decisions}, {dropped}"
    );
    assert!(dropped > 0);
    verified(&test.store).await.expect("it verifies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_main_file_hangs_a_change_and_its_event_are_refused_together() {
    let test = sqlite().await;
    let file = test.store.path().expect("a file").to_owned();
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.expect("connects");
    conn.execute("begin exclusive").await.expect("holds it");
    let refused = test.store.begin().await;
    assert!(matches!(refused, Err(StoreError::Connect(_))), "{refused:?}");
    conn.close().await.expect("lets go");
    let mut tx = test.store.begin().await.expect("begin");
    events::intake(&mut tx, &event(2)).await.expect("intake");
    tx.commit().await.expect("durable");
    assert_eq!(told(&exported(&test.store).await), (1, 0));
}

#[tokio::test]
async fn above_a_mark_queued_events_are_counted_and_above_the_next_nothing_is_written() {
    for test in stores().await {
        let running = Running::start(&test.store, 4096);
        running.log.press(Pressure::Warn);
        running.log.queue(event(0));
        running.log.record(event(1)).await.expect("a warning costs nothing");
        running.log.press(Pressure::Shed);
        for n in 0..70 {
            running.log.queue(event(n));
        }
        running.log.record(event(2)).await.expect("what must be recorded is");
        running.log.press(Pressure::Stop);
        test.store.set_full(true);
        running.log.record(event(3)).await.expect_err("no room");
        running.log.queue(event(4));
        if test.store.is_shared() {
            test.store.begin().await.expect("a server's disk is its own matter");
        } else {
            assert!(matches!(test.store.begin().await, Err(StoreError::Full)));
        }
        running.log.press(Pressure::None);
        test.store.set_full(false);
        running.log.record(event(5)).await.expect("there is room again");
        running.log.flush().await.expect("flushed");
        running.stop().await;
        assert_eq!(told(&exported(&test.store).await), (4, 71), "{}", test.name);
    }
}
