//! Proofs of single entries and of older heads, read from the stored tree.

use std::io::Cursor;

use stockade::audit_log::merkle::{Frontier, Hash};
use stockade::audit_log::proof;
use stockade::audit_log::prove::prove;
use stockade::audit_log::tiles::{self, Tree, TreeError};
use stockade::audit_log::verify::{self, Report, VerifyError};
use stockade::crypto::sha256;
use stockade::store::Store;
use stockade::store::blocks::{self, Block};

use super::tamper::{many, no_export, recorded, tamper, verified};
use super::{event, key};
use crate::support::stores::stores;

/// Leaves alone, in blocks of `width`: a log as large as it takes.
async fn planted(store: &Store, leaves: &[Hash], width: usize) {
    let mut tx = store.begin_log().await.expect("begin");
    for (n, some) in leaves.chunks(width).enumerate() {
        let (first_seq, count) = (i64::try_from(n * width).expect("small"), i64::try_from(some.len()).expect("small"));
        let block = Block { first_seq, count, leaves: some.concat(), entries: Vec::new() };
        blocks::put(&mut tx, &block).await.expect("put");
    }
    tx.commit().await.expect("commit");
}

/// Lets the tree be written down.
async fn grown(store: &Store, size: usize) {
    loop {
        let mut tx = store.begin_log().await.expect("begin");
        let done = tiles::grow(&mut tx, i64::try_from(size).expect("small")).await.expect("grown");
        tx.commit().await.expect("commit");
        if done {
            return;
        }
    }
}

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

#[tokio::test]
async fn the_tree_that_is_written_down_gives_the_roots_and_paths_of_the_leaves() {
    let all: Vec<Hash> = (0..140_000_u64).map(|n| sha256(&n.to_be_bytes())).collect();
    for test in stores().await {
        planted(&test.store, &all, 100).await;
        let mut reader = test.store.read_log().await.expect("read");
        assert!(matches!(Tree::open(&mut reader).await, Err(TreeError::Growing)), "{}", test.name);
        drop(reader);
        // Once in the middle of tiles, then to the end.
        grown(&test.store, 70_000).await;
        for written in [70_000, 140_000] {
            grown(&test.store, written).await;
            let mut reader = test.store.read_log().await.expect("read");
            let mut tree = Tree::open(&mut reader).await.expect("a tree");
            for size in [1, 255, 256, 257, 65_536, 65_537, 69_999, 131_072, 139_999, 140_000_usize] {
                let signed = root(&all[..size]);
                let size = u64::try_from(size).expect("small");
                assert_eq!(tree.root(0..size).await.expect("a root"), signed, "{} of {size}", test.name);
                for index in [0, size / 3, size - 1] {
                    let leaf = all[usize::try_from(index).expect("small")];
                    let path = tree.path(proof::inclusion(index, size).expect("within")).await.expect("a path");
                    assert_eq!(proof::root_of_inclusion(leaf, index, size, &path), Some(signed), "{index} of {size}");
                }
                for from in [1, size.div_ceil(2), size] {
                    let first = root(&all[..usize::try_from(from).expect("small")]);
                    let path = tree.path(proof::consistency(from, size).expect("within")).await.expect("a path");
                    assert_eq!(proof::root_of_consistency(first, from, size, &path), Some(signed), "{from} of {size}");
                }
            }
            assert!(matches!(tree.root(0..140_001).await, Err(TreeError::Beyond(140_001))));
        }
        let rows = "update log_tiles set level = level where level = 1 and length(hashes) = 8192";
        assert_eq!(tamper(&test.store, rows).await, 2, "{}: two whole tiles of 546 hashes", test.name);
        assert_eq!(tamper(&test.store, "update log_tiles set level = level").await, 4, "{}", test.name);
    }
}

async fn proved(store: &Store, seqs: &[i64], older: &[u64]) -> String {
    let mut out = Vec::new();
    prove(store, &key().public(), seqs, older, &mut out).await.expect("proved");
    String::from_utf8(out).expect("UTF-8")
}

fn offline(text: &str) -> Result<Report, VerifyError> {
    verify::export(Cursor::new(text), Some(&key().public()))
}

#[tokio::test]
async fn an_entry_is_proved_without_the_others_and_what_was_changed_is_named() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        recorded(&test.store, 6).await;
        let text = proved(&test.store, &[7, 2], &[3, 8, 9]).await;
        let report = offline(&text).expect("it verifies");
        assert_eq!((report.entries, report.head.as_ref().map(|head| head.size)), (2, Some(9)), "{}", test.name);
        assert_eq!(report.proofs.expect("proofs").begins_with, [3, 8, 9]);
        assert!(!text.contains(r#""n":1"#), "nothing is shown of the others: {text}");

        let edited = text.replace(r#""n":2"#, r#""n":3"#);
        assert!(matches!(offline(&edited), Err(VerifyError::Leaf(2))), "{:?}", offline(&edited));
        let elsewhere = text.replace(r#""seq":7"#, r#""seq":6"#);
        assert!(matches!(offline(&elsewhere), Err(VerifyError::Proof(6))), "{:?}", offline(&elsewhere));
        let lines: Vec<&str> = text.lines().collect();
        let other_size = lines[2].replace(r#""size":3"#, r#""size":4"#);
        assert!(matches!(offline(&text.replace(lines[2], &other_size)), Err(VerifyError::Consistency(4))));
        let older_root = lines[3].split(r#""root":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a root");
        let other_root = lines[2].split(r#""root":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a root");
        assert!(matches!(offline(&text.replace(other_root, older_root)), Err(VerifyError::Consistency(3))));
        assert!(matches!(offline(&lines[..4].join("\n")), Err(VerifyError::NoHead)));
        let without_path = lines[0].split(r#","path""#).next().map(|head| format!("{head}}}")).expect("a line");
        assert!(offline(&text.replace(lines[0], &without_path)).is_err());
        // A proof of an earlier head does not pass for one of a later.
        recorded(&test.store, 1).await;
        let later = proved(&test.store, &[1], &[]).await;
        let mixed = text.replace(lines[5], later.lines().last().expect("a head"));
        assert!(matches!(offline(&mixed), Err(VerifyError::Lead { size: 9, signed: 10 })), "{:?}", offline(&mixed));
    }
}

#[tokio::test]
async fn what_no_head_covers_and_what_does_not_exist_has_no_proof() {
    for test in stores().await {
        recorded(&test.store, 2).await;
        let none = async |seqs: &[i64], older: &[u64]| {
            let failed = prove(&test.store, &key().public(), seqs, older, &mut Vec::new()).await;
            failed.expect_err("no proof").to_string()
        };
        assert!(none(&[2], &[]).await.contains("no entry 2"));
        assert!(none(&[-1], &[]).await.contains("no entry -1"));
        assert!(none(&[], &[3]).await.contains("no 3 entries"));
        assert!(none(&[], &[0]).await.contains("no 0 entries"));
    }
}

#[tokio::test]
async fn an_edited_tile_is_named_and_gives_no_proof() {
    for test in stores().await {
        many(&test.store, (0..4200).map(event)).await;
        verified(&test.store).await.expect("untouched, it verifies");
        assert_eq!(offline(&proved(&test.store, &[7, 4100], &[]).await).expect("verifies").entries, 2);
        let zeros = if test.store.is_shared() { "decode(repeat('00', 512), 'hex')" } else { "zeroblob(512)" };
        let edit = format!("update log_tiles set hashes = {zeros} where level = 1 and number = 0");
        assert_eq!(tamper(&test.store, &edit).await, 1, "{}", test.name);
        let error = verified(&test.store).await.expect_err("an edited tile");
        assert!(matches!(error, VerifyError::Tile { first: 0, last: 255 }), "{}: {error}", test.name);
        no_export(&test.store).await;
        let failed = prove(&test.store, &key().public(), &[4100], &[], &mut Vec::new()).await;
        assert!(failed.is_err(), "{}", test.name);
    }
}
