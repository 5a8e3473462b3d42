//! C4, C5, C6, C8, C10: who learns what about which token.

use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};
use stockade::base::Clock as _;
use stockade::crypto::rotation::{self, Step};
use stockade::model::Algorithm;

use super::fence::{API, Fence, ISSUER, OPAQUE, OTHER, START, wish};
use crate::crypto::forge::{self, Key, with};

fn inactive() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn the_client_and_its_resource_server_learn_what_a_token_says() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[("scope", "notes:read")]).await;
    for caller in ["app", "rs"] {
        let said = fence.introspect(caller, &token).await;
        let jti = said["jti"].as_str().unwrap().to_owned();
        assert_eq!(
            said,
            json!({
                "active": true, "scope": "notes:read", "client_id": "app", "sub": "app", "aud": API, "iss": ISSUER,
                "token_type": "Bearer", "jti": jti, "iat": START.as_secs(), "exp": START.as_secs() + 600,
            }),
            "{caller}"
        );
    }
}

#[tokio::test]
async fn c4_introspection_without_client_authentication_is_401() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    let form = [("token", token.as_str())];
    let bare = fence.post("/oauth/introspect", None, &form).await;
    assert_eq!(bare.error(), (401, "invalid_client".to_owned()));
    let public = fence.post("/oauth/introspect", None, &[("token", &token), ("client_id", "spa")]).await;
    assert_eq!(public.error(), (401, "invalid_client".to_owned()), "a public client proves nothing");
    let bearer = Request::post("/oauth/introspect")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(format!("token={token}")))
        .unwrap();
    let bearer = fence.send(bearer).await;
    assert_eq!(bearer.error(), (401, "invalid_token".to_owned()));
    assert_eq!(bearer.header(header::WWW_AUTHENTICATE), Some(r#"Bearer error="invalid_token""#));
    for form in [&[][..], &[("token", "")], &[("token_type_hint", "access_token")]] {
        let answer = fence.post("/oauth/introspect", Some("app"), form).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
    }
}

#[tokio::test]
async fn c5_unknown_expired_and_foreign_tokens_are_inactive_and_nothing_more() {
    let fence = Fence::new().await;
    let jwt = fence.token("app", &[]).await;
    let opaque = fence.token("app", &[("resource", OPAQUE)]).await;
    let elsewhere = fence.token("app", &[("resource", OTHER)]).await;
    for token in ["x", "x.y.z", "stk_at_x", &"a".repeat(20_000), &jwt.replace('.', "")] {
        assert_eq!(fence.introspect("app", token).await, inactive(), "{}", token.get(..9).unwrap_or(token));
    }
    let never_issued = stockade::crypto::secret_text::generate(
        stockade::crypto::secret_text::Kind::AccessToken,
        &stockade::base::SystemRng,
    );
    assert_eq!(fence.introspect("app", never_issued.expose()).await, inactive());
    assert_eq!(fence.introspect("rs", &elsewhere).await, inactive(), "not in its audience");
    assert_eq!(fence.introspect("rs", &opaque).await, inactive(), "not in its audience");
    let event = &fence.events_of("token.introspected", 4).await;
    let foreign: Vec<_> = event.iter().filter(|e| e["reason"] == "not_in_audience").collect();
    assert_eq!(foreign.len(), 2, "asking for tokens of others is recorded one by one: {event:?}");
    fence.clock.set(START.plus(Duration::from_secs(600)));
    assert_eq!(fence.introspect("app", &jwt).await, inactive(), "expired");
    assert_eq!(fence.introspect("app", &opaque).await, inactive(), "expired");
}

#[tokio::test]
async fn c6_a_disabled_or_deleted_client_s_tokens_are_inactive() {
    let fence = Fence::new().await;
    let tokens = [fence.token("app", &[]).await, fence.token("app", &[("resource", OPAQUE)]).await];
    fence
        .add(stockade::model::Client { serves: vec![OPAQUE.to_owned(), API.to_owned()], ..fence.secret_client("both") })
        .await;
    for token in &tokens {
        assert_eq!(fence.introspect("both", token).await["active"], true);
    }
    fence.change("app", |client| client.disabled = true).await;
    for token in &tokens {
        assert_eq!(fence.introspect("both", token).await, inactive());
    }
    fence.change("app", |client| client.disabled = false).await;
    for token in &tokens {
        assert_eq!(fence.introspect("both", token).await["active"], true);
    }
    let mut tx = fence.store.store.begin().await.unwrap();
    stockade::store::clients::delete(&mut tx, "app").await.unwrap();
    tx.commit().await.unwrap();
    fence.live.refresh().await.unwrap();
    for token in &tokens {
        assert_eq!(fence.introspect("both", token).await, inactive());
    }
}

#[tokio::test]
async fn c10_nothing_but_an_access_token_of_ours_is_active() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    let (theirs, claims) = (
        Key::p256(),
        json!({
            "iss": ISSUER, "sub": "app", "client_id": "app", "aud": API, "jti": "forged", "iat": START.as_secs(),
            "exp": START.as_secs() + 600, "scope": "notes:read",
        }),
    );
    let jwks = fence.get("/.well-known/jwks.json").await.json();
    let kid = jwks["keys"][0]["kid"].clone();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
    let mut forged = vec![
        theirs.jwt(&header, &claims),
        theirs.jwt(&with(&header, "jwk", theirs.jwk("x")), &claims),
        forge::unsigned(&with(&header, "alg", json!("none")), &claims),
        forge::hs256(jwks.to_string().as_bytes(), &with(&header, "alg", json!("HS256")), &claims),
        super::fence::secret("app"),
    ];
    // Our own key, another kind of token: the signature is right, the type is not.
    let ring = fence.live.key_ring();
    let signer = ring.signer(Algorithm::ES256, fence.clock.now()).unwrap();
    for typ in ["JWT", "logout+jwt", "dpop+jwt", "client-authentication+jwt"] {
        forged.push(stockade::crypto::jws::sign(signer, typ, &claims).unwrap());
    }
    forged.push(
        stockade::crypto::jws::sign(signer, "at+jwt", &with(&claims, "iss", json!("https://other.example"))).unwrap(),
    );
    for token in &forged {
        assert_eq!(fence.introspect("app", token).await, inactive(), "{token}");
    }
    assert_eq!(fence.introspect("app", &token).await["active"], true);
}

#[tokio::test]
async fn c14_a_token_stays_active_while_its_key_is_rotated_out() {
    let fence = Fence::new().await;
    let old = fence.token("app", &[]).await;
    let activates_at = START.plus(Duration::from_secs(300));
    fence.take_step(&Step::Generate { alg: Algorithm::ES256, activates_at }).await;
    fence.clock.advance(Duration::from_secs(300));
    fence.rotate(&rotation::Settings { algs: Algorithm::ALL.to_vec(), ..rotation::Settings::default() }).await;
    let new = fence.token("app", &[]).await;
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(kid(&old), kid(&new), "the successor signs");
    for token in [&old, &new] {
        assert_eq!(fence.introspect("app", token).await["active"], true);
    }
}

#[tokio::test]
async fn a_resource_server_s_questions_are_one_event_a_second_with_a_count() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    for _ in 0..30 {
        fence.introspect("rs", &token).await;
    }
    let events = fence.events_of("token.introspected", 1).await;
    assert_eq!((&events[0]["count"], &events[0]["outcome"]), (&json!(30), &json!("allowed")));
    assert_eq!(events[0]["personal"]["principal"], r#"Client::"rs""#);
}

#[tokio::test]
async fn when_the_store_is_gone_an_opaque_token_is_unknown_not_inactive() {
    let fence = Fence::with(wish()).await;
    let text = stockade::crypto::secret_text::generate(
        stockade::crypto::secret_text::Kind::AccessToken,
        &stockade::base::SystemRng,
    );
    let jwt = fence.token("app", &[]).await;
    fence.store.store.close().await;
    let answer = fence.post("/oauth/introspect", Some("app"), &[("token", text.expose())]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(fence.introspect("app", &jwt).await["active"], true, "a JWT needs no store");
}
