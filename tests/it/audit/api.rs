//! What the API answers to those who may ask.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use stockade::audit_log::verify;
use stockade::base::{Secret, SystemRng, Timestamp};
use stockade::model::{Event, Outcome, event::kind};

use super::stage::{Setup, Stage, example, stage, stages};

fn ns(items: &[Value]) -> Vec<u64> {
    items.iter().filter_map(|item| item["data"]["n"].as_u64()).collect()
}

#[tokio::test]
async fn events_come_newest_first_and_whole() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(10).await;
        let items = stage.items("", &token).await;
        let items: Vec<_> = items.into_iter().filter(|item| item["data"]["n"].is_u64()).collect();
        assert_eq!(ns(&items), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "{}", stage.test.name);
        let last = &items[0];
        assert_eq!(last["principal"], "Client::\"client-1\"");
        assert_eq!((&last["address"], &last["outcome"]), (&json!("192.0.2.7"), &json!("denied")));
        assert_eq!((&last["kind"], &last["action"]), (&json!("token.issued"), &json!("act:4")));
        assert_eq!((&last["resource"], &last["request_id"]), (&json!("Route::\"r3\""), &json!("req-9")));
        assert_eq!(last["time"], "2027-01-15T08:00:09.000000Z");
        assert!(last["id"].as_str().unwrap().starts_with("evt_") && last["seq"].is_u64());
        assert!(last.get("salt").is_none() && !last.to_string().contains("salt"));
        stage.end().await;
    }
}

#[tokio::test]
async fn each_filter_keeps_what_matches_and_nothing_else() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(60).await;
        for (query, keeps) in [
            ("principal=client-2", (|n| n % 4 == 2) as fn(u64) -> bool),
            ("principal=Client::%22client-2%22", |n| n % 4 == 2),
            ("action=act:3", |n| n % 5 == 3),
            ("outcome=denied", |n| n % 2 == 1),
            ("decision=allow", |n| n % 2 == 0),
            ("resource=Route::%22r5%22", |n| n % 6 == 5),
            ("kind=token.issued", |n| n % 3 == 0),
            ("request_id=req-17", |n| n == 17),
            ("since=2027-01-15T08:00:50Z", |n| n >= 50),
            ("until=2027-01-15T08:00:10Z", |n| n < 10),
            ("since=2027-01-15T08:00:10Z&until=2027-01-15T09:00:20%2B01:00", |n| (10..20).contains(&n)),
            ("kind=decision&outcome=denied&principal=client-1", |n| n % 3 != 0 && n % 2 == 1 && n % 4 == 1),
            ("request_id=req-17&outcome=allowed", |_| false),
            ("kind=audit.gap", |_| false),
            ("filter=outcome%3Ddenied+AND+action%3Dact:3+OR+action%3Dact:4", |n| n % 2 == 1 && n % 5 >= 3),
            ("filter=-%28kind%3Dtoken.issued+OR+outcome%3Ddenied%29", |n| n % 3 != 0 && n % 2 == 0),
            ("filter=data.n%3E%3D50+time%3C2027-01-15T08:00:55Z", |n| (50..55).contains(&n)),
            ("filter=client%3Dclient-3", |n| n % 4 == 3),
            ("filter=address:192.0.2.0/24+request_id:%22REQ-1%22", |n| n == 1 || (10..20).contains(&n)),
            ("filter=address:198.51.100.0/24", |_| false),
            ("filter=%22route+r5%22", |n| n % 6 == 5),
            ("kind=decision&filter=%22client+2%22", |n| n % 3 != 0 && n % 4 == 2),
        ] {
            let items = stage.items(&format!("?{query}&limit=500"), &token).await;
            let mut expected: Vec<u64> = (0..60).filter(|n| keeps(*n)).collect();
            expected.reverse();
            let found: Vec<u64> = ns(&items);
            assert_eq!(found, expected, "{query} on {}", stage.test.name);
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn pages_meet_without_gap_or_overlap_while_the_log_grows() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(95).await;
        let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/api/v1/audit/events?principal=client-1&limit=5{cursor}");
            let (status, body) = stage.get(&path, &token).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            all.extend(ns(body["items"].as_array().unwrap()));
            pages += 1;
            // What is recorded meanwhile is newer than the first page, and stays out of those that follow.
            stage.audit.record(example(1001)).await.unwrap();
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => {
                    assert!(body["next_cursor"].is_null());
                    break;
                }
            }
        }
        let mut expected: Vec<u64> = (0..95).filter(|n| n % 4 == 1).collect();
        expected.reverse();
        assert_eq!((all, pages), (expected, 5), "{}", stage.test.name);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_page_that_holds_all_has_no_next() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(60).await;
        let (_, body) = stage.get("/api/v1/audit/events?kind=decision", &token).await;
        assert_eq!((body["items"].as_array().unwrap().len(), &body["next_cursor"]), (40, &Value::Null));
        let (_, body) = stage.get("/api/v1/audit/events?kind=decision&limit=40", &token).await;
        assert_eq!(body["next_cursor"], Value::Null, "exactly as many as asked for");
        let (_, body) = stage.get("/api/v1/audit/events?kind=decision&limit=39", &token).await;
        assert!(body["next_cursor"].is_string());
        let (_, body) = stage.get("/api/v1/audit/events", &token).await;
        assert_eq!(body["items"].as_array().unwrap().len(), 50, "fifty unless asked");
        stage.end().await;
    }
}

#[tokio::test]
async fn reading_is_an_event_that_names_who_and_what_but_no_value() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(3).await;
        stage.items("?principal=client-1&limit=2", &token).await;
        stage.until_kind(kind::AUDIT_READ, 1).await;
        let reads = stage.items("?kind=audit.read", &token).await;
        assert_eq!(reads.len(), 1, "{reads:?}");
        let read = &reads[0];
        assert_eq!(read["principal"], "Client::\"auditor\"");
        assert_eq!((&read["action"], &read["resource"]), (&json!("audit:search"), &json!("AuditLog::\"main\"")));
        assert_eq!((&read["outcome"], &read["policies"]), (&json!("allowed"), &json!(["audit.search"])));
        assert_eq!((&read["data"]["filters"], &read["data"]["items"]), (&json!(["principal"]), &json!(1)));
        assert!(read["snapshot"].as_str().is_some_and(|s| !s.is_empty()));
        assert!(read["request_id"].is_string() && read["trace_id"].is_string() && read["latency_us"].is_u64());
        assert_eq!(read["address"], "192.0.2.1");
        assert!(!read.to_string().contains("client-1") && !read.to_string().contains(&token));
        stage.end().await;
    }
}

#[tokio::test]
async fn an_event_about_nobody_is_not_called_erased() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    let time = Timestamp::from_secs(1_800_000_000);
    let mut event = Event::new(kind::SERVICE_STARTED, Outcome::Allowed, time, &SystemRng);
    event.request_id = Some("nobody".into());
    stage.audit.record(event).await.unwrap();
    stage.until_kind(kind::SERVICE_STARTED, 1).await;
    let items = stage.items("?request_id=nobody", &token).await;
    assert_eq!(items.len(), 1);
    assert!(items[0].get("principal").is_none() && items[0].get("erased").is_none());
    stage.end().await;
}

#[tokio::test]
async fn the_checkpoint_is_the_log_s_own_signed_head() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(5).await;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let head = loop {
            let (status, body) = stage.get("/api/v1/audit/checkpoint", &token).await;
            if status == StatusCode::OK && body["size"].as_i64() >= Some(5) {
                break body;
            }
            assert!(tokio::time::Instant::now() < deadline, "no head of five events: {body}");
            tokio::task::yield_now().await;
        };
        assert_eq!(head["origin"], "localhost:8080/audit");
        let note = head["note"].as_str().unwrap();
        let body = format!("localhost:8080/audit\n{}\n{}\n\n", head["size"], head["root"].as_str().unwrap());
        assert!(note.starts_with(&body), "{note} against {body}");
        let (status, body) = stage.get("/api/v1/audit/checkpoint?size=3", &token).await;
        assert_eq!((status, &body["errors"][0]["parameter"]), (StatusCode::BAD_REQUEST, &json!("size")));
        stage.until_kind(kind::AUDIT_READ, 1).await;
        let reads = stage.items("?kind=audit.read&action=audit:verify", &token).await;
        let seqs: BTreeSet<_> = reads.iter().map(|r| r["seq"].as_u64()).collect();
        assert!(!reads.is_empty() && seqs.len() == reads.len());
        let (test, key) = (stage.test.store.clone(), log_public(&stage).await);
        verify::store(&test, &key).await.expect("the log verifies");
        stage.end().await;
    }
}

#[tokio::test]
async fn before_the_first_head_there_is_none() {
    let stage = stage(Setup { has_worker: false, ..Setup::default() }).await;
    let token = stage.auditor().await;
    let (status, body) = stage.get("/api/v1/audit/checkpoint", &token).await;
    assert_eq!((status, &body["type"]), (StatusCode::NOT_FOUND, &json!("urn:stockade:problem:not-found")));
    stage.end().await;
}

async fn log_public(stage: &Stage) -> [u8; 32] {
    let secret = Secret::new("a sealing key of thirty-two chars".to_owned());
    let sealer = stockade::live::sealer(&[secret]).unwrap();
    stockade::live::keys::log_key(&stage.test.store, &sealer, &SystemRng).await.unwrap().public()
}
