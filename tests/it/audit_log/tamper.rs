//! Whoever can write to the database edits the log: verification names what was done, and an export is not signed.

use std::io::Cursor;
use std::time::Duration;

use stockade::audit_log::heads::HeadsError;
use stockade::audit_log::leaf;
use stockade::audit_log::merkle::Frontier;
use stockade::audit_log::verify::VerifyError;
use stockade::audit_log::{checkpoint, export, verify};
use stockade::base::{Clock as _, SystemClock, SystemRng};
use stockade::model::Event;
use stockade::store::entry::{Entry, Half};
use stockade::store::{Conn, Handle as _, Store, blocks, events, heads, log};

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

/// A log with these events and a signed head over them.
pub(crate) async fn many(store: &Store, events: impl Iterator<Item = Event>) {
    let entries: Vec<Entry> = events.map(|event| Entry::new(&event, &SystemRng)).collect();
    events::put_many(store, &entries).await.expect("recorded");
    recorded(store, 0).await;
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

/// Edits entry `seq` where it stands, as whoever knows how blocks are packed could.
async fn edit(store: &Store, seq: i64, edit: impl Fn(&Entry) -> Entry) {
    let mut tx = store.begin_log().await.expect("begin");
    let block = blocks::holding(&mut tx, seq).await.expect("read").expect("a block");
    let entries = block.open().expect("a whole block");
    let edited = entries.iter().map(|it| if it.seq == seq { edit(&it.entry) } else { it.entry.clone() });
    let edited: Vec<Entry> = edited.collect();
    blocks::replace(&mut tx, block.first_seq, edited.iter()).await.expect("edited");
    tx.commit().await.expect("committed");
}

async fn is_named(store: &Store, what: &str, want: &str) {
    let error = verified(store).await.expect_err(what).to_string();
    assert!(error.contains(want), "{what}: {error}");
    no_export(store).await;
}

#[tokio::test]
async fn an_edited_entry_is_named() {
    type Edit = fn(&Entry) -> Entry;
    let edits: [(&str, Edit); 3] = [
        ("a body", |entry| Entry::of(entry.personal(), Half { body: entry.personal().body, ..entry.rest() })),
        ("a salt", |entry| Entry::of(Half { salt: entry.rest().salt, ..entry.personal() }, entry.rest())),
        ("both halves", |entry| Entry::of(entry.rest(), entry.personal())),
    ];
    for test in stores().await {
        recorded(&test.store, 5).await;
        verified(&test.store).await.expect("untouched, it verifies");
        for (what, change) in edits {
            let before = log::after(&mut test.store.read_log().await.expect("read"), 2, 1).await.expect("entry 3");
            edit(&test.store, 3, change).await;
            is_named(&test.store, what, "entry 3 was changed").await;
            edit(&test.store, 3, |_| before[0].entry.clone()).await;
            verified(&test.store).await.expect("put back, it verifies");
        }
    }
}

#[tokio::test]
async fn a_missing_or_damaged_block_is_named() {
    for (statement, want) in [
        ("delete from log_blocks where first_seq = 4", "do not give the root"),
        ("delete from log_blocks where first_seq = 2", "entry 2 is missing"),
        ("update log_blocks set entries = leaves where first_seq = 2", "the block of entry 2 is damaged"),
        ("update log_blocks set count = 2 where first_seq = 2", "the block of entry 2 is damaged"),
        ("update log_blocks set leaves = entries where first_seq = 2", "a row of `log_blocks` cannot be read"),
        ("update log_state set size = 4 where id = 1", "the frontier does not fit the size"),
    ] {
        for test in stores().await {
            for _ in 0..5 {
                recorded(&test.store, 1).await;
            }
            verified(&test.store).await.expect("untouched, it verifies");
            assert_eq!(tamper(&test.store, statement).await, 1, "{}: {statement}", test.name);
            is_named(&test.store, statement, want).await;
        }
    }
}

#[tokio::test]
async fn an_edited_index_is_named() {
    for test in stores().await {
        let empty = if test.store.is_shared() { "''" } else { "x''" };
        many(&test.store, (0..4200).map(event)).await;
        verified(&test.store).await.expect("untouched, it verifies");
        let hide = format!(
            "update log_terms set postings = {empty}
             where bucket = (select min(bucket) from log_terms where length(postings) > 0)"
        );
        tamper(&test.store, "create table before as select * from log_terms").await;
        assert_eq!(tamper(&test.store, &hide).await, 1, "{}", test.name);
        is_named(&test.store, "hidden", "the index from entry 0 on was changed").await;
        tamper(&test.store, "delete from log_terms").await;
        tamper(&test.store, "insert into log_terms select * from before").await;
        tamper(&test.store, "drop table before").await;
        verified(&test.store).await.expect("put back, it verifies");
        for (statement, back) in [
            ("update log_segments set low = low + 1000000", "update log_segments set low = low - 1000000"),
            ("update log_segments set high = high - 1000000", "update log_segments set high = high + 1000000"),
            ("update log_segments set count = count - 1", "update log_segments set count = count + 1"),
        ] {
            assert_eq!(tamper(&test.store, statement).await, 1, "{}: {statement}", test.name);
            is_named(&test.store, statement, "the index from entry 0 on was changed").await;
            tamper(&test.store, back).await;
            verified(&test.store).await.expect("put back, it verifies");
        }
        tamper(&test.store, "delete from log_segments").await;
        is_named(&test.store, "no segment", "the index from entry 0 on was changed").await;
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
pub(super) async fn rewrite(store: &Store) {
    let mut entries = log::after(&mut store.read_log().await.expect("read"), -1, 100).await.expect("entries");
    let mut frontier = Frontier::default();
    for it in &mut entries {
        let rest = it.entry.rest();
        let text = String::from_utf8(rest.body.expect("a body").to_vec()).expect("UTF-8");
        let text = if it.seq == 1 { text.replace(r#""n":1"#, r#""n":9"#) } else { text };
        it.entry = Entry::of(it.entry.personal(), Half { body: Some(text.as_bytes()), ..rest });
        it.leaf = leaf::hash(it.entry.personal(), it.entry.rest()).expect("a leaf");
        frontier.push(it.leaf);
    }
    let mut tx = store.begin_log().await.expect("begin");
    blocks::rewrite(&mut tx, 0, i64::MAX, &blocks::blocks(&entries)).await.expect("rewritten");
    tx.commit().await.expect("committed");
    let hex = frontier.to_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
    let frontier_bytes = if store.is_shared() { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
    let size = frontier.size();
    tamper(store, &format!("update log_state set size = {size}, frontier = {frontier_bytes}")).await;
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
