//! `stockade doctor`: green on what `init` writes and on `dev`, red where it should be.

use serde_json::Value;

use super::{Place, Said};

fn rows(said: &Said) -> Vec<Value> {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

fn state<'a>(rows: &'a [Value], section: &str) -> &'a str {
    let found = rows.iter().find(|row| row["section"] == section);
    found.unwrap_or_else(|| panic!("{section}: {rows:?}"))["verdict"].as_str().unwrap()
}

#[test]
fn a_fresh_deployment_follows_the_best_practice_until_a_client_does_not() {
    let place = Place::new();
    let said = place.run(&["doctor", "--bcp"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("STATE") && !said.out.contains("failed"), "{said:?}");
    let web = ["client", "create", "--id", "web", "--grant", "authorization_code", "--scope", "openid"];
    let no_pkce = ["--redirect-uri", "https://app.example/cb", "--no-pkce"];
    assert_eq!(place.run(&[&web[..], &no_pkce[..]].concat()).code, 0);
    let said = place.run(&["doctor", "--bcp", "--output", "json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let rows = rows(&said);
    assert_eq!(state(&rows, "2.1.1, 4.5"), "failed");
    assert_eq!(rows.iter().filter(|row| row["verdict"] != "ok").count(), 1, "{rows:?}");
}

#[test]
fn a_fresh_deployment_is_sound_and_says_that_nothing_runs_yet() {
    let place = Place::new();
    let said = place.run(&["doctor", "--output", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let all = rows(&said);
    for section in ["store", "keys", "clients", "audit log", "policies", "listeners", "clock"] {
        assert_eq!(state(&all, section), "ok", "{all:?}");
    }
    assert_eq!(state(&all, "issuer"), "warning", "{all:?}");
    let recorded = place.run(&["audit", "query", "--output", "json"]);
    assert!(recorded.out.contains("\"by\": \"doctor\""), "what it read is recorded: {recorded:?}");

    std::fs::write(place.path().join("policies/grant/broken.cedar"), "@id(\"x\")\npermit (principal,\n").unwrap();
    let said = place.run(&["doctor", "--output", "json"]);
    assert_eq!((said.code, state(&rows(&said), "policies")), (1, "failed"), "{said:?}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let place = Place::new();
    let said = place.run(&["key", "list"]);
    assert_eq!(said.code, 0, "{said:?}");
    let text = std::fs::read_to_string(place.file()).unwrap();
    std::fs::write(place.file(), text.replace("sqlite:stockade.db", "sqlite:gone/stockade.db")).unwrap();
    let said = place.run(&["doctor", "--output", "json"]);
    assert_eq!((said.code, state(&rows(&said), "store")), (1, "failed"), "{said:?}");
    let said = place.run(&["doctor", "--config", "nowhere.toml"]);
    assert_eq!(said.code, 2, "nobody can tell: {said:?}");
}
