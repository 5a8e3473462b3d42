//! Whoever can write to the database edits the log: verification names what was done, and an export is not signed.

use std::io::Cursor;
use std::time::Duration;

use stockade::audit_log::heads::HeadsError;
use stockade::audit_log::leaf::{self, Half};
use stockade::audit_log::merkle::Frontier;
use stockade::audit_log::verify::VerifyError;
use stockade::audit_log::{checkpoint, export, verify};
use stockade::base::{Clock as _, SystemClock};
use stockade::store::{Conn, Handle as _, Store, events, heads, log};

use super::{ORIGIN, Running, event, key};
use crate::support::stores::stores;

/// A log with `count` more entries and a signed head over all of them.
pub(super) async fn recorded(store: &Store, count: usize) {
    let running = Running::start(store, 64);
    for n in 0..count {
        running.log.record(event(n)).await.expect("recorded");
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !events::waiting_after(&mut store.read().await.expect("read"), -1, 1).await.expect("waiting").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the intake is never moved");
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

/// Runs a statement on the log's database, as its owner could from outside; how many rows it changed.
pub(crate) async fn tamper(store: &Store, statement: &str) -> u64 {
    let mut tx = store.begin_log().await.expect("begin");
    let query = sqlx::AssertSqlSafe(statement.to_owned());
    let changed = match tx.conn() {
        Conn::Sqlite(conn) => sqlx::query(query).execute(conn).await.map(|done| done.rows_affected()),
        Conn::Postgres(conn) => sqlx::query(query).execute(conn).await.map(|done| done.rows_affected()),
    };
    let changed = changed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    tx.commit().await.expect("committed");
    changed
}

pub(super) async fn verified(store: &Store) -> Result<verify::Report, VerifyError> {
    verify::store(store, &key().public()).await
}

/// An export of what does not hold ends without a head, and does not verify anywhere.
pub(super) async fn no_export(store: &Store) {
    let mut out = Vec::new();
    export::export(store, ORIGIN, &key(), &SystemClock, &mut out).await.expect_err("nothing is signed over it");
    let offline = verify::export(Cursor::new(&out), Some(&key().public()));
    assert!(offline.is_err(), "{offline:?}");
}

#[tokio::test]
async fn an_edited_missing_or_cut_entry_is_named() {
    for (statement, want) in [
        ("update events set rest = personal where seq = 3", "entry 3 was changed"),
        ("update events set personal_salt = rest_salt where seq = 0", "entry 0 was changed"),
        ("delete from events where seq = 4", "do not give the root"),
        ("delete from events where seq = 2", "entry 2 is missing"),
        ("update log_state set size = 4 where id = 1", "the frontier does not fit the size"),
    ] {
        for test in stores().await {
            recorded(&test.store, 5).await;
            verified(&test.store).await.expect("untouched, it verifies");
            assert_eq!(tamper(&test.store, statement).await, 1);
            let error = verified(&test.store).await.expect_err(statement).to_string();
            assert!(error.contains(want), "{}: {statement}: {error}", test.name);
            no_export(&test.store).await;
        }
    }
}

#[tokio::test]
async fn a_searchable_copy_that_was_edited_beside_intact_bytes_is_named() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        for (column, value) in [
            ("principal", "'Client::\"nobody\"'"),
            ("principal", "null"),
            ("outcome", "'denied'"),
            ("time", "0"),
            ("event_id", "'evt_other'"),
            ("kind", "'audit.read'"),
            ("action", "'notes:read'"),
            ("resource", "'Route::\"GET /x\"'"),
            ("request_id", "'req_other'"),
        ] {
            tamper(&test.store, "create table before as select * from events where seq = 1").await;
            tamper(&test.store, &format!("update events set {column} = {value} where seq = 1")).await;
            let error = verified(&test.store).await.expect_err(column);
            assert!(
                matches!(&error, VerifyError::Copy { seq: 1, column: named } if *named == column),
                "{}: {column} = {value}: {error}",
                test.name
            );
            no_export(&test.store).await;
            tamper(&test.store, &format!("update events set {column} = (select {column} from before) where seq = 1"))
                .await;
            tamper(&test.store, "drop table before").await;
            verified(&test.store).await.expect("put back, it verifies");
        }
    }
}

#[tokio::test]
async fn heads_that_were_deleted_are_missed_and_nothing_is_signed_on_top() {
    let all = "delete from checkpoints";
    let newest = "delete from checkpoints where size = (select max(size) from checkpoints)";
    let lower = "update log_state set signed_size = (select min(size) from checkpoints)";
    for (statements, want) in [
        (&[all][..], "a head over 6 entries was signed and is gone; the newest that is left covers 0"),
        (&[newest], "a head over 6 entries was signed and is gone"),
        (&[newest, lower], "does not bear the log's signature"),
        (&[all, "EMPTY"], "the record of what was signed is gone"),
        (&["EMPTY"], "the record of what was signed is gone"),
        (&["update checkpoints set note = 'x' where size = 6"], "the signed head over 6 entries does not hold"),
        (&["update checkpoints set size = 5 where size = 6"], "a head over 6 entries was signed and is gone"),
    ] {
        for test in stores().await {
            recorded(&test.store, 3).await;
            recorded(&test.store, 3).await;
            assert_eq!(verified(&test.store).await.expect("untouched, it verifies").unsigned, 0);
            for statement in statements {
                let empty = if test.store.is_shared() { "''" } else { "x''" };
                let empty = format!("update log_state set signed_size = 0, signed_proof = {empty}");
                assert_ne!(tamper(&test.store, if *statement == "EMPTY" { &empty } else { statement }).await, 0);
            }
            let error = verified(&test.store).await.expect_err("heads are missing").to_string();
            assert!(error.contains(want), "{}: {statements:?}: {error}", test.name);
            no_export(&test.store).await;
            // A server that starts again works on, and does not put its signature over the loss.
            recorded(&test.store, 2).await;
            let still = verified(&test.store).await.expect_err("still missing").to_string();
            assert!(still.contains(want), "{}: {statements:?}: {still}", test.name);
            let signed = checkpoint::sign_now(&test.store, ORIGIN, &key(), SystemClock.now()).await;
            assert!(matches!(signed, Err(checkpoint::SignError::Heads(_))), "{signed:?}");
            // Until somebody says so.
            checkpoint::sign_anew(&test.store, ORIGIN, &key(), SystemClock.now()).await.expect("signed");
            let report = verified(&test.store).await.expect("from here on it verifies");
            assert_eq!((report.entries, report.unsigned), (8, 0), "{}", test.name);
        }
    }
}

/// Rewrites entry 1 and everything that follows from it: its leaf and the tree. Only the heads are beyond reach.
async fn rewrite(store: &Store) {
    let entries = log::after(&mut store.read_log().await.expect("read"), -1, 100).await.expect("entries");
    let mut frontier = Frontier::default();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let blob = |bytes: &[u8]| {
        if store.is_shared() { format!("'\\x{}'", hex(bytes)) } else { format!("x'{}'", hex(bytes)) }
    };
    for (entry, _) in &entries {
        let rest = entry.rest.body.as_deref().expect("a body");
        let text = String::from_utf8(rest.to_vec()).expect("UTF-8");
        let text = if entry.seq == 1 { text.replace(r#""n":1"#, r#""n":9"#) } else { text };
        let personal = Half { body: entry.personal.body.as_deref(), salt: &entry.personal.salt };
        let leaf = leaf::hash(personal, Half { body: Some(text.as_bytes()), salt: &entry.rest.salt }).expect("a leaf");
        frontier.push(leaf);
        if entry.seq == 1 {
            let (rest, leaf) = (blob(text.as_bytes()), blob(&leaf));
            tamper(store, &format!("update events set rest = {rest}, leaf = {leaf} where seq = 1")).await;
        }
    }
    let (size, frontier) = (frontier.size(), blob(&frontier.to_bytes()));
    tamper(store, &format!("update log_state set size = {size}, frontier = {frontier}")).await;
}

#[tokio::test]
async fn a_log_that_was_rewritten_whole_contradicts_every_head_it_had() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        recorded(&test.store, 2).await;
        rewrite(&test.store).await;
        let error = verified(&test.store).await.expect_err("rewritten");
        assert!(matches!(error, VerifyError::Root { .. }), "{}: {error}", test.name);
        no_export(&test.store).await;
        let signed = checkpoint::sign_now(&test.store, ORIGIN, &key(), SystemClock.now()).await;
        assert!(matches!(signed, Err(checkpoint::SignError::Other(5))), "{}: {signed:?}", test.name);
        // A server goes on from the rewritten tree and signs it: the heads from before speak against it for ever.
        recorded(&test.store, 2).await;
        let error = verified(&test.store).await.expect_err("still rewritten");
        assert!(matches!(error, VerifyError::Root { .. }), "{}: {error}", test.name);
    }
}

#[tokio::test]
async fn what_no_head_covers_yet_is_counted() {
    for test in stores().await {
        let running = Running::start(&test.store, 64);
        for n in 0..5 {
            running.log.record(event(n)).await.expect("recorded");
        }
        let report = verified(&test.store).await.expect("verifies");
        let signed = report.head.map_or(0, |head| head.size);
        assert_eq!(report.unsigned, report.entries - signed, "{}", test.name);
        running.stop().await;
        let report = verified(&test.store).await.expect("verifies");
        assert_eq!((report.entries, report.unsigned), (5, 0), "{}", test.name);
    }
}

#[tokio::test]
async fn a_waiting_event_whose_copy_was_edited_is_named() {
    for test in stores().await {
        let mut tx = test.store.begin().await.expect("begin");
        events::intake(&mut tx, &event(1)).await.expect("intake");
        let statement = "update event_intake set outcome = 'denied'";
        match tx.conn() {
            Conn::Sqlite(conn) => drop(sqlx::query(statement).execute(conn).await.expect("edited")),
            Conn::Postgres(conn) => drop(sqlx::query(statement).execute(conn).await.expect("edited")),
        }
        tx.commit().await.expect("commit");
        let error = verified(&test.store).await.expect_err("edited");
        assert!(matches!(error, VerifyError::WaitingCopy { column: "outcome", .. }), "{}: {error}", test.name);
    }
}

#[tokio::test]
async fn of_a_fresh_log_nothing_is_signed_and_its_record_says_so() {
    for test in stores().await {
        let report = verified(&test.store).await.expect("an empty log verifies");
        assert_eq!((report.entries, report.head), (0, None));
        recorded(&test.store, 0).await;
        let standing = heads::standing(&mut test.store.read_log().await.expect("read")).await.expect("standing");
        assert!(standing.signed_size == 0 && !standing.proof.is_empty(), "{}: {standing:?}", test.name);
        tamper(&test.store, "update log_state set signed_size = 7").await;
        let error = verified(&test.store).await.expect_err("edited");
        assert!(matches!(error, VerifyError::Heads(HeadsError::Record)), "{}: {error}", test.name);
    }
}
