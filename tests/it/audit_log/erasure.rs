//! What is erased stays provable, and is accounted for by an event; what is erased otherwise is reported.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stockade::audit_log::leaf;
use stockade::audit_log::verify::VerifyError;
use stockade::audit_log::{erasure, verify};
use stockade::base::{SystemRng, Timestamp};
use stockade::model::filter::EventField;
use stockade::model::{Event, Outcome, event::kind};
use stockade::store::Store;
use stockade::store::entry::Half;
use stockade::store::erase::{self, Which};
use stockade::store::log::{self, Filter};

use super::tamper::{many, no_export, recorded, verified};
use super::{event, exported, key};
use crate::support::stores::stores;

/// Erases as somebody who can write to the database would: the bytes go, the commitment stays, nothing is said.
async fn erase_silently(store: &Store, seq: i64, which: Which) {
    let mut tx = store.begin_log().await.expect("begin");
    let commitment = match which {
        Which::Personal => leaf::of_personal,
        Which::Rest => leaf::of_rest,
    };
    assert!(erase::erase(&mut tx, seq, which, commitment).await.expect("erased"));
    tx.commit().await.expect("commit");
}

fn erasure() -> Event {
    Event::new(kind::AUDIT_ERASED, Outcome::Allowed, Timestamp::from_secs(1_800_000_000), &SystemRng)
}

#[tokio::test]
async fn a_half_that_is_gone_without_an_event_is_counted_and_its_entry_named() {
    for test in stores().await {
        recorded(&test.store, 5).await;
        erase_silently(&test.store, 1, Which::Personal).await;
        let error = verified(&test.store).await.expect_err("erased without a trace");
        assert!(matches!(error, VerifyError::Erased { count: 1, first: 1 }), "{}: {error}", test.name);
        erase_silently(&test.store, 1, Which::Rest).await;
        erase_silently(&test.store, 3, Which::Rest).await;
        let error = verified(&test.store).await.expect_err("erased without a trace");
        assert!(matches!(error, VerifyError::Erased { count: 3, first: 1 }), "{}: {error}", test.name);
        no_export(&test.store).await;
        // An event for some of it leaves the others reported.
        erasure::erase(&test.store, Which::Personal, &[1, 2], &erasure()).await.expect("erased");
        recorded(&test.store, 0).await;
        let error = verified(&test.store).await.expect_err("the rest of 1 and 3");
        assert!(matches!(error, VerifyError::Erased { count: 2, first: 1 }), "{}: {error}", test.name);
    }
}

#[tokio::test]
async fn an_erasure_with_its_event_verifies_here_and_offline_and_the_person_is_gone() {
    for test in stores().await {
        recorded(&test.store, 6).await;
        assert_eq!(erasure::erase(&test.store, Which::Personal, &[1, 2, 4], &erasure()).await.expect("erased"), 3);
        assert_eq!(erasure::erase(&test.store, Which::Rest, &[4], &erasure()).await.expect("erased"), 1);
        assert_eq!(erasure::erase(&test.store, Which::Rest, &[4], &erasure()).await.expect("again"), 0);
        let report = verified(&test.store).await.expect("the waiting events account for it");
        assert_eq!((report.erased, report.waiting), (3, 3), "{}", test.name);
        recorded(&test.store, 0).await;
        let report = verified(&test.store).await.expect("and so do the numbered ones");
        assert_eq!((report.entries, report.erased, report.waiting), (9, 3, 0), "{}", test.name);
        let text = exported(&test.store).await;
        for (name, there) in [("c0", true), ("c1", false), ("c2", false), ("c3", true), ("c4", false), ("c5", true)] {
            assert_eq!(text.contains(&format!(r#"Client::\"{name}\""#)), there, "{}: {name}", test.name);
        }
        assert!(text.contains(r#""entries":[[1,2],[4,4]]"#), "the event names them: {text}");
        let offline = verify::export(Cursor::new(&text), Some(&key().public())).expect("the export verifies");
        assert_eq!((offline.entries, offline.erased), (9, 3));
        // Erasing one half frees nobody to edit the other.
        let edited = text.replace(r#""n":1"#, r#""n":7"#);
        assert_ne!(edited, text);
        let result = verify::export(Cursor::new(edited), Some(&key().public()));
        assert!(matches!(result, Err(VerifyError::Leaf(1))), "{result:?}");
    }
}

#[tokio::test]
async fn a_half_that_was_taken_out_of_an_export_is_reported() {
    for test in stores().await {
        recorded(&test.store, 3).await;
        let text = exported(&test.store).await;
        let line = text.lines().nth(1).expect("entry 1");
        let personal = r#"{"principal":"Client::\"c1\""}"#;
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let salt = value["personal_salt"].as_str().expect("a salt");
        let raw = STANDARD.decode(salt).expect("base64");
        let commitment = leaf::of_personal(Half { body: Some(personal.as_bytes()), salt: &raw }).expect("a commitment");
        let erased =
            line.replace(&format!(r#""personal":{personal},"#), "").replace(salt, &STANDARD.encode(commitment));
        assert!(!erased.contains("c1"), "{erased}");
        let result = verify::export(Cursor::new(text.replace(line, &erased)), Some(&key().public()));
        assert!(matches!(result, Err(VerifyError::Erased { count: 1, first: 1 })), "{}: {result:?}", test.name);
    }
}

#[tokio::test]
async fn what_is_erased_is_found_no_more_and_the_index_still_agrees() {
    for test in stores().await {
        many(&test.store, (0..4500).map(event)).await;
        let person = |n: usize| Filter::is(EventField::Principal, format!("Client::\"c{n}\""));
        let find = async |filter: &Filter| {
            let page = log::page(&mut test.store.read_log().await.expect("read"), filter, None, 10).await;
            page.expect("a page").iter().map(|it| it.seq).collect::<Vec<_>>()
        };
        // One in the index, one after it.
        for n in [7, 4400] {
            assert_eq!(find(&person(n)).await, [i64::try_from(n).expect("small")]);
            let seqs = [i64::try_from(n).expect("small")];
            assert_eq!(erasure::erase(&test.store, Which::Personal, &seqs, &erasure()).await.expect("erased"), 1);
            assert_eq!(find(&person(n)).await, [0_i64; 0]);
        }
        assert_eq!(erasure::erase(&test.store, Which::Rest, &[9], &erasure()).await.expect("erased"), 1);
        verified(&test.store).await.expect("the index says what is left");
        assert_eq!(find(&person(8)).await, [8]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasures_of_one_block_at_once_all_stay() {
    for test in stores().await {
        many(&test.store, (0..40).map(event)).await;
        let mut tasks = tokio::task::JoinSet::new();
        for seq in 0..20 {
            let store = test.store.clone();
            tasks.spawn(async move { erasure::erase(&store, Which::Personal, &[seq], &erasure()).await });
        }
        assert!(tasks.join_all().await.into_iter().all(|erased| erased.is_ok_and(|count| count == 1)), "{}", test.name);
        assert_eq!(verified(&test.store).await.expect("all are accounted for").erased, 20, "{}", test.name);
    }
}
