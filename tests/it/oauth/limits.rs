//! B25: too many requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, header};
use serde_json::json;
use stockade::limits::Limit;

use super::fence::{Answer, Fence, basic, secret, wish};

/// A request of `client` from `address`.
async fn from(fence: &Fence, address: &str, path: &str, client: &str, body: &str) -> Answer {
    let peer: SocketAddr = format!("{address}:4711").parse().unwrap();
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic(client, &secret(client)))
        .extension(ConnectInfo(peer))
        .body(Body::from(body.to_owned()))
        .unwrap();
    fence.send(request).await
}

const GRANT: &str = "grant_type=client_credentials";

#[tokio::test]
async fn b25_an_address_over_its_limit_is_429_before_anything_is_read() {
    let mut wish = wish();
    wish.settings.token_address = Limit::per_second(1, 3).unwrap();
    let fence = Fence::with(wish).await;
    for _ in 0..3 {
        assert_eq!(from(&fence, "192.0.2.1", "/oauth/token", "app", GRANT).await.status, 200);
    }
    for client in ["app", "nobody"] {
        let answer = from(&fence, "192.0.2.1", "/oauth/token", client, "%").await;
        assert_eq!(answer.error(), (429, "temporarily_unavailable".to_owned()), "{client}");
        assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    }
    assert_eq!(from(&fence, "192.0.2.2", "/oauth/token", "app", GRANT).await.status, 200, "another address");
    let event = &fence.events_of("rate.limited", 1).await[0];
    assert_eq!((&event["count"], &event["reason"]), (&json!(2), &json!("rate_limited")));
    assert_eq!(event["personal"]["address"], "192.0.2.1");
    fence.clock.advance(Duration::from_secs(1));
    assert_eq!(from(&fence, "192.0.2.1", "/oauth/token", "app", GRANT).await.status, 200, "after Retry-After");
}

#[tokio::test]
async fn b25_a_client_over_its_limit_is_429_and_others_are_not() {
    let mut wish = wish();
    wish.settings.token_client = Limit::new(2, Duration::from_secs(60), 2).unwrap();
    let fence = Fence::with(wish).await;
    for _ in 0..2 {
        assert_eq!(fence.ask("app", &[]).await.status, 200);
    }
    let answer = fence.ask("app", &[]).await;
    assert_eq!(answer.error(), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(answer.header(header::RETRY_AFTER), Some("30"), "rounded up to when one more passes");
    assert_eq!(fence.ask("rs", &[]).await.status, 200);
    let event = &fence.events_of("rate.limited", 1).await[0];
    assert_eq!(event["personal"]["principal"], r#"Client::"app""#);
}

#[tokio::test]
async fn b25_failures_of_others_do_not_use_up_a_client_s_limit() {
    let mut wish = wish();
    wish.settings.token_client = Limit::new(1, Duration::from_secs(60), 1).unwrap();
    let fence = Fence::with(wish).await;
    for _ in 0..20 {
        let form = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "guess")];
        assert_eq!(fence.post("/oauth/token", None, &form).await.error().0, 401);
    }
    assert_eq!(fence.ask("app", &[]).await.status, 200);
}

#[tokio::test]
async fn b25_a_limit_never_makes_a_token_inactive_and_revocation_is_503() {
    let mut wish = wish();
    wish.settings.address = Limit::per_second(1, 1).unwrap();
    let fence = Fence::with(wish).await;
    let token = fence.token("app", &[]).await;
    let body = format!("token={token}");
    let answer = from(&fence, "192.0.2.1", "/oauth/introspect", "app", &body).await;
    assert_eq!(answer.json()["active"], true);
    let answer = from(&fence, "192.0.2.1", "/oauth/introspect", "app", &body).await;
    assert_eq!(answer.error(), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
    assert_eq!(from(&fence, "192.0.2.1", "/oauth/revoke", "app", "token=x").await.status, 200);
    let answer = from(&fence, "192.0.2.1", "/oauth/revoke", "app", &body).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()), "RFC 7009 2.2.1");
    assert_eq!(answer.header(header::RETRY_AFTER), Some("1"));
}
