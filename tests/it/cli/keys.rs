//! `stockade key`.

use serde_json::Value;
use stockade::base::Timestamp;

use super::Place;

fn of<'a>(rows: &'a Value, alg: &str, state: &str) -> Vec<&'a Value> {
    rows.as_array().unwrap().iter().filter(|row| row["alg"] == alg && row["state"] == state).collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

#[test]
fn a_first_rotation_signs_at_once_and_the_next_is_published_before_it_signs() {
    let place = Place::new();
    let first = place.json(&["key", "rotate"]);
    for alg in ["ES256", "EdDSA", "RS256"] {
        assert_eq!(of(&first, alg, "active").len(), 1, "{first}");
    }
    let second = place.json(&["key", "rotate", "--alg", "ES256"]);
    let (new, old) = (of(&second, "ES256", "published")[0], of(&second, "ES256", "active")[0]);
    assert_eq!(new["activates_at"], old["retired_at"], "no gap and no overlap");
    assert!(time(&new["activates_at"]).since(time(&new["created_at"])).as_secs() >= 300, "published ahead: {new}");
    assert!(time(&old["expires_at"]).since(time(&old["retired_at"])).as_secs() >= 86_400, "outlives its tokens: {old}");

    let said = place.run(&["key", "rotate", "--alg", "ES256"]);
    assert!(said.code == 1 && said.err.contains("follows already"), "{said:?}");
}

#[test]
fn the_only_key_is_not_retired_unless_it_is_compromised() {
    let place = Place::new();
    let keys = place.json(&["key", "rotate", "--alg", "ES256"]);
    let kid = keys[0]["kid"].as_str().unwrap();
    let said = place.run(&["key", "retire", kid]);
    assert!(said.code == 1 && said.err.contains("nothing else signs ES256 now: rotate it first"), "{said:?}");

    let keys = place.json(&["key", "retire", kid, "--compromised"]);
    let active = of(&keys, "ES256", "active");
    assert_eq!(active.len(), 1, "its successor signs at once: {keys}");
    assert_ne!(active[0]["kid"], kid);
    let gone = of(&keys, "ES256", "expired");
    assert_eq!(gone[0]["kid"], kid, "{keys}");

    let said = place.run(&["key", "retire", "nobody"]);
    assert!(said.code == 1 && said.err.contains("there is no key `nobody`"), "{said:?}");
}
