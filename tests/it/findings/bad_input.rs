//! Findings as nobody should write them: what they say is kept to the byte, and reaches nobody's terminal as it came.

use serde_json::{Value, json};
use stockade::model::FindingState;
use stockade::store::findings;

use super::{bring, native};
use crate::cli::Place;
use crate::support::stores::stores;

const EARLY: &str = "2026-11-01T01:00:00Z";

fn asff() -> Value {
    json!({
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub", "Id": "h", "UpdatedAt": EARLY,
        "AwsAccountId": "111122223333", "Types": ["a/b"], "Title": "t", "RecordState": "ACTIVE",
        "Severity": { "Label": "HIGH" }, "Workflow": { "Status": "NEW" },
        "Resources": [{ "Type": "AwsEc2Instance", "Id": "i-1" }],
    })
}

fn ocsf() -> Value {
    json!({
        "class_uid": 2004, "severity_id": 4, "status_id": 1, "time": 1_793_494_800_000_i64,
        "metadata": { "uid": "o", "product": { "uid": "p" } }, "finding_info": { "uid": "o", "title": "t" },
    })
}

async fn kept_to_the_byte(document: &str) {
    for test in stores().await {
        let (tally, came) = bring(&test.store, document).await;
        assert_eq!((tally.read, tally.new), (1, 1), "{}: {tally:?}", test.name);
        let mut reader = test.store.read().await.unwrap();
        let (_, raw) = findings::raw(&mut reader, &came[0].1.finding_id, 1).await.unwrap().unwrap();
        assert_eq!(raw, document.as_bytes(), "{}", test.name);
        let own = &came[0].1.finding;
        let told = serde_json::to_value(own).unwrap();
        assert!(told.to_string().len() < 64 * 1024, "what is read of it is bounded");
        assert_eq!(own.state, FindingState::Open, "{}", test.name);
    }
}

#[tokio::test]
async fn a_finding_of_240_kb_is_kept_whole() {
    let mut finding = asff();
    finding["Description"] = json!("x".repeat(100 * 1024));
    finding["ProductFields"] = (0..1000).map(|n| (format!("key/{n}"), json!("y".repeat(100)))).collect();
    let document = finding.to_string();
    assert!(document.len() > 200 * 1024 && document.len() < 260 * 1024, "{}", document.len());
    kept_to_the_byte(&document).await;
}

#[tokio::test]
async fn a_value_that_nobody_knew_yet_costs_no_finding_and_leaves_it_open() {
    let mut hub = asff();
    for (pointer, value) in
        [("/RecordState", "PAUSED"), ("/Workflow/Status", "PONDERED"), ("/Severity/Label", "APOCALYPTIC")]
    {
        *hub.pointer_mut(pointer).unwrap() = json!(value);
    }
    hub["SomethingNew"] = json!({ "Deep": [1, { "er": null }] });
    let mut ocsf = ocsf();
    ocsf["severity_id"] = json!(77);
    ocsf["status_id"] = json!(77);
    ocsf["something_new"] = json!([[[]]]);
    let own = native("a", EARLY, 42.0).replace("Recon:EC2/Portscan", "Weather:Moon/Eclipse");
    let own = own.replace("NETWORK_CONNECTION", "TELEPATHY").replace("\"count\":1", "\"count\":\"many\"");
    for document in [hub.to_string(), ocsf.to_string(), own] {
        kept_to_the_byte(&document).await;
    }
}

/// Every text of a document, with more behind it.
fn poisoned(value: &mut Value, more: &str) {
    match value {
        Value::String(text) => text.push_str(more),
        Value::Array(items) => items.iter_mut().for_each(|item| poisoned(item, more)),
        Value::Object(members) => members.values_mut().for_each(|member| poisoned(member, more)),
        _ => {}
    }
}

#[test]
fn texts_that_steer_a_terminal_a_table_or_a_page_reach_none_of_them() {
    let own: Value = serde_json::from_str(&native("a", EARLY, 5.0)).unwrap();
    for more in ["\u{1b}[2J\u{7}", "\r\n\u{0}\u{9b}31m", "=cmd|'/c calc'!A1", "<script>alert(1)</script>"] {
        let place = Place::new();
        let documents: Vec<_> = [own.clone(), asff(), ocsf()]
            .into_iter()
            .map(|mut finding| {
                poisoned(&mut finding, more);
                finding.to_string()
            })
            .collect();
        std::fs::write(place.path().join("bad.json"), documents.join("\n")).unwrap();
        let said = place.run(&["findings", "import", "bad.json"]);
        assert!(said.code == 0 && said.out.starts_with("3 findings read: 3 new"), "{said:?}");
        let listed = place.json(&["findings", "list"]);
        for one in listed.as_array().unwrap() {
            let id = one["finding_id"].as_str().unwrap();
            for command in [vec!["findings", "show", id], vec!["findings", "list"]] {
                let said = place.run(&command);
                let steers = |c: char| c.is_control() && c != '\n';
                assert!(said.code == 0 && !said.out.contains(steers), "{more:?}: {said:?}");
            }
            let raw = place.run(&["findings", "show", id, "--raw"]);
            assert!(documents.contains(&raw.out), "{more:?}: {raw:?}");
        }
        assert_eq!(place.run(&["audit", "verify"]).code, 0);
    }
}
