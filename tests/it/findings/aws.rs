//! `stockade findings sync` against GuardDuty and Security Hub as they look on the wire.

use serde_json::{Value, json};
use stockade::base::{Clock as _, SystemClock, Timestamp};

use super::native;
use crate::cli::{Place, Said, binary};
use crate::support::fake_aws::{FakeAws, Fault};

/// A finding of each service, changed so many seconds ago.
fn of_guardduty(n: i64, ago: i64) -> (i64, Value) {
    let millis = SystemClock.now().as_micros() / 1000 - ago * 1000;
    let updated = Timestamp::from_micros(millis * 1000).to_string();
    let mut finding: Value = serde_json::from_str(&native(&format!("f{n:03}"), &updated, 5.0)).unwrap();
    finding["somethingThatTheSdkDoesNotKnow"] = json!({ "kept": true });
    (millis, finding)
}

fn of_security_hub(n: i64, ago: i64) -> (i64, Value) {
    let millis = SystemClock.now().as_micros() / 1000 - ago * 1000;
    let updated = Timestamp::from_micros(millis * 1000).to_string();
    let finding = json!({
        "SchemaVersion": "2018-10-08", "Id": format!("hub{n:03}"), "Types": ["a/b"], "AwsAccountId": "111122223333",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub", "GeneratorId": "g", "Title": "t",
        "Description": "d", "CreatedAt": updated, "UpdatedAt": updated, "Severity": { "Label": "HIGH" },
        "Resources": [{ "Type": "AwsAccount", "Id": "AWS::::Account:111122223333" }], "RecordState": "ACTIVE",
        "Workflow": { "Status": "NEW" },
    });
    (millis, finding)
}

fn of_ocsf(n: i64, ago: i64) -> (i64, Value) {
    let millis = SystemClock.now().as_micros() / 1000 - ago * 1000;
    let updated = Timestamp::from_micros(millis * 1000).to_string();
    let finding = json!({
        "class_uid": 2004, "category_uid": 2, "activity_id": 1, "type_uid": 200_401, "time": millis, "severity_id": 4,
        "status_id": 1, "metadata": { "uid": format!("own{n:03}"), "version": "1.6.0", "product": { "uid": "p" } },
        "finding_info": { "uid": format!("ocsf{n:03}"), "title": "t", "modified_time_dt": updated },
        "cloud": { "account": { "uid": "111122223333" }, "region": "eu-west-1" },
    });
    (millis, finding)
}

fn sync(place: &Place, aws: &FakeAws, sources: &str) -> Said {
    let mut command = binary();
    command.current_dir(place.path()).args(["findings", "sync", "--once", "--output", "json"]);
    command.env("AWS_ACCESS_KEY_ID", "AKIAOWN").env("AWS_SECRET_ACCESS_KEY", "secret");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("STOCKADE_FINDINGS__ENDPOINT", &aws.url).env("STOCKADE_FINDINGS__SOURCES", sources);
    command.env("STOCKADE_FINDINGS__BACKFILL", "1h");
    command.output().unwrap().into()
}

/// As [`sync`], off the thread that answers.
async fn synced(place: Place, aws: &std::sync::Arc<FakeAws>, sources: &'static str) -> (Place, Said) {
    let aws = std::sync::Arc::clone(aws);
    tokio::task::spawn_blocking(move || {
        let said = sync(&place, &aws, sources);
        (place, said)
    })
    .await
    .unwrap()
}

const OWN: &str = r#"[{ regions = "eu-west-1" }]"#;

fn tally(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_are_read_whole_and_their_bytes_kept() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    {
        let mut world = aws.world.lock();
        world.native = (0..120).map(|n| of_guardduty(n, 1000 - n)).collect();
        world.asff = (0..130).map(|n| of_security_hub(n, 600 - n)).collect();
        // One that the SDK's own types refuse.
        world.asff[7].1["Severity"] = json!("HIGH");
        world.faults.push_back(("POST /detector/findings", Fault::Throttled));
        world.faults.push_back(("POST /findings", Fault::Broken));
    }
    let (place, said) = synced(Place::new(), &aws, OWN).await;
    assert_eq!(said.code, 0, "{said:?}");
    let first = tally(&said);
    assert_eq!((&first["new"], &first["odd"]), (&json!(250), &json!(1)), "{first}");
    let (place, said) = synced(place, &aws, OWN).await;
    let again = tally(&said);
    assert_eq!((&again["new"], &again["changed"]), (&json!(0), &json!(0)), "{again}");

    let listed = place.json(&["findings", "list", "--limit", "1000"]);
    assert_eq!(listed.as_array().unwrap().len(), 250);
    let arn = "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/f042";
    let raw = place.run(&["findings", "show", arn, "--raw"]);
    let expected = aws.world.lock().native[42].1.to_string();
    assert_eq!(raw.out, expected, "to the byte, with what no type knows");
    assert!(aws.world.lock().calls.iter().all(|(_, key)| key == "AKIAOWN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_taken_on_and_a_region_that_refuses_does_not_keep_the_others() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    {
        let mut world = aws.world.lock();
        world.native = (0..3).map(|n| of_guardduty(n, 100 - n)).collect();
        world.asff = (0..2).map(|n| of_security_hub(n, 100 - n)).collect();
        world.faults.push_back(("GET /detector", Fault::Denied));
    }
    let sources =
        r#"[{ role = "arn:aws:iam::111122223333:role/s", external_id = "outside", regions = "eu-west-1 eu-west-2" }]"#;
    let (_place, said) = synced(Place::new(), &aws, sources).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("eu-west-1") && said.err.contains("AccessDenied"), "{said:?}");
    assert_eq!(tally(&said)["new"], 5, "{said:?}");
    let calls = aws.world.lock().calls.clone();
    assert!(
        calls.iter().all(|(call, key)| key == if call == "POST /" { "AKIAOWN" } else { "ASIAASSUMED" }),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_cut_is_asked_for_again_next_time() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    {
        let mut world = aws.world.lock();
        world.native = (0..3).map(|n| of_guardduty(n, 100 - n)).collect();
        for _ in 0..8 {
            world.faults.push_back(("POST /detector/findings", Fault::Truncated));
        }
    }
    let (place, said) = synced(Place::new(), &aws, OWN).await;
    assert_eq!(said.code, 1, "{said:?}");
    aws.world.lock().faults.clear();
    let (_place, said) = synced(place, &aws, OWN).await;
    assert_eq!((said.code, &tally(&said)["new"]), (0, &json!(3)), "{said:?}");
    assert!(aws.count("POST /detector/findings/get") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn security_hub_speaks_ocsf_where_it_is_asked_to() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    aws.world.lock().ocsf = (0..120).map(|n| of_ocsf(n, 600 - n)).collect();
    let sources = r#"[{ regions = "eu-west-1", services = "securityhub_v2" }]"#;
    let (place, said) = synced(Place::new(), &aws, sources).await;
    assert_eq!((said.code, &tally(&said)["new"]), (0, &json!(120)), "{said:?}");
    let shown = place.json(&["findings", "show", "ocsf007"]);
    assert_eq!(
        (&shown["format"], &shown["severity"], &shown["state"]),
        (&json!("ocsf"), &json!("high"), &json!("open"))
    );
    let raw = place.run(&["findings", "show", "ocsf007", "--raw"]);
    assert_eq!(raw.out, aws.world.lock().ocsf[7].1.to_string());
    assert!(aws.world.lock().calls.iter().all(|(call, _)| call == "POST /findingsv2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_suppressed_a_finding_at_aws_is_kept_with_it_and_stays_out_of_the_log() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    aws.world.lock().asff = (0..3).map(|n| of_security_hub(n, 600 - n)).collect();
    let sources = r#"[{ regions = "eu-west-1", services = "securityhub" }]"#;
    let (place, said) = synced(Place::new(), &aws, sources).await;
    assert_eq!((said.code, &tally(&said)["new"]), (0, &json!(3)), "{said:?}");
    {
        let mut world = aws.world.lock();
        world.asff[1].1["Workflow"]["Status"] = json!("SUPPRESSED");
        world.history = vec![json!({
            "UpdateTime": "2026-11-01T02:00:00.685Z", "FindingCreated": false,
            "UpdateSource": { "Type": "BATCH_UPDATE_FINDINGS", "Identity": "arn:aws:sts::1:assumed-role/ops/ada" },
            "Updates": [{ "UpdatedField": "Workflow.Status", "OldValue": "NEW", "NewValue": "SUPPRESSED" }],
        })];
    }
    let (place, said) = synced(place, &aws, sources).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(aws.count("POST /findingHistory/get"), 1, "of the one that changed");
    let shown = place.json(&["findings", "show", "hub001"]);
    assert_eq!(shown["state"], "suppressed");
    let note = &shown["notes"][0];
    assert_eq!(note["author"], "arn:aws:sts::1:assumed-role/ops/ada");
    assert_eq!(note["text"], "Workflow.Status: NEW -> SUPPRESSED");
    let log = place.run(&["audit", "export"]);
    assert!(log.code == 0 && !log.out.contains("assumed-role"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_are_asked_how_many_are_open_and_that_nobody_tells_costs_nothing() {
    let aws = std::sync::Arc::new(FakeAws::start().await);
    {
        let mut world = aws.world.lock();
        world.native = (0..3).map(|n| of_guardduty(n, 100 - n)).collect();
        world.native[0].1["service"]["archived"] = json!(true);
        world.asff = (0..3).map(|n| of_security_hub(n, 100 - n)).collect();
        world.faults.push_back(("POST /detector/findings/statistics", Fault::Denied));
    }
    let (_place, said) = synced(Place::new(), &aws, OWN).await;
    assert_eq!((said.code, &tally(&said)["new"]), (0, &json!(6)), "{said:?}");
    assert_eq!(aws.count("POST /detector/findings/statistics"), 1);
    assert!(aws.count("POST /findings") >= 2);
}
