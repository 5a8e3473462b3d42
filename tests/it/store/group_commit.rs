//! Transactions on SQLite share commits: each is whole or absent, and none is acknowledged before its commit.

use std::sync::Arc;
use std::time::Duration;

use stockade::base::{SystemRng, Timestamp};
use stockade::model::{Event, Outcome, event::kind};
use stockade::store::{Conn, Handle as _, Store, StoreError, Tx, assertions, events};
use stockade::telemetry::Prometheus;

use crate::support::events::said;
use crate::support::stores::sqlite;

/// Records that `name` was here: one row in each of two tables.
async fn mark(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    let event = Event::new(kind::CLIENT_CHANGED, Outcome::Allowed, Timestamp::from_secs(1), &SystemRng);
    events::intake(tx, &event.with("name", name)).await?;
    assertions::claim(tx, "group", name, Timestamp::from_secs(60)).await.map(drop)
}

/// Makes the file larger.
async fn fill(tx: &mut Tx) -> Result<(), sqlx::Error> {
    match tx.conn() {
        Conn::Sqlite(conn) => {
            sqlx::query("insert into event_intake (entry) values (zeroblob(300))").execute(conn).await.map(drop)
        }
        Conn::Postgres(_) => unreachable!("SQLite"),
    }
}

/// Whose rows are committed, in the order of the intake.
async fn committed(store: &Store) -> Vec<String> {
    let waiting = events::waiting_after(&mut store.read().await.expect("read"), -1, 10_000).await.expect("the intake");
    let name = |entry| said(entry)["data"]["name"].as_str().expect("a name").to_owned();
    waiting.iter().map(|waiting| name(&waiting.entry)).collect()
}

/// Lets everyone who can go on go on, until nobody can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_hears_of_a_commit_before_the_last_of_its_group_has_ended() {
    let test = sqlite().await;
    let mut first = test.store.begin().await.expect("begin");
    mark(&mut first, "first").await.expect("written");
    // The second waits for its turn before the first gives its own back: they share a commit.
    let second = tokio::spawn({
        let store = test.store.clone();
        async move { store.begin().await }
    });
    settle().await;
    let first = tokio::spawn(first.commit());
    let mut second = second.await.expect("joined").expect("its turn");
    settle().await;
    assert!(!first.is_finished(), "acknowledged before the group was committed");
    assert_eq!(committed(&test.store).await, Vec::<String>::new());
    mark(&mut second, "second").await.expect("written");
    second.commit().await.expect("committed");
    first.await.expect("joined").expect("committed");
    assert_eq!(committed(&test.store).await, ["first", "second"]);
    assert_eq!(test.store.written(), Some((2, 1)), "two transactions, one commit");
}

#[tokio::test]
async fn one_that_fails_or_is_dropped_takes_only_its_own_work_with_it() {
    let test = sqlite().await;
    let holder = test.store.begin().await.expect("begin");
    let members = (0..9).map(|n| {
        let store = test.store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin().await.expect("its turn");
            mark(&mut tx, &format!("m{n}")).await.expect("written");
            match n % 3 {
                0 => tx.commit().await.expect("committed"),
                // Dropped in peace, and dropped while a statement runs.
                1 => drop(tx),
                _ => {
                    let half = mark(&mut tx, "half");
                    tokio::time::timeout(Duration::ZERO, half).await.ok();
                }
            }
        })
    });
    let members: Vec<_> = members.collect();
    settle().await;
    drop(holder);
    for member in members {
        member.await.expect("joined");
    }
    let mut names = committed(&test.store).await;
    names.sort();
    assert_eq!(names, ["m0", "m3", "m6"]);
    let (transactions, commits) = test.store.written().expect("SQLite");
    assert!(transactions == 3 && commits < 3, "{transactions} transactions, {commits} commits");
    let mut tx = test.store.begin().await.expect("begin");
    let claims = ["m1", "m2", "half"];
    for name in claims {
        let free = assertions::claim(&mut tx, "group", name, Timestamp::from_secs(60)).await.expect("claim");
        assert!(free, "`{name}` was rolled back, yet its row is there");
    }
}

#[tokio::test]
async fn who_gives_up_waiting_for_a_turn_holds_nobody_up() {
    let test = sqlite().await;
    let holder = test.store.begin().await.expect("begin");
    for _ in 0..5 {
        let waiting = tokio::spawn({
            let store = test.store.clone();
            async move { store.begin().await.map(drop) }
        });
        settle().await;
        waiting.abort();
    }
    holder.commit().await.expect("committed");
    let mut tx = test.store.begin().await.expect("a turn");
    mark(&mut tx, "later").await.expect("written");
    // Nobody waits for the answer: the work is still whole or absent.
    drop(tokio::spawn(tx.commit()));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while committed(&test.store).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "never committed");
        tokio::task::yield_now().await;
    }
    assert_eq!(committed(&test.store).await, ["later"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_share_a_commit_at_least_eight_at_a_time() {
    const ROUNDS: usize = 20;
    let test = sqlite().await;
    let (prometheus, metrics) = Prometheus::new();
    test.store.count_in(Arc::new(metrics));
    let writers = (0..64).map(|writer| {
        let store = test.store.clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut tx = store.begin().await.expect("its turn");
                mark(&mut tx, &format!("w{writer}-{round}")).await.expect("written");
                tx.commit().await.expect("committed");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("joined");
    }
    let (transactions, commits) = test.store.written().expect("SQLite");
    assert_eq!(committed(&test.store).await.len(), 64 * ROUNDS);
    assert_eq!(transactions, 64 * u64::try_from(ROUNDS).expect("small"));
    assert!(transactions >= 8 * commits, "{transactions} transactions took {commits} commits");
    let shown = prometheus.render();
    assert!(shown.contains(&format!("stockade_store_transactions_total {transactions}\n")), "{shown}");
    assert!(shown.contains(&format!("stockade_store_commits_total {commits}\n")), "{shown}");
}

/// `max_page_count` ends the file as a full disk does: SQLite gives the whole transaction up by itself.
#[tokio::test]
async fn a_full_disk_is_told_to_the_whole_group_and_the_next_one_starts_afresh() {
    let test = sqlite().await;
    let limit = |pages: u32| format!("pragma max_page_count = {pages}");
    let set = async |tx: &mut Tx, sql: String| match tx.conn() {
        Conn::Sqlite(conn) => sqlx::query(sqlx::AssertSqlSafe(sql)).execute(conn).await.map(drop).expect("the limit"),
        Conn::Postgres(_) => unreachable!("SQLite"),
    };
    let mut before = test.store.begin().await.expect("begin");
    mark(&mut before, "before").await.expect("written");
    before.commit().await.expect("committed");

    let mut first = test.store.begin().await.expect("begin");
    mark(&mut first, "first").await.expect("there is room for this");
    set(&mut first, limit(1)).await;
    let second = tokio::spawn({
        let store = test.store.clone();
        async move {
            let mut tx = store.begin().await.expect("its turn");
            let mut written = 0;
            while fill(&mut tx).await.is_ok() {
                written += 1;
                assert!(written < 10_000, "the file never fills");
            }
        }
    });
    settle().await;
    let first = first.commit().await;
    second.await.expect("joined");
    assert!(matches!(first, Err(StoreError::Transaction(_))), "{first:?}");
    assert_eq!(committed(&test.store).await, ["before"], "what was refused is not there");

    let mut after = test.store.begin().await.expect("a turn on a fresh connection");
    mark(&mut after, "after").await.expect("written");
    after.commit().await.expect("committed");
    assert_eq!(committed(&test.store).await, ["before", "after"]);
}

#[tokio::test]
async fn a_member_that_goes_on_after_the_disk_was_full_is_refused() {
    let test = sqlite().await;
    let mut tx = test.store.begin().await.expect("begin");
    match tx.conn() {
        Conn::Sqlite(conn) => drop(sqlx::query("pragma max_page_count = 1").execute(conn).await.expect("the limit")),
        Conn::Postgres(_) => unreachable!("SQLite"),
    }
    let mut written = 0;
    while mark(&mut tx, &format!("n{written}")).await.is_ok() {
        written += 1;
        assert!(written < 10_000, "the file never fills");
    }
    assert!(matches!(tx.commit().await, Err(StoreError::Transaction(_))));
    assert_eq!(committed(&test.store).await, Vec::<String>::new());
}

#[tokio::test]
async fn another_process_s_lock_is_waited_for_and_then_said() {
    let test = sqlite().await;
    let path = test.store.path().expect("a file").to_owned();
    let url = format!("sqlite:{}", path.display());
    let other = Store::open(&url).await.expect("a second process, as it were");
    let mut theirs = other.begin().await.expect("begin");
    mark(&mut theirs, "theirs").await.expect("written");
    let ours = tokio::spawn({
        let store = test.store.clone();
        async move {
            let mut tx = store.begin().await?;
            mark(&mut tx, "ours").await?;
            tx.commit().await
        }
    });
    settle().await;
    theirs.commit().await.expect("committed");
    ours.await.expect("joined").expect("the lock came free in time");
    assert_eq!(committed(&test.store).await, ["theirs", "ours"]);
}

#[tokio::test]
async fn after_close_nobody_gets_a_turn() {
    let test = sqlite().await;
    let tx = test.store.begin().await.expect("begin");
    let closing = tokio::spawn({
        let store = test.store.clone();
        async move { store.close().await }
    });
    settle().await;
    tx.commit().await.expect("what runs ends well");
    closing.await.expect("closed");
    assert!(matches!(test.store.begin().await, Err(StoreError::Connect(_))));
}

/// A deferred constraint would fail at the commit, and with it everyone in the group.
#[tokio::test]
async fn no_constraint_waits_for_the_commit() {
    let dir = format!("{}/src/store/migrations/sqlite", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(dir).expect("migrations") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("readable").to_lowercase();
        assert!(!text.contains("deferr"), "{}", path.display());
    }
}
