//! C9, C10, C11, A22: userinfo.

use axum::body::Body;
use http::{HeaderValue, Method, Request, header};
use serde_json::json;
use stockade::model::Acr;

use super::fence::{API, Answer, ISSUER, START};
use super::people::{ADA, People};

async fn ask(people: &People, method: Method, lines: &[(&'static str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri("/oauth/userinfo");
    for (name, value) in lines {
        request = request.header(*name, HeaderValue::from_str(value).unwrap());
    }
    people.fence.send(request.body(Body::empty()).unwrap()).await
}

async fn signed_in() -> People {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    people
}

async fn token(people: &People, scope: &str, resource: &str) -> String {
    let tokens = people.tokens("web", &[("scope", scope), ("resource", resource)]).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn userinfo_says_of_a_person_what_the_scopes_cover() {
    let people = signed_in().await;
    for (scope, claims) in [
        ("openid", json!({ "sub": ADA })),
        (
            "openid profile",
            json!({ "sub": ADA, "name": "Ada Lovelace", "preferred_username": "ada", "updated_at": START.as_secs() }),
        ),
        ("openid email", json!({ "sub": ADA, "email": "ada@example.org", "email_verified": true })),
    ] {
        let line = bearer(&token(&people, scope, ISSUER).await);
        for method in [Method::GET, Method::POST] {
            let answer = ask(&people, method, &[("authorization", &line)]).await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, claims.clone()), "{scope}");
        }
    }
    people.change_ada(|ada| ada.email = None).await;
    let line = bearer(&token(&people, "openid email", ISSUER).await);
    assert_eq!(ask(&people, Method::GET, &[("authorization", &line)]).await.json(), json!({ "sub": ADA }));
    assert_eq!(ask(&people, Method::PUT, &[]).await.status, 405);
}

#[tokio::test]
async fn c9_without_a_token_with_a_bad_one_without_the_scope_and_with_two() {
    let people = signed_in().await;
    let challenge = |answer: &Answer| answer.header(header::WWW_AUTHENTICATE).unwrap_or("").to_owned();
    let none = ask(&people, Method::GET, &[]).await;
    assert_eq!((none.status.as_u16(), challenge(&none)), (401, "Bearer".to_owned()));
    let bad = ask(&people, Method::GET, &[("authorization", "Bearer nonsense")]).await;
    assert_eq!((bad.status.as_u16(), challenge(&bad)), (401, r#"Bearer error="invalid_token""#.to_owned()));
    let weak = bearer(&token(&people, "notes:read", ISSUER).await);
    let weak = ask(&people, Method::GET, &[("authorization", &weak)]).await;
    let wanted = r#"Bearer error="insufficient_scope", scope="openid""#.to_owned();
    assert_eq!((weak.status.as_u16(), challenge(&weak)), (403, wanted));
    let good = bearer(&token(&people, "openid", ISSUER).await);
    let twice = ask(&people, Method::GET, &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!(twice.status, 400);
}

#[tokio::test]
async fn c10_nothing_but_an_access_token_for_us_will_do() {
    let people = signed_in().await;
    let tokens = people.tokens("web", &[("scope", "openid"), ("resource", ISSUER)]).await;
    let own = people.fence.token("web", &[("resource", ISSUER)]).await;
    for (what, text) in [
        ("an id token", tokens["id_token"].as_str().unwrap()),
        ("a refresh token", tokens["refresh_token"].as_str().unwrap()),
        ("for another audience", &token(&people, "openid", API).await),
    ] {
        let answer = ask(&people, Method::GET, &[("authorization", &bearer(text))]).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
    let answer = ask(&people, Method::GET, &[("authorization", &bearer(&own))]).await;
    assert_eq!(answer.status, 403, "a client is no person");
}

#[tokio::test]
async fn a22_pages_of_registered_origins_may_ask() {
    let people = signed_in().await;
    let origin = "https://web.example";
    people.fence.change("web", |client| client.cors_origins.push(origin.to_owned())).await;
    let line = bearer(&token(&people, "openid", ISSUER).await);
    let answer = ask(&people, Method::GET, &[("authorization", &line), ("origin", origin)]).await;
    assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), Some(origin));
    for other in ["https://evil.example", "null"] {
        let answer = ask(&people, Method::GET, &[("authorization", &line), ("origin", other)]).await;
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None, "{other}");
    }
    let preflight = [("origin", origin), ("access-control-request-method", "GET")];
    assert_eq!(ask(&people, Method::OPTIONS, &preflight).await.status, 204);
}
