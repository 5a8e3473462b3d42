//! C1, C2, C3, A21: pushed authorization requests.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, header};
use stockade::limits::Limit;
use stockade::model::Acr;

use super::fence::{Answer, wish};
use super::people::{People, page, returned, told};

async fn push(people: &People, client: &str, with: &[(&str, &str)]) -> Answer {
    let form = People::usual(client, with);
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    people.fence.post("/oauth/par", (client == "web").then_some(client), &form).await
}

async fn pushed(people: &People, client: &str, with: &[(&str, &str)]) -> String {
    let answer = push(people, client, with).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

async fn go(people: &People, client: &str, uri: &str) -> Answer {
    let query = serde_urlencoded::to_string([("client_id", client), ("request_uri", uri)]).unwrap();
    people.get(&format!("/oauth/authorize?{query}")).await
}

async fn signed_in() -> People {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.agree("one").await;
    people
}

#[tokio::test]
async fn c1_a_good_request_is_given_a_name_for_a_minute() {
    let people = signed_in().await;
    for client in ["web", "one"] {
        let answer = push(&people, client, &[]).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["expires_in"], 60);
        let uri = body["request_uri"].as_str().unwrap();
        assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"));
        let there = returned(client, &go(&people, client, uri).await);
        assert_eq!(there["state"], "st&te");
        assert_eq!(people.redeem(client, &there["code"], &[]).await.status, 200);
    }
}

#[tokio::test]
async fn c1_a_bad_one_is_refused_as_the_authorization_endpoint_would() {
    let people = signed_in().await;
    let get = people.fence.call(Method::GET, "/oauth/par").await;
    assert_eq!((get.status.as_u16(), get.header(header::ALLOW)), (405, Some("POST")));
    for (with, error) in [
        (("request_uri", "urn:ietf:params:oauth:request_uri:x"), "invalid_request"),
        (("request", "a.b.c"), "request_not_supported"),
        (("redirect_uri", "https://evil.example/cb"), "invalid_request"),
        (("redirect_uri", ""), "invalid_request"),
        (("client_id", "one"), "invalid_request"),
        (("scope", "admin"), "invalid_scope"),
        (("response_type", "token"), "unsupported_response_type"),
        (("resource", "https://evil.example"), "invalid_target"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
        (("state", &"s".repeat(4097)), "invalid_request"),
    ] {
        assert_eq!(push(&people, "web", &[with]).await.error(), (400, error.to_owned()), "{with:?}");
    }
    let nobody = people.fence.post("/oauth/par", None, &[("client_id", "web")]).await;
    assert_eq!(nobody.error(), (401, "invalid_client".to_owned()), "a client that has a secret proves itself");
    let request = Request::post("/oauth/par").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let large = request.body(Body::from(format!("x={}", "y".repeat(70_000)))).unwrap();
    assert_eq!(people.fence.send(large).await.status, 413);
}

#[tokio::test]
async fn c1_too_many_are_told_to_wait() {
    let mut wish = wish();
    wish.settings.token_address = Limit::per_second(1, 3).unwrap();
    let people = People::with(wish).await;
    let mut last = 201;
    for _ in 0..5 {
        last = push(&people, "web", &[]).await.status.as_u16();
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn c2_a_name_lasts_through_the_login_and_until_the_code() {
    let people = People::new().await;
    let uri = pushed(&people, "web", &[]).await;
    for _ in 0..3 {
        assert_eq!(page(&go(&people, "web", &uri).await), "/login", "again after a reload");
    }
    let answer = go(&people, "web", &uri).await;
    let flow = answer.header(header::LOCATION).unwrap().split_once('?').unwrap().1.to_owned();
    people.fence.clock.advance(Duration::from_secs(300));
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let resume = format!("/oauth/authorize?{flow}");
    assert!(returned("web", &people.get(&resume).await).contains_key("code"), "the login may take its time");
    assert_eq!(go(&people, "web", &uri).await.status, 400, "answered");
    assert_eq!(people.get(&resume).await.status, 400, "answered");
}

#[tokio::test]
async fn c2_a_name_that_is_late_used_unknown_or_another_client_s_is_a_page() {
    let people = signed_in().await;
    let uri = pushed(&people, "web", &[]).await;
    assert_eq!(go(&people, "one", &uri).await.status, 400, "another client");
    assert_eq!(go(&people, "web", &format!("{uri}x")).await.status, 400, "unknown");
    assert!(returned("web", &go(&people, "web", &uri).await).contains_key("code"));
    assert_eq!(go(&people, "web", &uri).await.status, 400, "used");
    let uri = pushed(&people, "web", &[]).await;
    people.fence.clock.advance(Duration::from_secs(60));
    assert_eq!(go(&people, "web", &uri).await.status, 400, "late");
    let uri = pushed(&people, "web", &[]).await;
    people.fence.change("web", |client| client.redirect_uris = vec!["https://web.example/new".to_owned()]).await;
    assert_eq!(go(&people, "web", &uri).await.status, 400, "registered no more");
}

#[tokio::test]
async fn c2_what_stands_beside_the_name_changes_nothing() {
    let people = signed_in().await;
    let uri = pushed(&people, "web", &[("scope", "openid")]).await;
    let query = serde_urlencoded::to_string([
        ("client_id", "web"),
        ("request_uri", &uri),
        ("scope", "openid notes:write"),
        ("redirect_uri", "https://evil.example/cb"),
        ("state", "other"),
    ]);
    let there = returned("web", &people.get(&format!("/oauth/authorize?{}", query.unwrap())).await);
    assert_eq!(there["state"], "st&te");
    assert_eq!(people.redeem("web", &there["code"], &[]).await.json()["scope"], "openid");
}

#[tokio::test]
async fn c3_who_must_push_may_not_ask_in_the_open() {
    let people = signed_in().await;
    people.fence.change("web", |client| client.require_par = true).await;
    assert_eq!(told("web", &people.authorize("web", &[]).await), "invalid_request");
    let uri = pushed(&people, "web", &[]).await;
    assert!(returned("web", &go(&people, "web", &uri).await).contains_key("code"));
}

#[tokio::test]
async fn a21_nothing_of_a_pushed_request_is_in_a_cookie_or_a_url() {
    let people = People::new().await;
    let secret = "only-between-client-and-server";
    let uri = pushed(&people, "web", &[("state", secret), ("nonce", secret), ("login_hint", secret)]).await;
    let answer = go(&people, "web", &uri).await;
    assert_eq!(page(&answer), "/login");
    assert!(!format!("{answer:?}").contains(secret));
    let cookie = people.cookies().into_iter().find(|(name, _)| name.contains("-f-")).unwrap();
    assert!(cookie.1.len() < 800, "a name, sealed: {}", cookie.1.len());
}
