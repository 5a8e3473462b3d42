//! What holds for every page and every form.

use axum::body::Body;
use http::{Request, StatusCode, header};

use super::browser::Browser;
use super::stage::{PASSWORD, Wish, is_secret, stages, with};

/// Every form that changes something.
const FORMS: [&str; 12] = [
    "/login",
    "/login/second",
    "/login/passkey",
    "/consent",
    "/device",
    "/device/allow",
    "/account/password",
    "/account/totp",
    "/account/recovery",
    "/account/sessions/end",
    "/account/apps/withdraw",
    "/login/logout",
];

/// Whether a form with this token and these headers is turned away before anything else about it is looked at.
async fn is_refused(browser: &Browser<'_>, path: &str, token: &str, headers: &[(&str, &str)]) -> bool {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let page = browser.send(request.body(Body::from(format!("csrf={token}"))).unwrap()).await;
    let refused = page.html.contains("<h1>This form is out of date</h1>");
    assert!(!refused || page.status == StatusCode::FORBIDDEN, "{path}: {}", page.status);
    refused
}

#[tokio::test]
async fn a18_no_form_counts_without_its_token_or_from_another_site() {
    let stage = &stages().await[0];
    stage.add_with_password("ada").await;
    let browser = stage.browser().signed_in("ada").await;
    let token = browser.get("/account").await.form().1[0].1.clone();
    let other = stage.browser().signed_in("ada").await;
    let others = other.get("/account").await.form().1[0].1.clone();
    let own: &[(&str, &str)] = &[("sec-fetch-site", "same-origin")];
    for path in FORMS {
        for (token, headers) in [
            ("", own),
            ("AAAA", own),
            (others.as_str(), own),
            (token.as_str(), &[("sec-fetch-site", "cross-site")]),
            (token.as_str(), &[("sec-fetch-site", "same-site")]),
            (token.as_str(), &[("origin", "https://evil.example")]),
            (token.as_str(), &[("origin", "null")]),
        ] {
            assert!(is_refused(&browser, path, token, headers).await, "{path} {headers:?}");
        }
        let again = browser.copy();
        assert!(!is_refused(&again, path, &token, own).await, "{path}");
        if path == "/login/logout" {
            // That was a real one.
            assert!(is_refused(&again, path, &token, own).await, "{path}: its session is over");
            break;
        }
    }
}

#[tokio::test]
async fn a18_without_cookies_a_form_says_what_to_do() {
    let stage = &stages().await[0];
    stage.add_with_password("ada").await;
    let page = stage.browser().get("/login").await;
    let (action, hidden) = page.form();
    let fields: Vec<_> = hidden.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let page = stage.browser().post(&action, &fields).await;
    assert_eq!((page.status, page.title()), (StatusCode::FORBIDDEN, "This form is out of date"));
    assert!(page.html.contains("href=\"/login\""));
    stage.events("auth.refused", 1).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_on_a_page() {
    let stage = &stages().await[0];
    let browser = stage.browser();
    browser.get("/login").await;
    let cases = [
        ("application/json", "{}".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/x-www-form-urlencoded", "a=1&a=2".to_owned(), StatusCode::BAD_REQUEST),
        ("application/x-www-form-urlencoded", format!("a={}", "x".repeat(40_000)), StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (kind, body, status) in cases {
        let request = Request::post("/login").header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
        let page = browser.send(request).await;
        assert_eq!((page.status, page.title()), (status, "That cannot be read"), "{kind}");
    }
}

#[tokio::test]
async fn e7_no_link_is_made_of_what_the_request_says_about_the_host() {
    let stage = &stages().await[0];
    stage.add_with_password("ada").await;
    let browser = stage.browser();
    let request = Request::get("/login")
        .header(header::HOST, "evil.example")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example");
    let page = browser.send(request.body(Body::empty()).unwrap()).await;
    assert!(!page.html.contains("evil.example"), "{}", page.html);
    assert!(!format!("{:?}", page.headers).contains("evil.example"));
}

#[tokio::test]
async fn a_session_s_cookie_has_a_checksum_and_stands_on_no_page() {
    let stage = &stages().await[0];
    stage.add_with_password("ada").await;
    let browser = stage.browser().signed_in("ada").await;
    assert!(is_secret(&browser.cookie("-s").unwrap()));
    for path in ["/account", "/account/password", "/account/totp", "/account/passkeys", "/login/logout", "/device"] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn e10_style_and_script_are_ours_alone_and_kept_for_good() {
    let stage = &stages().await[0];
    let browser = stage.browser();
    let page = browser.get("/login").await;
    let style = super::browser::between(&page.html, "rel=\"stylesheet\" href=\"", "\"").unwrap();
    let script = super::browser::between(&page.html, "<script src=\"", "\"").unwrap();
    let policy = page.header("content-security-policy").unwrap();
    for (path, kind) in [(style, "text/css; charset=utf-8"), (script, "text/javascript; charset=utf-8")] {
        let asset = browser.get(path).await;
        assert_eq!(asset.header(header::CONTENT_TYPE), Some(kind));
        assert_eq!(asset.header(header::CACHE_CONTROL), Some("public, max-age=31536000, immutable"));
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        assert!(policy.contains(&format!("http://localhost:8080{path}")), "{policy}");
    }
    let style = browser.get(style).await.html;
    assert!(!style.contains("url(") && !style.contains("@import"), "a stylesheet loads nothing");
    for other in ["/login/assets/", "/login/assets/x.svg", "/login/assets/../style.css"] {
        let request = Request::get(other).body(Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(stage.router.clone(), request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{other}");
    }
}

#[tokio::test]
async fn below_a_path_and_over_tls_everything_moves_along() {
    let wish = Wish { issuer: "https://id.example/auth", ..Wish::default() };
    let stage = &with(&wish).await[0];
    stage.add_with_password("ada").await;
    let browser = stage.browser();
    let page = browser.sign_in("/auth/login", "ada", PASSWORD).await;
    assert_eq!(page.leads_to(), "/auth/account");
    let set = page.header(header::SET_COOKIE).unwrap();
    assert!(set.starts_with("__Host-stockade-") && set.contains("; Path=/; Secure; HttpOnly"), "{set}");
    let page = browser.get("/auth/account").await;
    assert_eq!(page.status, StatusCode::OK);
    for link in page.html.split("href=\"/").skip(1).chain(page.html.split("action=\"/").skip(1)) {
        assert!(link.starts_with("auth/"), "{link}");
    }
}
