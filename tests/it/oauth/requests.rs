//! B1, B5, B26 and bad input: what is not a well-formed request.

use axum::body::Body;
use http::{Method, Request, header};
use proptest::prelude::*;

use super::fence::{Fence, basic, secret};

const ENDPOINTS: [&str; 3] = ["/oauth/token", "/oauth/introspect", "/oauth/revoke"];

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::AUTHORIZATION, basic("app", &secret("app")))
        .body(body.into())
        .unwrap()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn b1_get_is_405_with_allow_post() {
    let fence = Fence::new().await;
    for path in ENDPOINTS {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let answer = fence.call(method.clone(), path).await;
            assert_eq!(answer.error(), (405, "invalid_request".to_owned()), "{method} {path}");
            assert_eq!(answer.header(header::ALLOW), Some("POST"));
        }
    }
}

#[tokio::test]
async fn b1_a_json_body_is_400() {
    let fence = Fence::new().await;
    for path in ENDPOINTS {
        for content_type in
            ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded2"]
        {
            let body = r#"{"grant_type":"client_credentials","token":"x"}"#;
            let answer = fence.send(post(path, content_type, body)).await;
            assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{path} {content_type}");
        }
        let bare = Request::post(path).body(Body::from("grant_type=client_credentials")).unwrap();
        assert_eq!(fence.send(bare).await.error().0, 400, "{path} without a type");
    }
    let parameters = fence
        .send(post(
            "/oauth/token",
            "Application/X-WWW-Form-URLEncoded ; charset=utf-8",
            "grant_type=client_credentials",
        ))
        .await;
    assert_eq!(parameters.status, 200, "{parameters:?}");
}

#[tokio::test]
async fn b1_parameters_in_the_query_are_400() {
    let fence = Fence::new().await;
    for path in ENDPOINTS {
        for query in ["grant_type=client_credentials", "client_secret=x", "x"] {
            let answer =
                fence.send(post(&format!("{path}?{query}"), FORM, "grant_type=client_credentials&token=x")).await;
            assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{path}?{query}");
        }
    }
}

#[tokio::test]
async fn b1_a_body_over_64_kib_is_413() {
    let fence = Fence::new().await;
    let fits = format!("grant_type=client_credentials&x={}", "a".repeat(65_536 - 32));
    assert_eq!(fits.len(), 65_536);
    for path in ENDPOINTS {
        let answer = fence.send(post(path, FORM, format!("{fits}a"))).await;
        assert_eq!(answer.error(), (413, "invalid_request".to_owned()), "{path}");
        // The same without a length that would give it away.
        let chunks = [40_000, 40_000].map(|n| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'a'; n])));
        let stream = Body::from_stream(futures_util::stream::iter(chunks));
        assert_eq!(fence.send(post(path, FORM, stream)).await.error().0, 413, "{path}, chunked");
        let broken = vec![Ok(bytes::Bytes::from("a")), Err(std::io::Error::other("gone"))];
        let stream = Body::from_stream(futures_util::stream::iter(broken));
        assert_eq!(fence.send(post(path, FORM, stream)).await.error().0, 400, "{path}, broken off");
    }
    assert_eq!(fence.send(post("/oauth/token", FORM, fits)).await.status, 200);
}

#[tokio::test]
async fn repeated_parameters_are_400() {
    let fence = Fence::new().await;
    for body in [
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&scope=notes:read&scope=notes:write",
        "grant_type=client_credentials&scope=&scope=notes:write",
        "grant_type=client_credentials&client_id=app&client_id=app",
        "grant_type=client_credentials&unknown=1&unknown=1",
    ] {
        let answer = fence.send(post("/oauth/token", FORM, body)).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{body}");
    }
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let fence = Fence::new().await;
    let answer = fence.ask("app", &[("ui_locales", "de"), ("claims", "{}"), ("audience", "x"), ("empty", "")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn b5_a_grant_type_that_does_not_exist_is_unsupported() {
    let fence = Fence::new().await;
    for grant in [
        "password",
        "implicit",
        "none",
        "CLIENT_CREDENTIALS",
        "client_credentials ",
        "urn:ietf:params:oauth:grant-type:uma-ticket",
    ] {
        let answer = fence.post("/oauth/token", Some("app"), &[("grant_type", grant)]).await;
        assert_eq!(answer.error(), (400, "unsupported_grant_type".to_owned()), "{grant}");
    }
    for form in [&[][..], &[("grant_type", "")], &[("scope", "notes:read")]] {
        let answer = fence.post("/oauth/token", Some("app"), form).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{form:?}");
    }
}

#[tokio::test]
async fn b5_a_grant_that_the_client_may_not_use_is_400_unauthorized_client() {
    let fence = Fence::new().await;
    fence.change("app", |client| client.grants.clear()).await;
    assert_eq!(fence.ask("app", &[]).await.error(), (400, "unauthorized_client".to_owned()));
    let event = &fence.events_of("token.refused", 1).await[0];
    assert_eq!(event["reason"], "unauthorized_client");
    assert_eq!(event["personal"]["principal"], r#"Client::"app""#);
}

#[tokio::test]
async fn b26_a_token_in_the_query_is_no_authentication() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    let request = Request::post(format!("/oauth/introspect?access_token={token}"))
        .header(header::CONTENT_TYPE, FORM)
        .body(Body::from(format!("token={token}")))
        .unwrap();
    assert_eq!(fence.send(request).await.error(), (400, "invalid_request".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is posted, the answer is a well-formed OAuth answer (the harness checks its shape), and never our failure.
    #[test]
    fn any_body_gets_an_answer_of_ours(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..24),
        forms in proptest::collection::vec(("[a-z_]{1,12}", "\\PC{0,30}"), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fence = Fence::new().await;
            let forms = serde_urlencoded::to_string(&forms).unwrap().into_bytes();
            for body in bodies.into_iter().chain([forms]) {
                for path in ENDPOINTS {
                    let answer = fence.send(post(path, FORM, body.clone())).await;
                    assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
                }
            }
        });
    }
}
