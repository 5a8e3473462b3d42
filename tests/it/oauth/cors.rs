//! A22: what pages of other origins may read.

use axum::body::Body;
use http::{HeaderMap, Method, Request, header};

use super::fence::{Answer, Fence, basic, secret};

const PAGE: &str = "https://app.example";
const OTHER: &str = "https://other.example";

/// Who registered what: two clients, an origin each, and one that is disabled.
async fn fence() -> Fence {
    let fence = Fence::new().await;
    for (id, origins, disabled) in [
        ("page", vec![PAGE, "null"], false),
        ("other", vec![OTHER], false),
        ("gone", vec!["https://gone.example"], true),
    ] {
        let mut client = fence.secret_client(id);
        client.cors_origins = origins.into_iter().map(str::to_owned).collect();
        client.disabled = disabled;
        fence.add(client).await;
    }
    fence
}

const DOCUMENTS: [&str; 4] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource",
];

async fn preflight(fence: &Fence, path: &str, method: &str, origin: &str) -> (u16, HeaderMap) {
    let request = Request::options(path)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization, dpop");
    let answer = fence.send(request.body(Body::empty()).unwrap()).await;
    (answer.status.as_u16(), answer.headers)
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{headers:?}");
    headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|v| v.to_str().unwrap())
}

async fn post(fence: &Fence, path: &str, client: &str, origin: &str, body: &'static str) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic(client, &secret(client)))
        .header(header::ORIGIN, origin);
    fence.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a22_a_preflight_is_answered_for_registered_origins_alone() {
    let fence = fence().await;
    let posts = ["/oauth/token", "/oauth/revoke"].map(|path| (path, "POST"));
    for (path, method) in posts.into_iter().chain(DOCUMENTS.map(|path| (path, "GET"))) {
        for origin in [PAGE, OTHER] {
            let (status, headers) = preflight(&fence, path, method, origin).await;
            assert_eq!((status, allowed(&headers)), (204, Some(origin)), "{path}");
            let methods = headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap();
            assert!(methods.split(", ").any(|m| m == method), "{path}: {methods}");
            let sendable = headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
            for name in ["authorization", "content-type", "dpop"] {
                assert!(sendable.split(", ").any(|h| h == name), "{path}: {sendable}");
            }
            assert_eq!(headers[header::VARY], "origin", "{path}");
        }
        for stranger in
            ["null", "https://app.example:8443", "http://app.example", "https://gone.example", "https://APP.example"]
        {
            let (status, headers) = preflight(&fence, path, method, stranger).await;
            assert_eq!((status, allowed(&headers)), (405, None), "{path} {stranger}");
        }
    }
}

#[tokio::test]
async fn a22_a_page_reads_what_its_own_client_was_answered_and_nothing_else() {
    let fence = fence().await;
    let (grant, revoke) = ("grant_type=client_credentials", "token=nonsense");
    for (path, body) in [("/oauth/token", grant), ("/oauth/revoke", revoke), ("/oauth/token", "grant_type=password")] {
        let answer = post(&fence, path, "page", PAGE, body).await;
        assert_eq!(allowed(&answer.headers), Some(PAGE), "{path} {body}");
        let exposed = answer.headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        assert!(exposed.contains("dpop-nonce") && exposed.contains("www-authenticate"), "{exposed}");
        for stranger in [OTHER, "null", "https://nobody.example"] {
            let answer = post(&fence, path, "page", stranger, body).await;
            assert_eq!(allowed(&answer.headers), None, "{path} {body} from {stranger}");
            assert_eq!(answer.headers[header::VARY], "origin");
        }
    }
    // Who asked is not known: a page of any client may read that.
    let request = Request::post("/oauth/token").header(header::ORIGIN, OTHER).body(Body::empty()).unwrap();
    assert_eq!(allowed(&fence.send(request).await.headers), Some(OTHER));
}

#[tokio::test]
async fn a22_documents_are_for_registered_origins_and_caches_keep_them_apart() {
    let fence = fence().await;
    for path in DOCUMENTS {
        for (origin, expected) in [(PAGE, Some(PAGE)), ("null", None), ("https://nobody.example", None)] {
            let answer =
                fence.send(Request::get(path).header(header::ORIGIN, origin).body(Body::empty()).unwrap()).await;
            assert_eq!((answer.status.as_u16(), allowed(&answer.headers)), (200, expected), "{path} {origin}");
        }
        let plain = fence.get(path).await;
        assert_eq!((allowed(&plain.headers), &plain.headers[header::VARY]), (None, &"origin".parse().unwrap()));
    }
}

#[tokio::test]
async fn a22_introspection_is_closed_to_pages() {
    let fence = fence().await;
    let path = "/oauth/introspect";
    assert_eq!(allowed(&preflight(&fence, path, "POST", PAGE).await.1), None);
    assert_eq!(allowed(&post(&fence, path, "page", PAGE, "token=nonsense").await.headers), None);
}

#[tokio::test]
async fn options_that_no_page_sent_is_no_method_here() {
    let answer = fence().await.call(Method::OPTIONS, "/oauth/token").await;
    assert_eq!((answer.status.as_u16(), answer.headers[header::ALLOW].to_str().unwrap()), (405, "POST"));
}
