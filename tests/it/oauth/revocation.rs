//! C7, C8: taking tokens back.

use std::sync::Arc;

use serde_json::json;
use stockade::base::Clock as _;
use stockade::crypto::jws;
use stockade::model::Algorithm;

use super::fence::{API, Fence, OPAQUE, secret, wish};
use crate::support::stores;

#[tokio::test]
async fn c8_a_revoked_token_is_inactive_at_once_and_the_revocation_is_recorded() {
    for test in stores::stores().await {
        let name = test.name;
        let fence = Fence::on(test, Arc::new(stockade::base::ManualClock::at(super::fence::START)), wish()).await;
        fence.add(fence.secret_client("app")).await;
        for more in [&[][..], &[("resource", OPAQUE)]] {
            let (token, other) = (fence.token("app", more).await, fence.token("app", more).await);
            let jti = fence.introspect("app", &token).await["jti"].clone();
            for _ in 0..2 {
                let answer = fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await;
                assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{name}: {answer:?}");
            }
            assert_eq!(fence.introspect("app", &token).await, json!({"active": false}), "{name}");
            assert_eq!(fence.introspect("app", &other).await["active"], true, "{name}");
            let mut events = fence.events().await;
            events.retain(|e| e["kind"] == "token.revoked" && e["data"]["jti"] == jti);
            assert_eq!(events.len(), 1, "{name}: one revocation, one event: {events:?}");
            assert_eq!(events[0]["outcome"], "allowed");
            assert_eq!(events[0]["personal"]["principal"], r#"Client::"app""#);
        }
    }
}

#[tokio::test]
async fn c8_another_process_knows_as_soon_as_it_looks() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    // A second process: another memory on the same store.
    let sealer =
        stockade::live::sealer(&[stockade::base::Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
    let time = Arc::clone(&fence.clock) as Arc<dyn stockade::base::Clock>;
    let other =
        stockade::live::Live::load(fence.store.store.clone(), sealer, super::fence::ISSUER, time).await.unwrap();
    other.verify(&token, fence.clock.now()).await.unwrap();
    assert_eq!(fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await.status, 200);
    other.refresh().await.unwrap();
    let error = other.verify(&token, fence.clock.now()).await.unwrap_err();
    assert_eq!(error, stockade::crypto::verify::TokenError::Revoked);
}

#[tokio::test]
async fn c7_an_unknown_or_dead_token_is_answered_with_200() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    fence.clock.advance(std::time::Duration::from_secs(600));
    for token in ["x", "x.y.z", "stk_at_x", token.as_str()] {
        let answer = fence.post("/oauth/revoke", Some("app"), &[("token", token)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{token}");
    }
    let fresh = fence.token("app", &[]).await;
    for hint in ["access_token", "refresh_token", "no_such_hint"] {
        let form = [("token", "x"), ("token_type_hint", hint)];
        assert_eq!(fence.post("/oauth/revoke", Some("app"), &form).await.status, 200, "{hint}");
    }
    let wrong_hint = [("token", fresh.as_str()), ("token_type_hint", "refresh_token")];
    assert_eq!(fence.post("/oauth/revoke", Some("app"), &wrong_hint).await.status, 200);
    assert_eq!(fence.introspect("app", &fresh).await["active"], false, "a wrong hint finds it as well");
}

#[tokio::test]
async fn c7_another_client_s_token_is_400_invalid_grant_and_stays() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    let answer = fence.post("/oauth/revoke", Some("rs"), &[("token", &token)]).await;
    assert_eq!(answer.error(), (400, "invalid_grant".to_owned()), "not even its resource server");
    assert_eq!(fence.introspect("rs", &token).await["active"], true);
    let event = &fence.events_of("token.revoked", 1).await[0];
    assert_eq!((&event["outcome"], &event["reason"]), (&json!("denied"), &json!("invalid_grant")));
}

#[tokio::test]
async fn c7_what_is_no_access_token_is_400_unsupported_token_type() {
    let fence = Fence::new().await;
    let ring = fence.live.key_ring();
    let signer = ring.signer(Algorithm::ES256, fence.clock.now()).unwrap();
    let logout = jws::sign(signer, "logout+jwt", &json!({"iss": super::fence::ISSUER, "aud": API})).unwrap();
    for token in [logout, secret("app")] {
        let answer = fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await;
        assert_eq!(answer.error(), (400, "unsupported_token_type".to_owned()));
    }
}

#[tokio::test]
async fn c7_revocation_needs_a_proven_client_and_a_token() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    assert_eq!(fence.post("/oauth/revoke", None, &[("token", &token)]).await.error().0, 401);
    let public = [("token", token.as_str()), ("client_id", "spa")];
    assert_eq!(
        fence.post("/oauth/revoke", None, &public).await.error(),
        (400, "invalid_grant".to_owned()),
        "not its own"
    );
    assert_eq!(fence.post("/oauth/revoke", Some("app"), &[]).await.error(), (400, "invalid_request".to_owned()));
    assert_eq!(fence.introspect("app", &token).await["active"], true);
}

#[tokio::test]
async fn c7_when_it_cannot_be_stored_it_is_503_and_the_token_stays() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    fence.store.store.close().await;
    let answer = fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.headers.contains_key(http::header::RETRY_AFTER));
    assert_eq!(fence.introspect("app", &token).await["active"], true, "what was not stored did not happen");
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_after_a_restart() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    assert_eq!(fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await.status, 200);
    let Fence { store, clock, .. } = fence;
    let again = Fence::on(store, clock, wish()).await;
    assert_eq!(again.introspect("app", &token).await, json!({"active": false}));
}
