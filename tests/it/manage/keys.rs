//! `/api/v1/keys`.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::model::event::kind;

use super::stage::stages;

fn of<'a>(body: &'a Value, alg: &str, state: &str) -> Vec<&'a Value> {
    let items = body["items"].as_array().unwrap();
    items.iter().filter(|key| key["alg"] == alg && key["state"] == state).collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_successor_is_published_before_it_signs_and_there_is_one() {
    for stage in stages().await {
        let before = stage.get("/api/v1/keys").await;
        assert_eq!(of(&before.body, "ES256", "active").len(), 1, "{before:?}");
        assert!(!before.body.to_string().contains("sealed") && before.body["next_cursor"].is_null());
        let after = stage.post("/api/v1/keys/rotate", json!({ "alg": "ES256" })).await;
        assert_eq!(after.status, StatusCode::OK, "{after:?}");
        let (new, old) = (of(&after.body, "ES256", "published")[0], of(&after.body, "ES256", "active")[0]);
        assert_eq!(new["activates_at"], old["retired_at"], "no gap and no overlap");
        assert!(time(&new["activates_at"]).since(time(&new["created_at"])).as_secs() >= 300, "published ahead");
        let kid = new["kid"].as_str().unwrap();
        assert!(String::from_utf8_lossy(&stage.live.jwks()).contains(kid), "published here at once");
        let again = stage.post("/api/v1/keys/rotate", json!({ "alg": "ES256" })).await;
        assert_eq!(again.problem(), (409, "conflict"));
        let wrong = stage.post("/api/v1/keys/rotate", json!({ "alg": "none" })).await;
        assert_eq!(wrong.problem(), (422, "invalid-member"));
    }
}

#[tokio::test]
async fn of_two_rotations_at_once_one_publishes() {
    for stage in stages().await {
        let rotate = || stage.post("/api/v1/keys/rotate", json!({ "alg": "EdDSA" }));
        let (a, b) = tokio::join!(rotate(), rotate());
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{}", stage.name);
        assert_eq!(of(&stage.get("/api/v1/keys").await.body, "EdDSA", "published").len(), 1);
    }
}

#[tokio::test]
async fn the_only_key_is_not_retired_unless_it_is_compromised() {
    for stage in stages().await {
        let before = stage.get("/api/v1/keys").await.body;
        let kid = of(&before, "ES256", "active")[0]["kid"].as_str().unwrap();
        let path = format!("/api/v1/keys/{kid}/retire");
        assert_eq!(stage.send(Method::POST, &path, None).await.problem(), (409, "conflict"));
        let after = stage.post(&path, json!({ "compromised": true })).await;
        assert_eq!(after.status, StatusCode::OK, "{after:?}");
        assert_eq!(of(&after.body, "ES256", "expired")[0]["kid"], kid);
        assert_eq!(of(&after.body, "ES256", "active").len(), 1, "its successor signs at once");
        assert!(!String::from_utf8_lossy(&stage.live.jwks()).contains(kid), "it verifies nothing here");
        assert_eq!(stage.post("/api/v1/keys/nobody/retire", json!({})).await.problem(), (404, "not-found"));
        let changes = stage.changes(kind::KEY_CHANGED).await;
        assert_eq!(changes, ["published", "compromised"], "{}", stage.name);
    }
}
