//! `stockade findings`, without a running service.

use serde_json::{Value, json};
use stockade::findings::SAMPLES;

use super::Place;
use crate::findings::native;

fn write(place: &Place, name: &str, text: &str) -> String {
    std::fs::write(place.path().join(name), text).unwrap();
    name.to_owned()
}

#[test]
fn files_are_imported_once_and_their_findings_listed_and_shown() {
    let place = Place::new();
    let file = write(&place, "samples.json", SAMPLES);
    let said = place.run(&["findings", "import", &file]);
    assert_eq!((said.code, said.out.as_str()), (0, "4 findings read: 4 new, 0 changed, 0 late, 0 known\n"), "{said:?}");
    let again = place.json(&["findings", "import", &file]);
    assert_eq!((&again["read"], &again["known"], &again["new"]), (&json!(4), &json!(4), &json!(0)));

    let all = place.json(&["findings", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 4);
    let about = place.json(&["findings", "list", "--about", "address=198.51.100.23", "--min-severity", "high"]);
    let id = about[0]["finding_id"].as_str().unwrap();
    assert_eq!(about.as_array().unwrap().len(), 1);
    let shown = place.json(&["findings", "show", id]);
    assert_eq!(shown["severity"], "high");
    let arn = shown["provider_id"].as_str().unwrap();
    assert_eq!(place.json(&["findings", "show", arn]), shown);
    let table = place.run(&["findings", "show", id]);
    assert!(table.code == 0 && table.out.contains("address=198.51.100.23"), "{table:?}");

    let events = place.json(&["audit", "query", "--kind", "finding.revised"]);
    assert_eq!(events.as_array().unwrap().len(), 4);
    assert!(events.as_array().unwrap().iter().all(|event| event["principal"] == "Operator::\"local\""), "{events}");
    let of_one = place.json(&["audit", "query", "--resource", &format!("Finding::\"{id}\"")]);
    assert_eq!(of_one.as_array().unwrap().len(), 1, "one timeline");
    let said = place.run(&["audit", "verify"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn the_bytes_of_a_finding_are_those_of_the_file() {
    let place = Place::new();
    let own = native("a", "2026-11-01T01:00:00Z", 5.0);
    let file = write(&place, "event.json", &format!("{{\"detail-type\": \"GuardDuty Finding\", \"detail\": {own}\n}}"));
    assert_eq!(place.run(&["findings", "import", &file]).code, 0);
    let newer = write(&place, "newer.json", &native("a", "2026-11-01T02:00:00Z", 5.0));
    assert_eq!(place.run(&["findings", "import", &newer]).code, 0);
    let id = place.json(&["findings", "list"])[0]["finding_id"].as_str().unwrap().to_owned();
    let said = place.run(&["findings", "show", &id, "--raw", "--revision", "1"]);
    assert_eq!((said.code, said.out), (0, own));
    let said = place.run(&["findings", "show", "fnd_none", "--raw"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
}

#[test]
fn what_holds_no_finding_is_read_and_what_is_no_json_is_told_at_the_end() {
    let place = Place::new();
    let none = write(&place, "none.json", "{\"FindingIds\": []}");
    let said = place.run(&["findings", "import", &none]);
    assert_eq!((said.code, said.out.as_str()), (0, "0 findings read: 0 new, 0 changed, 0 late, 0 known\n"), "{said:?}");
    let broken = write(&place, "broken.json", "{\"Findings\": [");
    let good = write(&place, "good.json", SAMPLES);
    let said = place.run(&["findings", "import", &broken, "nowhere.json", &good]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.starts_with("4 findings read"), "{said:?}");
    assert!(said.err.contains("broken.json: it is no JSON") && said.err.contains("nowhere.json"), "{said:?}");
    let said = place.run(&["findings", "import", &good, "--server", "http://localhost:1"]);
    assert!(said.code == 2 && said.err.contains("store itself"), "{said:?}");
    let said = place.run(&["findings", "list", "--severity", "bad"]);
    assert!(said.code == 2 && said.err.contains("critical"), "{said:?}");
    let found = place.json(&["findings", "list", "--filter", "severity >= high AND -state = archived sample = true"]);
    assert_eq!(found, place.json(&["findings", "list", "--min-severity", "high", "--sample", "true"]));
    assert_eq!(place.json(&["findings", "list", "--limit", "3"]).as_array().map(Vec::len), Some(3));
    assert!(place.json(&["findings", "list", "--state", "archived"]).as_array().is_some_and(Vec::<Value>::is_empty));
}

#[test]
fn findings_are_worked_on_and_hidden_at_the_command_line() {
    let place = Place::new();
    let file = write(
        &place,
        "a.json",
        &[native("a", "2026-11-01T01:00:00Z", 5.0), native("b", "2026-11-01T01:00:00Z", 8.0)].join("\n"),
    );
    assert_eq!(place.run(&["findings", "import", &file]).code, 0);
    let cases = place.json(&["findings", "triage"]);
    let severities: Vec<_> = cases.as_array().unwrap().iter().map(|case| &case["severity"]).collect();
    assert_eq!(severities, ["high", "medium"], "the worst first");
    let arn = "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/a";
    let acked = place.json(&["findings", "ack", arn, "--until", "8h", "--comment", "mine"]);
    assert_eq!(acked["triage"]["handling"], "acknowledged");
    assert_eq!(place.json(&["findings", "assign", arn, "--to", "ada"])["triage"]["assignee"], "ada");
    assert_eq!(place.json(&["findings", "escalate", arn, "--to", "bo"])["triage"]["escalated_to"], "bo");
    assert_eq!(place.run(&["findings", "comment", arn, "words"]).code, 0);
    assert_eq!(place.json(&["findings", "resolve", arn, "--as", "benign"])["active"], false);
    let said = place.run(&["findings", "ack", arn]);
    assert!(said.code == 1 && said.err.contains("reopen it first"), "{said:?}");
    assert_eq!(place.json(&["findings", "reopen", arn])["active"], true);
    let case = cases[0]["case_id"].as_str().unwrap();
    assert_eq!(place.json(&["findings", "resolve", case, "--as", "fixed"])["active"], 0);
    assert!(place.run(&["findings", "show", case]).out.contains("resolved"));

    let rule = ["findings", "suppress", "--type", "Recon:*", "--owner", "ada", "--reason", "known", "--until", "30d"];
    let tried = place.json(&[&rule[..], &["--dry-run"]].concat());
    assert_eq!(tried["hides"], json!({ "findings": 1, "open": 1, "confirmed": 0, "worst": "medium" }));
    assert!(place.json(&["findings", "suppressed"]).as_array().unwrap().is_empty());
    let made = place.json(&rule);
    assert_eq!(place.json(&["findings", "show", arn])["active"], false);
    assert!(place.json(&["findings", "triage"]).as_array().unwrap().is_empty());
    let id = made["suppression_id"].as_str().unwrap();
    assert!(place.json(&["findings", "unsuppress", id])["ended_at"].is_string());
    assert_eq!(place.json(&["findings", "show", arn])["active"], true);
    assert_eq!(place.run(&["audit", "verify"]).code, 0);
}
