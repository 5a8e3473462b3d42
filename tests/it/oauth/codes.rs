//! A7, A8, B6, B7, B8 and what a token of a person says: the authorization code grant.

use std::time::Duration;

use http::header;
use serde_json::{Value, json};
use stockade::base::Clock as _;
use stockade::crypto::b64url;
use stockade::model::{Acr, Algorithm};

use super::fence::{API, Fence, ISSUER, OPAQUE, OTHER, START};
use super::people::{ADA, People, VERIFIER, callback};

pub(super) fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&b64url::decode_strict(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

async fn signed_in() -> People {
    let people = People::new().await;
    people.sign_in(Acr::Two).await;
    people.agree("web").await;
    people.agree("one").await;
    people
}

const REFUSED: (u16, &str) = (400, "invalid_grant");

fn is(answer: &super::fence::Answer, (status, error): (u16, &str)) -> bool {
    answer.error() == (status, error.to_owned())
}

#[tokio::test]
async fn b8_a_code_leads_to_an_access_token_an_id_token_and_a_refresh_token() {
    let people = signed_in().await;
    let code = people.code("web", &[("nonce", "n-1"), ("scope", "openid notes:read")]).await;
    people.fence.clock.advance(Duration::from_secs(30));
    let answer = people.redeem("web", &code, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(body["scope"], "openid notes:read");
    assert!(body["refresh_token"].as_str().unwrap().starts_with("stk_rt_"));
    let access = part(body["access_token"].as_str().unwrap(), 1);
    let now = START.as_secs() + 30;
    assert_eq!(
        access,
        json!({
            "iss": ISSUER, "sub": ADA, "client_id": "web", "aud": API, "scope": "openid notes:read", "iat": now,
            "exp": now + 600, "jti": access["jti"], "gid": access["gid"], "sid": access["sid"], "acr": "2",
            "auth_time": START.as_secs(),
        })
    );
    let text = body["id_token"].as_str().unwrap();
    let (head, claims) = (part(text, 0), part(text, 1));
    assert_eq!((&head["alg"], &head["typ"]), (&json!("RS256"), &json!("JWT")));
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": ADA, "aud": "web", "iat": now, "exp": now + 600, "auth_time": START.as_secs(),
            "nonce": "n-1", "acr": "2", "amr": ["pwd"], "sid": access["sid"], "at_hash": claims["at_hash"],
        })
    );
    let event = &people.fence.events_of("token.issued", 1).await[0];
    assert_eq!((&event["data"]["jti"], &event["data"]["gid"]), (&access["jti"], &access["gid"]));
    assert_eq!(event["personal"]["principal"], r#"User::"usr_ada""#);
    assert_eq!((&event["data"]["client_id"], &event["data"]["grant"]), (&json!("web"), &json!("authorization_code")));
}

#[tokio::test]
async fn an_id_token_comes_with_openid_alone_and_is_signed_as_the_client_registered() {
    let people = signed_in().await;
    let plain = people.tokens("web", &[("scope", "notes:read")]).await;
    assert!(plain.get("id_token").is_none(), "{plain}");
    for alg in Algorithm::ALL {
        people.fence.change("web", |client| client.id_token_alg = Some(alg)).await;
        let body = people.tokens("web", &[]).await;
        assert_eq!(part(body["id_token"].as_str().unwrap(), 0)["alg"], alg.as_str());
    }
    people.fence.change("web", |client| client.grants.retain(|g| g.as_str() != "refresh_token")).await;
    let body = people.tokens("web", &[]).await;
    assert!(body.get("refresh_token").is_none(), "{body}");
}

#[tokio::test]
async fn a7_a_verifier_without_a_challenge_is_refused() {
    let people = signed_in().await;
    people.fence.change("web", |client| client.require_pkce = false).await;
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = people.code("web", &none).await;
    assert!(is(&people.redeem("web", &code, &[]).await, REFUSED));
    let code = people.code("web", &none).await;
    assert_eq!(people.redeem("web", &code, &[("code_verifier", "")]).await.status, 200);
}

#[tokio::test]
async fn a8_a_wrong_or_missing_verifier_burns_the_code() {
    let people = signed_in().await;
    let wrong = VERIFIER.replace('d', "e");
    for client in ["web", "one"] {
        for verifier in ["", "short", wrong.as_str(), &"v".repeat(129)] {
            let code = people.code(client, &[]).await;
            assert!(is(&people.redeem(client, &code, &[("code_verifier", verifier)]).await, REFUSED), "{verifier}");
            assert!(is(&people.redeem(client, &code, &[]).await, REFUSED), "burnt");
        }
    }
}

#[tokio::test]
async fn b6_a_code_that_comes_twice_ends_everything_it_led_to() {
    let people = signed_in().await;
    for client in ["web", "one"] {
        let code = people.code(client, &[("scope", "openid offline_access notes:read")]).await;
        let tokens = people.redeem(client, &code, &[]).await.json();
        let refresh = tokens["refresh_token"].as_str().unwrap();
        assert!(people.is_alive(&tokens).await);
        people.fence.clock.advance(Duration::from_secs(31));
        assert!(is(&people.redeem(client, &code, &[]).await, REFUSED));
        assert!(!people.is_alive(&tokens).await, "{client}");
        assert!(is(&people.refresh(client, refresh, &[]).await, REFUSED), "{client}");
    }
    let events = people.fence.events().await;
    let of = |kind: &str| events.iter().filter(|e| e["kind"] == kind).count();
    assert_eq!((of("code.replayed"), of("grant.revoked")), (2, 2));
    assert_eq!(people.fence.counted(r#"stockade_replays_total{kind="code"}"#), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_of_fifty_that_bring_one_code_exactly_one_is_served_and_the_family_ends() {
    for store in crate::support::stores::stores().await {
        let name = store.name;
        let clock = std::sync::Arc::new(stockade::base::ManualClock::at(START));
        let people = People::on(Fence::on(store, clock, super::fence::wish()).await).await;
        people.sign_in(Acr::One).await;
        people.agree("one").await;
        let code = people.code("one", &[]).await;
        let answers = futures_util::future::join_all((0..50).map(|_| people.redeem("one", &code, &[]))).await;
        let served: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(served.len(), 1, "{name}");
        assert!(answers.iter().filter(|a| a.status != 200).all(|answer| is(answer, REFUSED)), "{name}");
        assert!(!people.is_alive(&served[0].json()).await, "{name}: it was replayed");
    }
}

#[tokio::test]
async fn b7_a_code_is_for_its_client_its_place_and_its_minute() {
    let people = signed_in().await;
    people.fence.change("app", |client| client.grants.push(stockade::model::GrantType::AuthorizationCode)).await;
    let code = people.code("web", &[]).await;
    let own = callback("web");
    assert!(is(&people.redeem("app", &code, &[("redirect_uri", &own)]).await, REFUSED), "another client");
    assert_eq!(people.redeem("web", &code, &[]).await.status, 200, "which does not burn it");
    let code = people.code("web", &[]).await;
    assert!(is(&people.redeem("web", &code, &[("redirect_uri", "https://web.example/other")]).await, REFUSED));
    let code = people.code("web", &[]).await;
    assert_eq!(people.redeem("web", &code, &[("redirect_uri", "")]).await.status, 200, "OAuth 2.1 leaves it out");
    let code = people.code("web", &[]).await;
    people.fence.clock.advance(Duration::from_secs(60));
    assert!(is(&people.redeem("web", &code, &[]).await, REFUSED), "too late");
    for nonsense in ["", "x", "stk_ac_x", &code.replace("stk_ac_", "stk_rt_")] {
        let error = people.redeem("web", nonsense, &[]).await.error();
        assert!(error == (400, "invalid_grant".to_owned()) || nonsense.is_empty() && error.1 == "invalid_request");
    }
}

#[tokio::test]
async fn b24_a_code_is_worth_nothing_once_its_person_its_client_or_the_policy_says_so() {
    let people = signed_in().await;
    let code = people.code("web", &[]).await;
    people.change_ada(|ada| ada.disabled = true).await;
    assert!(is(&people.redeem("web", &code, &[]).await, REFUSED));
    people.change_ada(|ada| ada.disabled = false).await;
    let code = people.code("web", &[]).await;
    people.fence.change("web", |client| client.grants.retain(|g| g.as_str() != "authorization_code")).await;
    assert!(is(&people.redeem("web", &code, &[]).await, (400, "unauthorized_client")));
    let code = people.code("one", &[]).await;
    people.fence.add_policies(
        r#"@id("test.weak") forbid (principal is Stockade::User, action == Stockade::Action::"token:issue", resource)
             when { context.acr < 3 };"#,
    );
    assert!(is(&people.redeem("one", &code, &[]).await, (400, "access_denied")), "strength is what the session had");
}

#[tokio::test]
async fn an_access_token_is_for_one_of_the_resources_that_were_asked_for() {
    let people = signed_in().await;
    let both = [("resource", OTHER), ("resource", OPAQUE)];
    let code = people.code("web", &both).await;
    let body = people.redeem("web", &code, &[]).await.json();
    assert_eq!(part(body["access_token"].as_str().unwrap(), 1)["aud"], OTHER, "the first");
    let code = people.code("web", &both).await;
    let body = people.redeem("web", &code, &[("resource", OPAQUE)]).await.json();
    let token = body["access_token"].as_str().unwrap();
    assert!(token.starts_with("stk_at_"));
    let said = people.fence.introspect("web", token).await;
    assert_eq!((&said["sub"], &said["aud"], &said["acr"]), (&json!(ADA), &json!(OPAQUE), &json!("2")));
    assert_eq!(said["auth_time"], START.as_secs());
    let code = people.code("web", &both).await;
    assert!(is(&people.redeem("web", &code, &[("resource", API)]).await, (400, "invalid_target")));
}

#[tokio::test]
async fn c6_tokens_of_a_person_who_is_disabled_are_dead_at_once() {
    let people = signed_in().await;
    let tokens = people.tokens("web", &[]).await;
    assert_eq!(people.fence.introspect("web", tokens["access_token"].as_str().unwrap()).await["active"], true);
    people.change_ada(|ada| ada.disabled = true).await;
    assert_eq!(
        people.fence.introspect("web", tokens["access_token"].as_str().unwrap()).await,
        json!({"active": false})
    );
    assert_eq!(
        people.fence.introspect("web", tokens["refresh_token"].as_str().unwrap()).await,
        json!({"active": false})
    );
    assert!(people.fence.clock.now() > START || people.fence.clock.now() == START);
}
