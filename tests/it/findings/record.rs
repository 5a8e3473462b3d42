//! What comes is kept once, in order, with an event for each revision.

use serde_json::Value;
use stockade::base::{ManualClock, SystemRng, Timestamp};
use stockade::findings::{Bringer, Incoming, Piece, SAMPLES, record};
use stockade::model::filter::parse;
use stockade::model::{Came, FindingState, Format, Severity};
use stockade::store::Store;
use stockade::store::findings::{self, Filter, Stored};

use super::{bring, native, recorded};
use crate::support::stores::stores;

const EARLY: &str = "2026-11-01T01:00:00.000Z";
const LATE: &str = "2026-11-01T02:00:00.000Z";

async fn found(store: &Store, filter: &Filter) -> Vec<Stored> {
    findings::page(&mut store.read().await.unwrap(), filter, None, 100).await.unwrap()
}

fn asked(text: &str) -> Filter {
    parse(text, Timestamp::from_secs(1_800_000_000)).unwrap()
}

fn read(raw: &str) -> Incoming<'_> {
    Incoming::read(Piece { format: Format::GuardDuty, raw: raw.as_bytes() })
}

#[tokio::test]
async fn a_newer_revision_is_in_force_an_older_one_is_kept_and_each_is_an_event() {
    for test in stores().await {
        let (_, came) = bring(&test.store, &native("a", EARLY, 5.0)).await;
        let id = came[0].1.finding_id.clone();
        let (_, came) = bring(&test.store, &native("a", LATE, 8.0)).await;
        assert_eq!((came[0].0, &came[0].1.finding_id), (Came::Changed, &id), "{}", test.name);
        let (_, came) = bring(&test.store, &native("a", "2026-11-01T01:30:00.000Z", 2.0)).await;
        assert_eq!((came[0].0, came[0].1.revision, came[0].1.revisions), (Came::Late, 2, 3), "{}", test.name);

        let all = found(&test.store, &Filter::default()).await;
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].finding.severity, all[0].revision), (Severity::High, 2));
        let mut reader = test.store.read().await.unwrap();
        let history = findings::revisions(&mut reader, &id, 10).await.unwrap();
        assert_eq!(history.iter().map(|one| one.revision).collect::<Vec<_>>(), [3, 2, 1]);
        let (_, first) = findings::raw(&mut reader, &id, 1).await.unwrap().unwrap();
        assert_eq!(first, native("a", EARLY, 5.0).as_bytes());
        assert_eq!(findings::raw(&mut reader, &id, 4).await.unwrap(), None);
        drop(reader);

        let events = recorded(&test.store).await;
        let told: Vec<_> = events.iter().map(|e| (e["kind"].as_str(), e["data"]["change"].as_str())).collect();
        let kind = Some("finding.revised");
        assert_eq!(told, [(kind, Some("new")), (kind, Some("changed")), (kind, Some("late"))], "{}", test.name);
        assert_eq!(events[1]["data"]["severity_before"], "medium");
        assert_eq!(events[1]["resource"], format!("Finding::\"{id}\""));
        assert!(!events.iter().any(|event| event.to_string().contains("198.51.100.7")), "addresses are personal");
    }
}

#[tokio::test]
async fn what_a_finding_was_about_is_found_after_it_was_overwritten() {
    for test in stores().await {
        let before = native("a", EARLY, 5.0);
        bring(&test.store, &before).await;
        bring(&test.store, &before.replace("198.51.100.7", "198.51.100.8").replace(EARLY, LATE)).await;
        for address in ["198.51.100.7", "198.51.100.8"] {
            let filter = asked(&format!("address = {address} resource = i-1"));
            assert_eq!(found(&test.store, &filter).await.len(), 1, "{}: {address}", test.name);
        }
        assert!(found(&test.store, &asked("address = 198.51.100.9")).await.is_empty());
    }
}

/// Of a file nobody knows when it was written; of a feed one does: what it says now is how it is.
#[tokio::test]
async fn a_feed_may_go_back_to_an_earlier_content_and_a_file_may_not() {
    let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
    let feed = Bringer { origin: "guardduty", is_live: true, principal: None };
    let file = Bringer { origin: "import", is_live: false, principal: None };
    for test in stores().await {
        let open = native("a", EARLY, 5.0);
        let archived = open.replace("\"archived\":false", "\"archived\":true");
        let mut seen = Vec::new();
        for (raw, by) in [(&open, &feed), (&archived, &feed), (&open, &file), (&open, &feed), (&open, &feed)] {
            let mut tx = test.store.begin().await.unwrap();
            let kept = record(&mut tx, &read(raw), by, &clock, &SystemRng).await.unwrap();
            tx.commit().await.unwrap();
            seen.push((kept.0, kept.1.finding.state));
        }
        use FindingState::{Archived, Open};
        assert_eq!(
            seen,
            [
                (Came::New, Open),
                (Came::Changed, Archived),
                (Came::Known, Archived),
                (Came::Changed, Open),
                (Came::Known, Open)
            ],
            "{}",
            test.name
        );
    }
}

#[tokio::test]
async fn a_dropped_transaction_keeps_neither_the_finding_nor_its_event() {
    let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
    let by = Bringer { origin: "import", is_live: false, principal: None };
    for test in stores().await {
        let mut tx = test.store.begin().await.unwrap();
        record(&mut tx, &read(&native("a", EARLY, 5.0)), &by, &clock, &SystemRng).await.unwrap();
        drop(tx);
        assert!(found(&test.store, &Filter::default()).await.is_empty(), "{}", test.name);
        assert_eq!(recorded(&test.store).await, Vec::<Value>::new(), "{}", test.name);
    }
}

#[tokio::test]
async fn two_imports_at_once_keep_one_finding() {
    for test in stores().await {
        let document: Vec<String> = (0..50).map(|n| native(&format!("f{n}"), EARLY, 5.0)).collect();
        let document = document.join("\n");
        let (one, two) = tokio::join!(bring(&test.store, &document), bring(&test.store, &document));
        assert_eq!((one.0.new + two.0.new, one.0.known + two.0.known), (50, 50), "{}", test.name);
        assert_eq!(found(&test.store, &Filter::default()).await.len(), 50);
    }
}

#[tokio::test]
async fn the_same_activity_seen_by_two_products_is_one_case() {
    for test in stores().await {
        let (tally, came) = bring(&test.store, SAMPLES).await;
        assert_eq!((tally.read, tally.new, tally.odd), (4, 4, 0), "{}", test.name);
        assert_eq!(came[0].1.case_id, came[1].1.case_id);
        assert_ne!(came[0].1.case_id, came[2].1.case_id);
        assert!(came.iter().all(|(_, stored)| stored.finding.sample), "each says that it is made up");
        let twins = asked(&format!("case_id = {}", came[0].1.case_id));
        assert_eq!(found(&test.store, &twins).await.len(), 2);
        let mut reader = test.store.read().await.unwrap();
        let called = findings::called(&mut reader, &came[1].1.finding.provider_id).await.unwrap().unwrap();
        assert_eq!(called.finding.format, Format::GuardDuty, "{}: of two the native one", test.name);
    }
}

/// Never a page lost to one odd finding.
#[tokio::test]
async fn what_cannot_be_read_is_kept_with_its_bytes_among_those_that_can() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let odd = [
        r#"{"Id":1}"#.to_owned(),
        r#"{"ProductArn":"p"}"#.to_owned(),
        r#"{"ProductArn":"p\u0000","Id":"nul \u0000","Title":"\u0000","Severity":[],"Resources":{"Id":{}}}"#.to_owned(),
        format!(r#"{{"ProductArn":"p","Id":"deep","Severity":{deep}}}"#),
        format!(r#"{{"ProductArn":"p","Id":"{}","Severity":{{"Label":"HIGH"}}}}"#, "x".repeat(5000)),
        "\"text\"".to_owned(),
    ];
    let document = format!(
        r#"{{"detail-type":"Security Hub Findings - Imported","detail":{{"findings":[{},{}]}}}}"#,
        odd.join(","),
        r#"{"ProductArn":"p","Id":"good","Severity":{"Label":"LOW"}}"#
    );
    for test in stores().await {
        let (tally, came) = bring(&test.store, &document).await;
        assert_eq!((tally.read, tally.new, tally.odd), (7, 7, 5), "{}: {tally:?}", test.name);
        for (raw, (_, stored)) in odd.iter().zip(&came) {
            let mut reader = test.store.read().await.unwrap();
            let kept = findings::raw(&mut reader, &stored.finding_id, 1).await.unwrap().unwrap();
            assert_eq!(kept.1, raw.as_bytes(), "{}", test.name);
            assert_eq!(stored.finding.state, FindingState::Open);
        }
        assert_eq!(bring(&test.store, &document).await.0.known, 7, "{}", test.name);
    }
}
