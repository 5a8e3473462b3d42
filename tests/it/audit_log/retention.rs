//! What is older than the log keeps it goes by segments; what is left still verifies, and what went otherwise is named.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use stockade::audit_log::erasure;
use stockade::audit_log::export::ExportError;
use stockade::audit_log::prove::prove;
use stockade::audit_log::retention::Retention;
use stockade::audit_log::verify::{self, VerifyError};
use stockade::base::{ManualClock, SystemRng, Timestamp};
use stockade::model::filter::EventField;
use stockade::model::{Event, Outcome, event::kind};
use stockade::store::Store;
use stockade::store::erase::Which;
use stockade::store::holds::{self, Hold};
use stockade::store::log::{self, Filter};
use stockade::store::segments::{self, Segment};

use super::tamper::{many, no_export, recorded, verified};
use super::{event, exported, key};
use crate::support::stores::stores;

const START: i64 = 1_800_000_000;

/// Event `n`, `n` seconds after the start.
fn timed(n: usize) -> Event {
    Event { time: Timestamp::from_secs(START + i64::try_from(n).expect("small")), ..event(n) }
}

/// What keeps entries for a day, at a time `secs` and a day after the start.
fn a_day_after(store: &Store, secs: i64) -> Retention {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(START + 86_400 + secs)));
    Retention::new(store.clone(), Duration::from_secs(86_400), clock, Arc::new(SystemRng))
}

async fn all(store: &Store) -> Vec<Segment> {
    segments::after(&mut store.read_log().await.expect("read"), 0, 100).await.expect("segments")
}

async fn found(store: &Store, n: usize) -> usize {
    let filter = Filter::is(EventField::Principal, format!("Client::\"c{n}\""));
    log::page(&mut store.read_log().await.expect("read"), &filter, None, 10).await.expect("a page").len()
}

#[tokio::test]
async fn what_is_too_old_goes_with_its_index_and_all_that_is_left_verifies() {
    for test in stores().await {
        many(&test.store, (0..9000).map(timed)).await;
        let [first, second] = all(&test.store).await[..] else { panic!("two segments") };
        let before = exported(&test.store).await.len();
        assert_eq!(a_day_after(&test.store, 0).sweep().await.expect("nothing is that old"), 0);
        let retention = a_day_after(&test.store, first.count);
        assert_eq!(retention.sweep().await.expect("dropped"), first.count.unsigned_abs(), "{}", test.name);
        assert_eq!(retention.sweep().await.expect("once"), 0);
        assert_eq!((found(&test.store, 7).await, found(&test.store, 8000).await), (0, 1), "{}", test.name);
        let report = verified(&test.store).await.expect("the waiting event accounts for it");
        assert_eq!((report.dropped, report.waiting), (first.count.unsigned_abs(), 1), "{}", test.name);
        recorded(&test.store, 0).await;
        let text = exported(&test.store).await;
        assert!(text.len() < before * 3 / 4, "{} and {before}", text.len());
        let report = verify::export(Cursor::new(&text), Some(&key().public())).expect("the export verifies");
        assert_eq!((report.entries, report.dropped), (9001, first.count.unsigned_abs()));
        let public = key().public();
        prove(&test.store, &public, &[8000], &[1, 4000], &mut Vec::new()).await.expect("the others are still proved");
        let gone = prove(&test.store, &public, &[7], &[], &mut Vec::new()).await;
        assert!(matches!(gone, Err(ExportError::Dropped(7))), "{gone:?}");

        // The event about the first goes one day too: the newest accounts for all.
        many(&test.store, (9001..13_000).map(timed)).await;
        let [again, third] = all(&test.store).await[..] else { panic!("two segments") };
        assert_eq!((again, third.first_seq < 9000 && third.first_seq + third.count > 9000), (second, true));
        let both = (second.count + third.count).unsigned_abs();
        assert_eq!(a_day_after(&test.store, 100_000).sweep().await.expect("dropped"), both, "{}", test.name);
        recorded(&test.store, 1).await;
        let report = verified(&test.store).await.expect("it verifies");
        assert_eq!(report.dropped, first.count.unsigned_abs() + both, "{}", test.name);
        assert!(exported(&test.store).await.contains(&format!("[[0,{}]]", third.first_seq + third.count - 1)));
        // A leaf of what is gone is no less proved.
        let edited = text.lines().next().expect("a line").replace("\"seq\":0", "\"seq\":1");
        assert!(
            verify::export(Cursor::new(text.replacen(text.lines().next().expect("a line"), &edited, 1)), None).is_err()
        );
    }
}

#[tokio::test]
async fn a_segment_that_is_gone_without_an_event_is_named() {
    for test in stores().await {
        many(&test.store, (0..9000).map(timed)).await;
        let second = all(&test.store).await[1];
        let mut tx = test.store.begin_log().await.expect("begin");
        segments::delete(&mut tx, &second).await.expect("deleted");
        tx.commit().await.expect("commit");
        let error = verified(&test.store).await.expect_err("nobody said so");
        let (count, first) = (second.count.unsigned_abs(), second.first_seq.unsigned_abs());
        assert!(matches!(error, VerifyError::Dropped { count: c, first: f } if (c, f) == (count, first)), "{error}");
        no_export(&test.store).await;
    }
}

async fn hold(store: &Store, hold: &Hold) {
    let mut tx = store.begin().await.expect("begin");
    holds::insert(&mut tx, hold).await.expect("held");
    tx.commit().await.expect("commit");
    assert_eq!(holds::list(&mut store.read().await.expect("read")).await.expect("a list"), std::slice::from_ref(hold));
}

async fn let_go(store: &Store) {
    let mut tx = store.begin().await.expect("begin");
    assert!(holds::delete(&mut tx, "hold_1").await.expect("deleted"));
    assert!(!holds::delete(&mut tx, "hold_1").await.expect("once"));
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn what_is_held_stays_until_it_is_let_go() {
    let at = |secs| Some(Timestamp::from_secs(START + secs));
    let nothing = Hold {
        hold_id: "hold_1".to_owned(),
        since: None,
        until: None,
        principal: None,
        reason: "case 17".to_owned(),
        created_at: Timestamp::from_secs(START),
    };
    let person = |n: usize| Some(format!("Client::\"c{n}\""));
    for test in stores().await {
        many(&test.store, (0..9000).map(timed)).await;
        let [first, second] = all(&test.store).await[..] else { panic!("two segments") };
        let retention = a_day_after(&test.store, 10_000);
        for held in [nothing.clone(), Hold { since: at(1), until: at(first.count + 1), ..nothing.clone() }] {
            hold(&test.store, &held).await;
            assert_eq!(retention.sweep().await.expect("all is held"), 0, "{}: {held:?}", test.name);
            let_go(&test.store).await;
        }
        // Of two segments the one in which somebody acted.
        hold(&test.store, &Hold { principal: person(5000), ..nothing.clone() }).await;
        assert_eq!(retention.sweep().await.expect("the first goes"), first.count.unsigned_abs(), "{}", test.name);
        assert_eq!(retention.sweep().await.expect("the second stays"), 0);
        let_go(&test.store).await;
        hold(&test.store, &Hold { principal: person(5000), until: at(4000), ..nothing.clone() }).await;
        assert_eq!(retention.sweep().await.expect("it was not then"), second.count.unsigned_abs(), "{}", test.name);
        verified(&test.store).await.expect("it verifies");
    }
}

#[tokio::test]
async fn an_erasure_stays_as_long_as_it_accounts_for_an_entry_that_is_there() {
    for test in stores().await {
        many(&test.store, (0..4200).map(timed)).await;
        let time = Timestamp::from_secs(START + 4200);
        let erased = Event::new(kind::AUDIT_ERASED, Outcome::Allowed, time, &SystemRng);
        erasure::erase(&test.store, Which::Personal, &[10], &erased).await.expect("erased");
        many(&test.store, (4200..9000).map(timed)).await;
        let [first, second] = all(&test.store).await[..] else { panic!("two segments") };
        let held = Hold {
            hold_id: "hold_1".to_owned(),
            since: None,
            until: Some(Timestamp::from_secs(START + 5)),
            principal: None,
            reason: "case 17".to_owned(),
            created_at: Timestamp::from_secs(START),
        };
        hold(&test.store, &held).await;
        let retention = a_day_after(&test.store, 10_000);
        assert_eq!(retention.sweep().await.expect("the second accounts for the first"), 0, "{}", test.name);
        verified(&test.store).await.expect("it verifies");
        let_go(&test.store).await;
        assert_eq!(
            retention.sweep().await.expect("both"),
            (first.count + second.count).unsigned_abs(),
            "{}",
            test.name
        );
        verified(&test.store).await.expect("it verifies");
    }
}
