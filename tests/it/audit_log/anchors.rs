//! Heads that were kept elsewhere: what they show that the log alone cannot.

use std::io::Cursor;

use stockade::audit_log::anchor::{self, Anchor, AnchorError, Anchors};
use stockade::audit_log::verify::{self, Report, VerifyError};
use stockade::audit_log::{checkpoint, prove};
use stockade::base::{Clock as _, SystemClock};
use stockade::store::heads::{self, Head};
use stockade::store::{Store, log};

use super::tamper::{recorded, rewrite, tamper, verified};
use super::{ORIGIN, exported, key};
use crate::support::stores::stores;

async fn newest(store: &Store) -> Head {
    let standing = heads::standing(&mut store.read_log().await.expect("read")).await.expect("standing");
    standing.newest.expect("a head")
}

async fn against(store: &Store, kept: &[Head]) -> Result<Report, VerifyError> {
    verify::store_against(store, &key().public(), kept).await
}

/// Takes the newest entries away with every trace of them, as whoever has an older copy of the whole log can.
async fn cut(store: &Store, at: i64) {
    for statement in [
        &*format!("delete from log_blocks where first_seq >= {at}"),
        &*format!("delete from checkpoints where size > {at}"),
        "delete from log_state",
        "insert into log_state select * from state",
    ] {
        assert_ne!(tamper(store, statement).await, 0, "{statement}");
    }
}

#[tokio::test]
async fn a_tail_that_was_cut_off_without_a_trace_is_named_by_a_head_that_was_kept_elsewhere() {
    for test in stores().await {
        recorded(&test.store, 5).await;
        let early = newest(&test.store).await;
        tamper(&test.store, "create table state as select * from log_state").await;
        recorded(&test.store, 4).await;
        let kept = [early.clone(), newest(&test.store).await];
        assert_eq!(against(&test.store, &kept).await.expect("it verifies").anchored, Some(9), "{}", test.name);
        cut(&test.store, 5).await;
        assert_eq!(verified(&test.store).await.expect("the log alone knows of nothing").entries, 5);
        let error = against(&test.store, &kept).await.expect_err("cut off");
        assert!(matches!(error, VerifyError::Truncated { first: 5, last: 8 }), "{}: {error}", test.name);
        assert!(error.to_string().contains("entries 5 to 8 are missing"), "{error}");
        let text = exported(&test.store).await;
        let error = verify::export_against(Cursor::new(&text), Some(&key().public()), &kept).expect_err("cut off");
        assert!(matches!(error, VerifyError::Truncated { first: 5, last: 8 }), "{}: {error}", test.name);
        let report = verify::export_against(Cursor::new(&text), None, std::slice::from_ref(&early));
        assert_eq!(report.expect("up to there it holds").anchored, Some(5));
        assert_eq!(log::last_seq(&mut test.store.read_log().await.expect("read")).await.expect("the last"), 4);
    }
}

#[tokio::test]
async fn a_log_that_was_rewritten_with_its_heads_is_named_by_a_head_that_was_kept_elsewhere() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        recorded(&test.store, 2).await;
        let kept = [newest(&test.store).await];
        rewrite(&test.store).await;
        // Whoever has the log's key too leaves nothing that contradicts itself.
        tamper(&test.store, "delete from checkpoints").await;
        checkpoint::sign_anew(&test.store, ORIGIN, &key(), SystemClock.now()).await.expect("signed");
        verified(&test.store).await.expect("the log alone knows of nothing");
        let error = against(&test.store, &kept).await.expect_err("rewritten");
        assert!(matches!(error, VerifyError::Rewritten(5)), "{}: {error}", test.name);
        let text = exported(&test.store).await;
        let error = verify::export_against(Cursor::new(&text), Some(&key().public()), &kept).expect_err("rewritten");
        assert!(matches!(error, VerifyError::Rewritten(5)), "{}: {error}", test.name);
    }
}

#[tokio::test]
async fn proofs_are_held_against_the_newest_head_that_was_kept() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        let first = newest(&test.store).await;
        recorded(&test.store, 3).await;
        let second = newest(&test.store).await;
        recorded(&test.store, 3).await;
        let check = async |older: &[u64], kept: &[Head]| {
            let mut out = Vec::new();
            prove::prove(&test.store, &key().public(), &[1], older, &mut out).await.expect("proved");
            verify::export_against(Cursor::new(out), Some(&key().public()), kept)
        };
        let both = [first, second];
        assert_eq!(check(&[6], &both).await.expect("it goes on from there").anchored, Some(6), "{}", test.name);
        let error = check(&[3], &both).await.expect_err("nothing is said of the newest");
        assert!(matches!(error, VerifyError::Uncovered(6)), "{}: {error}", test.name);
        assert_eq!(check(&[], &[newest(&test.store).await]).await.expect("the same head").anchored, Some(9));
        let foreign = Head { size: 3, note: both[0].note.replace("localhost", "elsewhere") };
        assert!(matches!(check(&[3], &[foreign]).await, Err(VerifyError::NoAnchor)), "{}", test.name);
    }
}

#[tokio::test]
async fn every_new_head_is_appended_once_and_a_volume_that_is_gone_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    for test in stores().await {
        let file = dir.path().join(test.name);
        let anchors = Anchors::new([Anchor::File(file.clone())]);
        assert_eq!(anchors.keep(&test.store).await.expect("nothing to keep"), None);
        for size in [2, 4] {
            recorded(&test.store, 2).await;
            for _ in 0..2 {
                assert_eq!(anchors.keep(&test.store).await.expect("kept"), Some(size), "{}", test.name);
            }
        }
        let kept = anchor::notes(&std::fs::read_to_string(&file).expect("a file"));
        assert_eq!(kept.iter().map(|head| head.size).collect::<Vec<_>>(), [2, 4], "{}", test.name);
        assert_eq!(against(&test.store, &kept).await.expect("they hold").anchored, Some(4));
        let both = Anchors::new([Anchor::File(dir.path().join("gone/heads")), Anchor::File(dir.path().join("other"))]);
        let error = both.keep(&test.store).await.expect_err("the first is gone");
        assert!(matches!(error, AnchorError::Write(..)), "{error}");
        std::fs::remove_file(dir.path().join("other")).expect("the other has it all the same");
    }
}
