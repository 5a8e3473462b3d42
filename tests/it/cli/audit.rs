//! `stockade audit`, without a running service.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use stockade::audit_log::export;
use stockade::base::{SystemClock, SystemRng, Timestamp};
use stockade::model::{Event, Outcome, event::kind};
use stockade::store::{Store, events};

use super::{Place, binary, run_in};
use crate::audit_log::{key, tamper::tamper};
use crate::support::stores::sqlite;

/// A place where three things happened.
fn eventful() -> Place {
    let place = Place::new();
    place.json(&["client", "create", "--id", "app"]);
    place.json(&["client", "disable", "app"]);
    place.json(&["client", "delete", "app"]);
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_query_finds_what_the_command_line_did_newest_first_and_is_recorded_itself() {
    let place = eventful();
    place.json(&["audit", "query", "--limit", "1"]);
    let all = place.json(&["audit", "query"]);
    let kinds: Vec<&str> = all.as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["audit.read", "client.changed", "client.changed", "client.changed"], "{all}");
    let changes: Vec<&Value> = all.as_array().unwrap()[1..].iter().map(|e| &e["data"]["change"]).collect();
    assert_eq!(changes, ["deleted", "disabled", "created"]);
    let numbers: Vec<i64> = all.as_array().unwrap().iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [3, 2, 1, 0]);
    assert_eq!(all[1]["principal"], "Operator::\"local\"");

    let count = |flags: &[&str]| place.json(&[&["audit", "query"], flags].concat()).as_array().unwrap().len();
    assert_eq!(count(&["--kind", "client.changed"]), 3);
    assert_eq!(count(&["--kind", "client.changed", "--limit", "2"]), 2);
    assert_eq!(count(&["--filter", "kind = client.changed -action = client:delete"]), 2);
    assert_eq!(count(&["--filter", "\"client app\"", "--kind", "client.changed"]), 3);
    assert_eq!(count(&["--action", "client:delete"]), 1);
    assert_eq!(count(&["--resource", "Client::\"app\""]), 3);
    assert_eq!(count(&["--outcome", "denied"]), 0);
    assert_eq!(count(&["--principal", "app"]), 0);
    for spelled in ["Operator::\"local\"", "Operator::local"] {
        assert_eq!(count(&["--principal", spelled, "--action", "client:create"]), 1);
    }
    assert_eq!(count(&["--kind", "client.changed", "--since", "1h"]), 3);
    assert_eq!(count(&["--kind", "client.changed", "--until", "1h"]), 0);
    assert_eq!(count(&["--since", "2999-01-01T00:00:00Z"]), 0);
    let said = place.run(&["audit", "query", "--since", "yesterday"]);
    assert!(said.code == 2 && said.err.contains("15m"), "{said:?}");
}

#[test]
fn a_query_explains_what_the_index_did_and_a_mistake_in_a_filter_is_wrong_usage() {
    let place = eventful();
    let said = place.run(&["audit", "query", "--filter", "kind=client.changed OR outcome=denied", "--explain"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("filter: kind = client.changed OR outcome = denied"), "{said:?}");
    assert!(said.err.contains("index: (kind or outcome)") && said.err.contains("entries read"), "{said:?}");
    let header = said.out.lines().next().unwrap();
    assert!(header.starts_with("SEQ") && header.contains("PRINCIPAL"), "{said:?}");
    assert_eq!(said.out.lines().count(), 4, "{said:?}");
    assert!(!said.out.contains('\u{1b}'), "no colours but on a terminal: {said:?}");
    std::fs::write(place.path().join("mine.filter"), "# ours\nkind = client.changed\nAND -action = client:delete\n")
        .unwrap();
    let found = place.json(&["audit", "query", "--filter", "@mine.filter"]);
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    assert_eq!(place.run(&["audit", "query", "--filter", "@nowhere.filter"]).code, 2);
    let said = place.run(&["audit", "query", "--filter", "knd = decision"]);
    assert!(said.code == 2 && said.err.contains("did you mean `kind`?"), "{said:?}");
}

#[test]
fn events_alone_are_exported_as_they_are_or_in_ocsf_and_go_on_after_a_number() {
    let place = eventful();
    let export = |flags: &[&str]| {
        let said = place.run(&[&["audit", "export"], flags].concat());
        assert_eq!(said.code, 0, "{said:?}");
        lines(&said.out)
    };
    let all = export(&["--kind", "client.changed"]);
    let changes: Vec<_> = all.iter().map(|event| event["data"]["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["created", "disabled", "deleted"], "oldest first");
    assert_eq!(export(&["--kind", "client.changed", "--after", "0"]), all[1..]);
    let ocsf = export(&["--format", "ocsf", "--filter", "data.change = deleted"]);
    assert_eq!(ocsf.len(), 1, "{ocsf:?}");
    assert_eq!((&ocsf[0]["class_uid"], &ocsf[0]["activity_name"]), (&json!(6003), &json!("Delete")));
}

/// An empty table is an answer; to a question about nothing there is none.
#[test]
fn a_query_for_what_does_not_exist_is_wrong_usage_and_names_the_nearest_there_is() {
    let place = eventful();
    for (flags, nearest) in [
        (["--kind", "client.chnged"], "client.changed"),
        (["--kind", "bogus"], "client.changed"),
        (["--outcome", "denid"], "denied"),
        (["--outcome", "bogus"], "failed"),
        (["--action", "clients:create"], "client:create"),
        (["--action", "bogus"], "`"),
        (["--principal", "Operater::local"], "Operator"),
    ] {
        let said = place.run(&[&["audit", "query"][..], &flags].concat());
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{flags:?}: {said:?}");
        assert!(said.err.contains(nearest), "{flags:?}: {said:?}");
    }
    for flags in [["--action", "token:issue"], ["--principal", "nobody"], ["--request-id", "bogus"]] {
        let said = place.run(&[&["audit", "query"][..], &flags].concat());
        assert_eq!(said.code, 0, "there is such a thing, and it did not happen: {said:?}");
    }
}

#[test]
fn an_export_verifies_offline_and_a_changed_one_does_not() {
    let place = eventful();
    let export = place.run(&["audit", "export"]);
    assert_eq!(export.code, 0, "{export:?}");
    let entries = lines(&export.out);
    assert!(entries.iter().any(|line| line["rest"]["data"]["change"] == "deleted"), "{}", export.out);
    assert_eq!(entries.last().unwrap()["type"], "checkpoint");

    // Elsewhere: no configuration, no store.
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = |text: &str, more: &[&str]| {
        std::fs::write(elsewhere.path().join("e.ndjson"), text).unwrap();
        run_in(elsewhere.path(), &[&["audit", "verify", "e.ndjson"], more].concat())
    };
    let said = verify(&export.out, &["--output", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["verified"], &report["entries"]), (&json!(true), &json!(entries.len() - 1)));

    let said = verify(&export.out.replace("\"disabled\"", "\"enabled\""), &[]);
    assert!(said.code == 1 && said.err.contains("entry 1 was changed"), "{said:?}");
    let without_one: Vec<&str> =
        export.out.lines().enumerate().filter(|(i, _)| *i != 1).map(|(_, line)| line).collect();
    let said = verify(&without_one.join("\n"), &[]);
    assert!(said.code == 1 && said.err.contains("entry 1 is missing"), "{said:?}");
    let without_head: Vec<&str> = export.out.lines().take(entries.len() - 1).collect();
    let said = verify(&without_head.join("\n"), &[]);
    assert!(said.code == 1 && said.err.contains("its tail is missing"), "{said:?}");

    let said = verify("", &[]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(run_in(elsewhere.path(), &["audit", "verify", "nowhere.ndjson"]).code, 2);
    let said = place.run_with(&["audit", "verify", "-"], &export.out);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn an_export_is_held_against_the_key_that_a_checkpoint_told() {
    let place = eventful();
    let checkpoint = place.run(&["audit", "checkpoint"]);
    assert_eq!(checkpoint.code, 0, "{checkpoint:?}");
    assert!(checkpoint.out.starts_with("localhost:8080/audit\n4\n"), "{checkpoint:?}");
    let key = checkpoint.err.trim().rsplit(' ').next().unwrap().to_owned();
    std::fs::write(place.path().join("e.ndjson"), place.run(&["audit", "export"]).out).unwrap();
    assert_eq!(place.run(&["audit", "verify", "e.ndjson", "--key", &key]).code, 0);
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let said = place.run(&["audit", "verify", "e.ndjson", "--key", other]);
    assert!(said.code == 1 && said.err.contains("no signature of the key"), "{said:?}");
    assert_eq!(place.run(&["audit", "verify", "e.ndjson", "--key", "short"]).code, 2);
}

#[test]
fn an_entry_is_proved_to_whoever_has_the_key_and_so_is_that_the_log_goes_on() {
    let place = eventful();
    let checkpoint = place.run(&["audit", "checkpoint"]);
    let key = checkpoint.err.trim().rsplit(' ').next().unwrap().to_owned();
    let proofs = place.run(&["audit", "prove", "1", "--begins-with", "4"]);
    assert_eq!(proofs.code, 0, "{proofs:?}");
    assert!(proofs.out.contains("disabled") && !proofs.out.contains("deleted"), "{proofs:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = |text: &str| {
        std::fs::write(elsewhere.path().join("p.ndjson"), text).unwrap();
        run_in(elsewhere.path(), &["audit", "verify", "p.ndjson", "--key", &key, "--output", "json"])
    };
    let said = verify(&proofs.out);
    assert_eq!(said.code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["entries"], &report["begins_with"]), (&json!(1), &json!([4])), "{said:?}");
    let said = verify(&proofs.out.replace("\"disabled\"", "\"enabled\""));
    assert!(said.code == 1 && said.err.contains("entry 1 was changed"), "{said:?}");
    let said = place.run(&["audit", "prove", "999"]);
    assert!(said.code == 1 && said.err.contains("no entry 999"), "{said:?}");
    assert_eq!(place.run(&["audit", "prove"]).code, 2);
}

#[test]
fn a_checkpoint_is_kept_in_the_configured_file_and_verifies_the_log_later() {
    let place = eventful();
    let file = place.path().join("elsewhere/heads");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let text = std::fs::read_to_string(place.file()).unwrap();
    let kept = text.replace("\nfile = \"\"\n", "\nfile = \"elsewhere/heads\"\n");
    assert_ne!(kept, text);
    std::fs::write(place.file(), kept).unwrap();
    let printed = place.run(&["audit", "checkpoint"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", printed.out));
    let report = place.json(&["audit", "verify", "--anchor", "elsewhere/heads"]);
    assert_eq!((&report["anchored"], &report["verified"]), (&json!(4), &json!(true)), "{report}");
    let said = place.run(&["audit", "verify", "--anchor", "stockade.toml"]);
    assert!(said.code == 2 && said.err.contains("no signed head"), "{said:?}");
    let said = place.run(&["audit", "verify", "--anchor", "nowhere"]);
    assert_eq!(said.code, 2, "{said:?}");
}

#[test]
fn the_store_verifies_and_an_entry_changed_in_it_is_named() {
    let place = eventful();
    let said = place.run(&["audit", "verify"]);
    assert!(said.code == 0 && said.out.contains("verified"), "{said:?}");
    let file = place.path().join("audit.db");
    let bytes = std::fs::read(&file).unwrap();
    let (old, new) = (b"\"change\":\"disabled\"".as_slice(), b"\"change\":\"disabler\"".as_slice());
    let at = bytes.windows(old.len()).position(|window| window == old).expect("the event is in the file");
    let mut changed = bytes;
    changed[at..at + new.len()].copy_from_slice(new);
    std::fs::write(&file, changed).unwrap();
    let said = place.run(&["audit", "verify"]);
    assert!(said.code == 1 && said.err.contains("entry 1 was changed"), "{said:?}");
}

/// What a database's owner deletes is missed by every command that answers for the log.
#[tokio::test]
async fn heads_that_were_deleted_fail_verify_export_and_checkpoint_until_signed_anew() {
    let place = eventful();
    assert_eq!(place.run(&["audit", "checkpoint"]).code, 0);
    assert_eq!(place.json(&["audit", "verify"])["unproven"], 0);
    let store = Store::open(&format!("sqlite:{}", place.path().join("stockade.db").display())).await.unwrap();
    assert_ne!(tamper(&store, "delete from checkpoints").await, 0);
    store.close().await;
    for command in ["verify", "export", "checkpoint"] {
        let said = place.run(&["audit", command]);
        assert!(said.code == 1 && said.err.contains("was signed and is gone"), "{command}: {said:?}");
        assert!(!said.out.contains("checkpoint"), "{command}: {said:?}");
    }
    let said = place.run(&["audit", "query"]);
    assert!(said.code == 0 && said.err.contains("warning: the head of the audit log was not signed"), "{said:?}");
    let said = place.run(&["audit", "checkpoint", "--anew"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = place.run(&["audit", "verify"]);
    assert_eq!(said.code, 0, "{said:?}");
    let reads = place.json(&["audit", "query", "--kind", "audit.read"]);
    assert!(reads.to_string().contains("audit checkpoint --anew"), "whoever did that is in the log: {reads}");
}

#[tokio::test]
async fn an_event_without_a_number_is_said_to_be_unproven() {
    let test = sqlite().await;
    let mut tx = test.store.begin().await.unwrap();
    let event = Event::new(kind::CLIENT_CHANGED, Outcome::Allowed, Timestamp::from_secs(1), &SystemRng);
    events::intake(&mut tx, &event).await.unwrap();
    tx.commit().await.unwrap();
    let mut text = Vec::new();
    export::export(&test.store, "localhost/audit", &key(), &SystemClock, &mut text).await.unwrap();
    let place = Place::new();
    std::fs::write(place.path().join("e.ndjson"), text).unwrap();
    let said = place.run(&["audit", "verify", "e.ndjson"]);
    assert!(said.code == 0 && said.out.contains("1 (unproven: recorded, without a number"), "{said:?}");
    let report = place.json(&["audit", "verify", "e.ndjson"]);
    assert_eq!((&report["waiting"], &report["unproven"]), (&json!(1), &json!(1)));
}

#[test]
fn tail_prints_what_is_recorded_while_it_runs() {
    let place = eventful();
    let mut command = binary();
    command.current_dir(place.path());
    command.args(["audit", "tail", "--kind", "client.changed", "--lines", "1", "--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&printed.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["data"]["change"], "deleted", "the last one before");
    place.json(&["client", "create", "--id", "second"]);
    place.json(&["client", "disable", "second"]);
    assert_eq!(next()["data"]["change"], "created");
    assert_eq!(next()["data"]["change"], "disabled");
    child.kill().unwrap();
    child.wait().unwrap();
}
