//! `stockade client`.

use serde_json::json;
use stockade::crypto::secret_text;
use stockade::store::{Store, events};

use super::Place;
use crate::support::events::said;

/// What waits in the intake of the place's store: kind, outcome and the half that stays, as text.
async fn recorded(place: &Place) -> Vec<String> {
    let store = Store::open(&format!("sqlite:{}", place.path().join("stockade.db").display())).await.unwrap();
    let waiting = events::waiting_after(&mut store.read().await.unwrap(), 0, 100).await.unwrap();
    store.close().await;
    let reads =
        |rest: &[u8]| String::from_utf8_lossy(rest).contains("\"outcome\":\"allowed\",\"action\":\"client:show\"");
    waiting
        .into_iter()
        .filter(|waiting| !reads(waiting.entry.rest().body.unwrap()))
        .map(|waiting| {
            let event = said(&waiting.entry);
            let (principal, outcome) = (event["personal"]["principal"].as_str(), event["outcome"].as_str());
            let rest = str::from_utf8(waiting.entry.rest().body.unwrap()).unwrap();
            format!("{} {} {rest}", principal.unwrap_or_default(), outcome.unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_created_client_has_a_secret_that_is_shown_once_and_stored_nowhere() {
    let place = Place::new();
    let made = place.json(&[
        "client",
        "create",
        "--id",
        "app",
        "--grant",
        "client_credentials",
        "--scope",
        "notes:read",
        "--scope",
        "notes:write",
        "--role",
        "writers",
        "--alg",
        "EdDSA",
        "--ttl",
        "5m",
    ]);
    let secret = made["client_secret"].as_str().unwrap();
    assert_eq!(secret_text::check(secret), Some(secret_text::Kind::ClientSecret));
    let shown = place.json(&["client", "show", "app"]);
    assert_eq!(shown["scopes"], json!(["notes:read", "notes:write"]));
    assert_eq!(shown["resources"], json!(["http://localhost:8080"]));
    assert_eq!((&shown["access_token_alg"], &shown["access_token_ttl_secs"]), (&json!("EdDSA"), &json!(300)));
    assert!(!shown.to_string().contains("stk_cs_") && !shown.to_string().contains("digest"), "{shown}");
    for file in ["stockade.db", "stockade.db-wal", "audit.db"] {
        let bytes = std::fs::read(place.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
    let events = recorded(&place).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("Operator::\"local\" allowed"), "{events:?}");
    assert!(events[0].contains("client.changed") && events[0].contains("admin.local"), "{events:?}");
    assert!(!events[0].contains("stk_cs_"), "{events:?}");
}

#[test]
fn a_second_client_of_one_name_is_refused() {
    let place = Place::new();
    place.json(&["client", "create", "--id", "app"]);
    let said = place.run(&["client", "create", "--id", "app"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("there is a client `app` already"), "{said:?}");
    assert!(said.out.is_empty(), "{said:?}");
}

#[test]
fn a_rotated_secret_overlaps_with_the_last_one_alone() {
    let place = Place::new();
    let first = place.json(&["client", "create", "--id", "app"]);
    let second = place.json(&["client", "rotate-secret", "app"]);
    assert_ne!(first["client_secret"], second["client_secret"]);
    let secrets = second["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert!(secrets[0]["expires_at"].is_null() && secrets[1]["expires_at"].is_string(), "{second}");
    let third = place.json(&["client", "rotate-secret", "app", "--overlap", "0s"]);
    assert_eq!(third["secrets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn clients_are_listed_disabled_enabled_and_deleted_each_time_recorded() {
    let place = Place::new();
    for id in ["b", "a"] {
        place.json(&["client", "create", "--id", id]);
    }
    let ids = |place: &Place| {
        let list = place.json(&["client", "list"]);
        list.as_array().unwrap().iter().map(|c| c["client_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&place), ["a", "b"]);
    assert_eq!(place.json(&["client", "disable", "a"])["disabled"], true);
    assert_eq!(place.json(&["client", "enable", "a"])["disabled"], false);
    place.json(&["client", "delete", "a"]);
    assert_eq!(ids(&place), ["b"]);
    let said = place.run(&["client", "show", "a"]);
    assert!(said.code == 1 && said.err.contains("there is no client `a`"), "{said:?}");
    let events = recorded(&place).await;
    for change in ["created", "disabled", "enabled", "deleted"] {
        assert!(events.iter().any(|e| e.contains(&format!("\"change\":\"{change}\""))), "{change}: {events:?}");
    }
}

#[tokio::test]
async fn what_the_policies_forbid_is_refused_and_recorded() {
    let place = Place::new();
    std::fs::write(
        place.path().join("policies/guard/frozen.cedar"),
        "@id(\"guard.frozen\")\nforbid (principal, action == Stockade::Action::\"client:create\", resource);\n",
    )
    .unwrap();
    let said = place.run(&["client", "create", "--id", "app"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("Operator::\"local\" may not `client:create`: forbidden (guard.frozen)"), "{said:?}");
    let events = recorded(&place).await;
    assert!(events.len() == 1 && events[0].starts_with("Operator::\"local\" denied"), "{events:?}");
    assert_eq!(place.json(&["client", "list"]), json!([]));
}

#[test]
fn a_client_with_keys_of_its_own_has_no_secret_and_private_keys_are_refused() {
    let place = Place::new();
    let public = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }] });
    let write = |value: &serde_json::Value| std::fs::write(place.path().join("k.json"), value.to_string()).unwrap();
    write(&public);
    let made = place.json(&["client", "create", "--id", "app", "--jwks", "k.json"]);
    assert_eq!(made["auth_method"], "private_key_jwt");
    assert!(made.get("client_secret").is_none(), "{made}");
    let said = place.run(&["client", "rotate-secret", "app"]);
    assert!(said.code == 1 && said.err.contains("has no secret"), "{said:?}");

    let mut private = public;
    private["keys"][0]["d"] = json!("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    write(&private);
    let said = place.run(&["client", "create", "--id", "other", "--jwks", "k.json"]);
    assert!(said.code == 2 && said.err.contains("`jwks`"), "{said:?}");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let place = Place::new();
    for args in [
        vec!["--id", "a b"],
        vec!["--id", ""],
        vec!["--id", "a", "--grant", "password"],
        vec!["--id", "a", "--scope", "two words"],
        vec!["--id", "a", "--redirect-uri", "http://evil.example/cb"],
        vec!["--id", "a", "--redirect-uri", "https://a.example/#x"],
        vec!["--id", "a", "--resource", "https://nobody.example"],
        vec!["--id", "a", "--serves", "/relative"],
        vec!["--id", "a", "--alg", "none"],
        vec!["--id", "a", "--ttl", "1y"],
        vec!["--id", "a", "--ttl", "2d"],
        vec!["--id", "a", "--public", "--grant", "client_credentials"],
        vec!["--id", "a", "--jwks", "nowhere.json"],
    ] {
        let said = place.run(&[&["client", "create"], args.as_slice()].concat());
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert!(!said.err.is_empty());
    }
    assert_eq!(place.json(&["client", "list"]), json!([]));
}
