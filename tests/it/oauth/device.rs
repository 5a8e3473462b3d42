//! B21, B22: the device grant, at the endpoints; the page is tested with room login.

use std::time::Duration;

use serde_json::Value;
use stockade::base::Clock as _;
use stockade::model::{Acr, Client, Grant, GrantType};
use stockade::store::{device_codes, grants};

use super::fence::{API, Answer, Fence, ISSUER, wish};
use super::people::{ADA, People, public};
use crate::support::stores::stores;

const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");

async fn each() -> Vec<(&'static str, People)> {
    let mut all = Vec::new();
    for store in stores().await {
        let name = store.name;
        let people = People::on(Fence::populated(store, wish()).await).await;
        let tv = Client {
            grants: vec![GrantType::DeviceCode, GrantType::RefreshToken],
            scopes: ["openid", "offline_access", "notes:read"].map(str::to_owned).to_vec(),
            resources: vec![API.to_owned()],
            default_resource: API.to_owned(),
            ..public(people.fence.secret_client("tv"))
        };
        people.fence.add(tv).await;
        all.push((name, people));
    }
    all
}

async fn begin(people: &People) -> Value {
    let answer = people.fence.post("/oauth/device_authorization", None, &[("client_id", "tv")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    people.fence.keep_secret(answer.json()["device_code"].as_str().unwrap());
    answer.json()
}

async fn poll(people: &People, begun: &Value) -> Answer {
    let code = begun["device_code"].as_str().unwrap();
    let answer = people.fence.post("/oauth/token", None, &[GRANT, ("client_id", "tv"), ("device_code", code)]).await;
    if answer.status == 200 {
        for member in ["access_token", "refresh_token", "id_token"] {
            people.fence.keep_secret(answer.json()[member].as_str().unwrap());
        }
    }
    answer
}

/// What the page does when ada says yes.
async fn approve(people: &People, begun: &Value) {
    let now = people.fence.clock.now();
    let user_code = begun["user_code"].as_str().unwrap().replace('-', "");
    let grant = Grant {
        grant_id: format!("gr_{user_code}"),
        client_id: "tv".to_owned(),
        user_id: ADA.to_owned(),
        session_id: None,
        scopes: ["openid", "offline_access", "notes:read"].map(str::to_owned).to_vec(),
        resources: vec![API.to_owned()],
        acr: Acr::One,
        amr: vec!["pwd".to_owned()],
        auth_time: now,
        nonce: None,
        dpop_jkt: None,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(86_400)),
        revoked_at: None,
    };
    let mut tx = people.fence.store.store.begin().await.unwrap();
    grants::insert(&mut tx, &grant).await.unwrap();
    assert!(device_codes::approve(&mut tx, &user_code, &grant.grant_id, now).await.unwrap());
    tx.commit().await.unwrap();
}

fn refused(answer: &Answer) -> String {
    let (status, error) = answer.error();
    assert_eq!(status, 400, "{answer:?}");
    error
}

#[tokio::test]
async fn b21_a_device_waits_slows_down_and_is_served_once() {
    for (name, people) in each().await {
        let begun = begin(&people).await;
        assert_eq!(begun["verification_uri"], format!("{ISSUER}/device"));
        assert_eq!((&begun["expires_in"], &begun["interval"]), (&600.into(), &5.into()));
        assert_eq!(refused(&poll(&people, &begun).await), "authorization_pending", "{name}");
        people.fence.clock.advance(Duration::from_secs(1));
        assert_eq!(refused(&poll(&people, &begun).await), "slow_down", "{name}");
        people.fence.clock.advance(Duration::from_secs(6));
        assert_eq!(refused(&poll(&people, &begun).await), "slow_down", "{name}: it is ten seconds now");
        people.fence.clock.advance(Duration::from_secs(16));
        assert_eq!(refused(&poll(&people, &begun).await), "authorization_pending", "{name}");
        approve(&people, &begun).await;
        people.fence.clock.advance(Duration::from_secs(16));
        let answer = poll(&people, &begun).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let body = answer.json();
        assert!(people.is_alive(&body).await, "{name}");
        assert!(body["refresh_token"].is_string() && body["id_token"].is_string(), "{name}: {body}");
        assert_eq!(refused(&poll(&people, &begun).await), "invalid_grant", "{name}: once");
        let event = &people.fence.events_of("token.issued", 1).await[0];
        assert_eq!(event["data"]["grant"], GRANT.1, "{name}");
    }
}

#[tokio::test]
async fn b21_of_fifty_polls_at_once_one_is_served() {
    for (name, people) in each().await {
        let begun = begin(&people).await;
        approve(&people, &begun).await;
        let answers = futures_util::future::join_all((0..50).map(|_| poll(&people, &begun))).await;
        let served = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(served, 1, "{name}");
        assert!(answers.iter().all(|answer| answer.status == 200 || refused(answer) == "invalid_grant"), "{name}");
    }
}

#[tokio::test]
async fn b21_refused_and_expired_are_told_apart() {
    for (name, people) in each().await {
        let begun = begin(&people).await;
        let user_code = begun["user_code"].as_str().unwrap().replace('-', "");
        let mut tx = people.fence.store.store.begin().await.unwrap();
        assert!(device_codes::deny(&mut tx, &user_code, people.fence.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(refused(&poll(&people, &begun).await), "access_denied", "{name}");
        let begun = begin(&people).await;
        people.fence.clock.advance(Duration::from_secs(601));
        assert_eq!(refused(&poll(&people, &begun).await), "expired_token", "{name}");
    }
}

#[tokio::test]
async fn a_device_gets_no_code_for_what_its_client_may_not_have() {
    let (_, people) = each().await.remove(0);
    for (more, error) in
        [(("scope", "notes:write"), "invalid_scope"), (("resource", "https://else.example"), "invalid_target")]
    {
        let form = [("client_id", "tv"), more];
        let answer = people.fence.post("/oauth/device_authorization", None, &form).await;
        assert_eq!(refused(&answer), error);
    }
    let answer = people.fence.post("/oauth/device_authorization", Some("app"), &[]).await;
    assert_eq!(refused(&answer), "unauthorized_client");
    let form = [GRANT, ("client_id", "tv"), ("device_code", "stk_dc_nobody")];
    assert_eq!(refused(&people.fence.post("/oauth/token", None, &form).await), "invalid_grant");
}
