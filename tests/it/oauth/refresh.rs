//! B9 to B14, C8: refresh tokens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stockade::audit_log::{Subject, Thresholds};
use stockade::base::{Clock as _, ManualClock};
use stockade::model::{Acr, PrincipalRef};
use stockade::store::{consents, grants, refresh_tokens, sessions};

use super::codes::part;
use super::fence::{API, Answer, Fence, OPAQUE, OTHER, START, wish};
use super::people::{ADA, People};
use crate::support::stores::{self, stores};

const REFUSED: (u16, &str) = (400, "invalid_grant");
const OFFLINE: (&str, &str) = ("scope", "openid offline_access notes:read notes:write");

fn is(answer: &Answer, (status, error): (u16, &str)) -> bool {
    answer.error() == (status, error.to_owned())
}

fn refresh_token(body: &Value) -> String {
    body["refresh_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

async fn on_each() -> Vec<(&'static str, People)> {
    let mut all = Vec::new();
    for store in stores().await {
        let name = store.name;
        let fence = Fence::populated(store, wish()).await;
        all.push((name, signed_in(People::on(fence).await).await));
    }
    all
}

async fn signed_in(people: People) -> People {
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.agree("one").await;
    people
}

#[tokio::test]
async fn b9_a_public_client_rotates_and_an_old_token_after_the_new_one_was_used_is_theft() {
    for (name, people) in on_each().await {
        people.fence.audit.notice(Thresholds { replays: true, denials: 0, names: 0, limited: 0 });
        let first = people.tokens("one", &[OFFLINE]).await;
        let answer = people.refresh("one", &refresh_token(&first), &[]).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let second = answer.json();
        assert_ne!(refresh_token(&first), refresh_token(&second));
        let third = people.refresh("one", &refresh_token(&second), &[]).await.json();
        assert!(people.is_alive(&third).await);
        assert!(is(&people.refresh("one", &refresh_token(&first), &[]).await, REFUSED), "{name}");
        for tokens in [&first, &second, &third] {
            assert!(!people.is_alive(tokens).await, "{name}: the family ends");
            assert!(is(&people.refresh("one", &refresh_token(tokens), &[]).await, REFUSED), "{name}");
        }
        let events = people.fence.events().await;
        let replayed: Vec<_> = events.iter().filter(|e| e["kind"] == "refresh.replayed").collect();
        assert_eq!(replayed.len(), 1, "{name}");
        let claims = part(first["access_token"].as_str().unwrap(), 1);
        assert_eq!(replayed[0]["data"]["gid"], claims["gid"]);
        let noticed: Vec<_> = people.fence.audit.signals().into_iter().map(|signal| signal.subject).collect();
        let person = PrincipalRef::new("User", claims["sub"].as_str().unwrap());
        assert_eq!(noticed, [Subject::Caller(person)], "{name}: it is a finding about the person");
    }
}

#[tokio::test]
async fn b9_an_old_token_after_its_grace_is_theft_though_the_new_one_was_not_used() {
    let people = signed_in(People::new().await).await;
    let first = people.tokens("one", &[OFFLINE]).await;
    let second = people.refresh("one", &refresh_token(&first), &[]).await.json();
    people.fence.clock.advance(Duration::from_secs(61));
    assert!(is(&people.refresh("one", &refresh_token(&first), &[]).await, REFUSED));
    assert!(!people.is_alive(&second).await);
    assert!(is(&people.refresh("one", &refresh_token(&second), &[]).await, REFUSED));
}

#[tokio::test]
async fn b10_when_the_answer_was_lost_the_old_token_gives_a_fresh_pair_and_the_lost_one_is_dead() {
    for (name, people) in on_each().await {
        let first = people.tokens("one", &[OFFLINE]).await;
        let lost = people.refresh("one", &refresh_token(&first), &[]).await.json();
        people.fence.clock.advance(Duration::from_secs(59));
        let answer = people.refresh("one", &refresh_token(&first), &[]).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let second = answer.json();
        assert!(people.is_alive(&second).await && !people.is_alive(&lost).await, "{name}");
        assert!(people.is_alive(&first).await, "{name}: what came before stays");
        let third = people.refresh("one", &refresh_token(&second), &[]).await;
        assert_eq!(third.status, 200, "{name}");
        assert!(is(&people.refresh("one", &refresh_token(&lost), &[]).await, REFUSED), "{name}: who has the lost one?");
        assert!(!people.is_alive(&third.json()).await, "{name}: not the client, so the family ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_of_fifty_at_once_with_one_token_one_pair_is_left_alive() {
    for (name, people) in on_each().await {
        let first = people.tokens("one", &[OFFLINE]).await;
        let token = refresh_token(&first);
        let answers = futures_util::future::join_all((0..50).map(|_| people.refresh("one", &token, &[]))).await;
        let served: Vec<Value> = answers.iter().filter(|a| a.status == 200).map(Answer::json).collect();
        assert!(!served.is_empty(), "{name}");
        let mut alive = Vec::new();
        for body in &served {
            if people.is_alive(body).await {
                alive.push(body);
            }
        }
        assert_eq!(alive.len(), 1, "{name}: of {} that were served", served.len());
        assert_eq!(people.refresh("one", &refresh_token(alive[0]), &[]).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn b11_what_was_rotated_stays_rotated_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("s.db").display());
    let open = async || stores::at("SQLite", &url).await;
    let clock = Arc::new(ManualClock::at(START));
    let people = signed_in(People::on(Fence::on(open().await, Arc::clone(&clock), wish()).await).await).await;
    let first = people.tokens("one", &[OFFLINE]).await;
    let second = people.refresh("one", &refresh_token(&first), &[]).await.json();
    let third = people.refresh("one", &refresh_token(&second), &[]).await.json();
    people.fence.store.store.close().await;
    drop(people);
    let fence = Fence::on(open().await, clock, wish()).await;
    let again = People::restarted(fence);
    assert!(is(&again.refresh("one", &refresh_token(&first), &[]).await, REFUSED));
    assert!(!again.is_alive(&third).await);
}

#[tokio::test]
async fn b12_a_client_that_proves_itself_keeps_its_token_and_it_is_worth_nothing_to_another() {
    for (name, people) in on_each().await {
        let first = people.tokens("web", &[OFFLINE]).await;
        let token = refresh_token(&first);
        for _ in 0..3 {
            let body = people.refresh("web", &token, &[]).await.json();
            assert!(body.get("refresh_token").is_none() && people.is_alive(&body).await, "{name}: {body}");
        }
        people.fence.change("app", |client| client.grants.push(stockade::model::GrantType::RefreshToken)).await;
        assert!(is(&people.refresh("app", &token, &[]).await, REFUSED), "{name}: another client");
        assert!(is(&people.refresh("one", &token, &[]).await, REFUSED), "{name}: a public one");
        assert_eq!(people.refresh("web", &token, &[]).await.status, 200, "{name}: and nothing has ended");
        people.fence.clock.advance(Duration::from_secs(13 * 86_400));
        assert_eq!(people.refresh("web", &token, &[]).await.status, 200, "{name}: used, it lives on");
        people.fence.clock.advance(Duration::from_secs(15 * 86_400));
        assert!(is(&people.refresh("web", &token, &[]).await, REFUSED), "{name}: unused, it does not");
    }
}

#[tokio::test]
async fn b13_a_refresh_may_narrow_and_never_widens() {
    let people = signed_in(People::new().await).await;
    let with = [("scope", "openid offline_access notes:read"), ("resource", API), ("resource", OPAQUE)];
    let token = refresh_token(&people.tokens("web", &with).await);
    let narrow = people.refresh("web", &token, &[("scope", "notes:read"), ("resource", OPAQUE)]).await.json();
    assert_eq!(narrow["scope"], "notes:read");
    assert!(narrow["access_token"].as_str().unwrap().starts_with("stk_at_") && narrow.get("id_token").is_none());
    let whole = people.refresh("web", &token, &[]).await.json();
    assert_eq!(whole["scope"], "openid offline_access notes:read", "narrowing once is not for good");
    assert!(whole["id_token"].is_string());
    assert!(part(whole["id_token"].as_str().unwrap(), 1).get("nonce").is_none());
    for (with, error) in [
        (("scope", "notes:write"), "invalid_scope"),
        (("scope", "openid admin"), "invalid_scope"),
        (("resource", OTHER), "invalid_target"),
        (("resource", "https://evil.example"), "invalid_target"),
    ] {
        assert!(is(&people.refresh("web", &token, &[with]).await, (400, error)), "{with:?}");
    }
    assert_eq!(people.refresh("web", &token, &[]).await.status, 200);
}

#[tokio::test]
async fn b14_a_refresh_fails_once_what_it_was_granted_on_is_gone() {
    let people = signed_in(People::new().await).await;
    let token = refresh_token(&people.tokens("web", &[OFFLINE]).await);
    let fails = async |people: &People| is(&people.refresh("web", &token, &[]).await, REFUSED);

    people.change_ada(|ada| ada.disabled = true).await;
    assert!(fails(&people).await, "the person is disabled");
    people.change_ada(|ada| ada.disabled = false).await;
    assert!(!fails(&people).await);

    people.fence.change("web", |client| client.disabled = true).await;
    assert!(is(&people.refresh("web", &token, &[]).await, (401, "invalid_client")), "the client is disabled");
    people.fence.change("web", |client| client.disabled = false).await;

    people.fence.change("web", |client| client.scopes.retain(|scope| scope != "offline_access")).await;
    assert!(fails(&people).await, "the client may no longer stay");
    people.fence.change("web", |client| client.scopes.push("offline_access".to_owned())).await;
    assert!(!fails(&people).await);

    people.fence.change("web", |client| client.grants.retain(|grant| grant.as_str() != "refresh_token")).await;
    assert!(is(&people.refresh("web", &token, &[]).await, (400, "unauthorized_client")));
    people.fence.change("web", |client| client.grants.push(stockade::model::GrantType::RefreshToken)).await;

    let mut tx = people.fence.store.store.begin().await.unwrap();
    consents::withdraw(&mut tx, ADA, "web").await.unwrap();
    grants::revoke(&mut tx, grants::Of::Pair { user_id: ADA, client_id: "web" }, START, START).await.unwrap();
    tx.commit().await.unwrap();
    assert!(fails(&people).await, "consent was withdrawn");
}

#[tokio::test]
async fn b14_without_offline_access_a_refresh_token_ends_with_its_session() {
    let people = signed_in(People::new().await).await;
    let session = people.sign_in(Acr::One).await;
    let online = refresh_token(&people.tokens("web", &[("scope", "openid notes:read")]).await);
    let offline = refresh_token(&people.tokens("web", &[OFFLINE]).await);
    assert_eq!(people.refresh("web", &online, &[]).await.status, 200);
    let mut tx = people.fence.store.store.begin().await.unwrap();
    assert!(sessions::end(&mut tx, &session.session_id, ADA).await.unwrap());
    tx.commit().await.unwrap();
    assert!(is(&people.refresh("web", &online, &[]).await, REFUSED));
    assert_eq!(people.refresh("web", &offline, &[]).await.status, 200);
}

#[tokio::test]
async fn b14_policy_is_asked_again_at_every_refresh() {
    let people = signed_in(People::new().await).await;
    let token = refresh_token(&people.tokens("web", &[OFFLINE]).await);
    people.fence.add_policies(
        r#"@id("test.no_writing") forbid (principal is Stockade::User, action == Stockade::Action::"scope:grant", resource)
             when { context.scope == "notes:write" };
           @id("test.hour") forbid (principal is Stockade::User, action == Stockade::Action::"token:issue", resource)
             when { context.authAgeSeconds > 3600 };"#,
    );
    let body = people.refresh("web", &token, &[]).await.json();
    assert_eq!(body["scope"], "openid offline_access notes:read");
    people.fence.clock.advance(Duration::from_secs(3601));
    assert!(is(&people.refresh("web", &token, &[]).await, (400, "access_denied")));
    let event = &people.fence.events_of("token.refused", 1).await[0];
    assert_eq!(event["policies"], json!(["test.hour"]));
}

#[tokio::test]
async fn a_family_ends_at_its_own_time_however_often_it_is_refreshed() {
    let people = signed_in(People::new().await).await;
    let mut token = refresh_token(&people.tokens("one", &[OFFLINE]).await);
    for _ in 0..8 {
        people.fence.clock.advance(Duration::from_secs(11 * 86_400));
        let answer = people.refresh("one", &token, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        token = refresh_token(&answer.json());
    }
    people.fence.clock.advance(Duration::from_secs(3 * 86_400));
    assert!(is(&people.refresh("one", &token, &[]).await, REFUSED), "ninety days");
}

#[tokio::test]
async fn c8_revoking_a_refresh_token_kills_its_access_tokens() {
    for (name, people) in on_each().await {
        for client in ["web", "one"] {
            let tokens = people.tokens(client, &[OFFLINE]).await;
            let token = refresh_token(&tokens);
            if client == "web" {
                assert_eq!(people.fence.introspect("web", &token).await["active"], true, "{name}");
                assert_eq!(people.fence.introspect("app", &token).await, json!({ "active": false }), "{name}");
            }
            let foreign = people.fence.post("/oauth/revoke", Some("app"), &[("token", &token)]).await;
            assert!(is(&foreign, REFUSED), "{name}: another client's");
            assert!(people.is_alive(&tokens).await);
            let form = [("token", token.as_str()), ("client_id", client)];
            let caller = (client == "web").then_some("web");
            let answer = people.fence.post("/oauth/revoke", caller, &form).await;
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            assert!(!people.is_alive(&tokens).await, "{name}: a JWT that knows nothing of it");
            assert!(is(&people.refresh(client, &token, &[]).await, REFUSED), "{name}");
            let again = people.fence.post("/oauth/revoke", caller, &form).await;
            assert_eq!(again.status, 200, "{name}: nothing is left to do");
        }
    }
}

#[tokio::test]
async fn a_refresh_token_is_stored_as_its_digest_alone() {
    let people = signed_in(People::new().await).await;
    let token = refresh_token(&people.tokens("one", &[OFFLINE]).await);
    let digest = stockade::crypto::sha256(token.as_bytes());
    let mut reader = people.fence.store.store.read().await.unwrap();
    let stored = refresh_tokens::find(&mut reader, &digest).await.unwrap().unwrap();
    assert!(stored.expires_at > people.fence.clock.now());
    for nonsense in ["", "x", "stk_rt_x", &token.replace("stk_rt_", "stk_ac_")] {
        let error = people.refresh("one", nonsense, &[]).await.error();
        assert!(error.1 == "invalid_grant" || nonsense.is_empty() && error.1 == "invalid_request", "{nonsense}");
    }
}
