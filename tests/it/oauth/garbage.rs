//! E15, B26: what nobody should send, and what does not exist.

use axum::body::Body;
use http::{Method, Request, header};
use stockade::base::{SeededRng, rng};
use stockade::model::Acr;

use super::fence::{Fence, basic, secret, wish};
use super::people::{People, told};

const PATHS: [&str; 10] = [
    "/oauth/token",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/par",
    "/oauth/device_authorization",
    "/oauth/userinfo",
    "/oauth/authorize",
    "/oauth/logout",
    "/oauth/register",
    "/oauth/register/client_1",
];

/// Words that parsers look for, and bytes that they do not expect.
fn garbage(random: &SeededRng) -> Vec<u8> {
    const WORDS: [&[u8]; 16] = [
        b"grant_type=client_credentials",
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%ff",
        b"client_id=app",
        b"scope=",
        b"resource=",
        b"{\"a\":",
        b"[[[[",
        b"\0",
        b"\xff\xfe",
        b"request_uri=urn:",
        b"client_assertion=e30.e30.",
        b"assertion=",
    ];
    let mut bytes = Vec::new();
    let [count] = rng::bytes::<1>(random);
    for _ in 0..count % 24 {
        let [choice, other] = rng::bytes::<2>(random);
        match WORDS.get(usize::from(choice) % (WORDS.len() + 4)) {
            Some(word) => bytes.extend_from_slice(word),
            None => bytes.push(other),
        }
    }
    bytes
}

#[tokio::test]
async fn e15_no_garbage_breaks_an_endpoint() {
    let mut wish = wish();
    wish.settings.registration.endpoint = true;
    wish.settings.registration.documents = true;
    let fence = Fence::with(wish).await;
    let token = fence.token("app", &[]).await;
    let random = SeededRng::new(15);
    for round in 0..60 {
        for path in PATHS {
            for method in [Method::GET, Method::POST, Method::PUT] {
                let body = garbage(&random);
                let query: String = garbage(&random)
                    .iter()
                    .filter(|b| b.is_ascii_graphic() && !b"#<>\"\\^`{|}".contains(b))
                    .map(|b| char::from(*b))
                    .collect();
                let uri = if round % 2 == 0 { path.to_owned() } else { format!("{path}?{query}") };
                let kind = ["application/x-www-form-urlencoded", "application/json", "text/plain"][round % 3];
                let authorization = match round % 4 {
                    0 => basic("app", &secret("app")),
                    1 => format!("Bearer {token}"),
                    2 => format!("DPoP {token}"),
                    _ => "Basic OjpmOjo=".to_owned(),
                };
                let request = Request::builder().method(method).uri(&uri).header(header::CONTENT_TYPE, kind);
                let request = request.header(header::AUTHORIZATION, authorization).header("dpop", "e30.e30.");
                let answer = fence.send_unchecked(request.body(Body::from(body)).unwrap()).await;
                assert!(answer.status.as_u16() < 500, "{uri}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn e15_a_body_that_is_nested_without_end_is_refused() {
    let mut wish = wish();
    wish.settings.registration.endpoint = true;
    let fence = Fence::with(wish).await;
    for body in ["[".repeat(60_000), "{\"a\":".repeat(12_000), format!("{{\"jwks\":{}", "[".repeat(50_000))] {
        let request = Request::post("/oauth/register").header(header::CONTENT_TYPE, "application/json");
        let answer = fence.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.error(), (400, "invalid_client_metadata".to_owned()));
    }
}

#[tokio::test]
async fn b26_there_is_no_implicit_no_password_and_no_none() {
    let people = People::new().await;
    people.sign_in(Acr::Two).await;
    people.agree("web").await;
    for kind in ["token", "id_token", "code token", "code id_token", "id_token token", "none"] {
        assert_eq!(
            told("web", &people.authorize("web", &[("response_type", kind)]).await),
            "unsupported_response_type"
        );
    }
    for mode in ["fragment", "form_post"] {
        assert_eq!(told("web", &people.authorize("web", &[("response_mode", mode)]).await), "invalid_request");
    }
    for grant in ["password", "implicit", "none"] {
        let form = [("grant_type", grant), ("username", "ada"), ("password", "x")];
        let answer = people.fence.post("/oauth/token", Some("web"), &form).await;
        assert_eq!(answer.error(), (400, "unsupported_grant_type".to_owned()), "{grant}");
    }
}
