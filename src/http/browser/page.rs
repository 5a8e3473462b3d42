//! An answer in HTML, with a policy that names exactly what it may load and where its forms may lead.

use std::fmt::Write as _;

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Site;
use super::assets::{PASSKEY, STYLE};
use crate::http::problem::Problem;

/// What the frame around every page needs. Templates extend `frame.html` and call it `frame`.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Host and port of the issuer.
    pub host: String,
    /// The stylesheet's path.
    pub style: String,
    /// The script's path.
    pub script: String,
    /// The script's digest.
    pub integrity: &'static str,
}

impl Frame {
    /// The frame of `site`.
    pub fn of(site: &Site) -> Self {
        Self {
            host: site.host().to_owned(),
            style: site.path(&STYLE.path),
            script: site.path(&PASSKEY.path),
            integrity: &PASSKEY.integrity,
        }
    }
}

/// A page that is about to be answered.
#[derive(Debug)]
pub struct Page {
    status: StatusCode,
    html: Option<String>,
    style: String,
    script: Option<String>,
    leads_to: Vec<String>,
    headers: HeaderMap,
}

impl Page {
    /// `template`, rendered, with status 200.
    pub fn new(site: &Site, template: &impl Template) -> Self {
        let html = template.render();
        if let Err(error) = &html {
            tracing::error!(%error, "a page could not be rendered");
        }
        Self {
            status: StatusCode::OK,
            html: html.ok(),
            style: format!("{}{}", site.origin(), site.path(&STYLE.path)),
            script: None,
            leads_to: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Allows the passkey script.
    #[must_use]
    pub fn with_script(mut self, site: &Site) -> Self {
        self.script = Some(format!("{}{}", site.origin(), site.path(&PASSKEY.path)));
        self
    }

    /// Says that a form on this page may end at `uri` after redirects: browsers hold those against `form-action` too.
    #[must_use]
    pub fn leading_to(mut self, uri: &str) -> Self {
        self.leads_to.extend(source_of(uri));
        self
    }

    /// Adds `Set-Cookie`, if there is one.
    #[must_use]
    pub fn cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        self.headers.extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        self
    }

    /// Adds `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(mut self, secs: u64) -> Self {
        self.headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        self
    }

    fn policy(&self) -> String {
        let mut policy = format!(
            "default-src 'none'; style-src {}; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
            self.style
        );
        for source in &self.leads_to {
            // Only what `source_of` made of a URI.
            write!(policy, " {source}").ok();
        }
        if let Some(script) = &self.script {
            write!(policy, "; script-src {script}").ok();
        }
        policy
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy = HeaderValue::try_from(self.policy());
        let (Some(html), Ok(policy)) = (self.html, policy) else {
            return Problem::new(crate::http::Kind::Internal).into_response();
        };
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        guard(headers);
        response
    }
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// 303 to `location`, which must be one of ours or a verified redirect URI, setting `cookies`.
pub fn see_other(location: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        tracing::error!("a redirect was about to lead to what is no header value");
        return Problem::new(crate::http::Kind::Internal).into_response();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.extend(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)));
    guard(headers);
    response
}

/// The CSP source (CSP 3, 2.3.1) that `uri` is of: scheme, host and port, or the scheme alone for hosts that a source cannot
/// name, such as `[::1]`, and for the schemes of apps. An app on this machine listens on whatever port is free (RFC 8252 7.3).
/// `None` for what is no URI.
fn source_of(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme {
        return None;
    }
    let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let plain = |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
    match (scheme, host) {
        ("http", Some(host)) if host.split(':').next() == Some("127.0.0.1") => Some("http://127.0.0.1:*".to_owned()),
        ("http" | "https", Some(host)) if plain(host) => Some(format!("{scheme}://{host}")),
        _ => Some(format!("{scheme}:")),
    }
}

/// What went wrong, for a person: what, and what to do about it.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The frame.
    pub frame: Frame,
    /// What happened, in a few words.
    pub title: &'a str,
    /// One or two sentences: why, and what to do next.
    pub message: &'a str,
    /// Where to go on: a link's text and address.
    pub next: Option<(&'a str, String)>,
    /// `X-Request-ID`, for whoever is asked for help.
    pub request_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn page(site: &Site) -> Page {
        let frame = Frame::of(site);
        let hostile = "<script>alert(1)</script>";
        Page::new(site, &ErrorPage { frame, title: hostile, message: hostile, next: None, request_id: "\"><b>" })
    }

    #[test]
    fn a16_a17_a_page_loads_nothing_but_its_own_and_lies_in_no_frame() {
        let site = Site::new("https://a.example/auth", &[Secret::new("k".repeat(32))]);
        let response = page(&site).with_script(&site).status(StatusCode::BAD_REQUEST).into_response();
        assert_eq!(response.status(), 400);
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for directive in policy.split("; ") {
            let (name, values) = directive.split_once(' ').unwrap();
            match name {
                "default-src" | "base-uri" | "frame-ancestors" => assert_eq!(values, "'none'"),
                "form-action" => assert_eq!(values, "'self'"),
                "style-src" | "script-src" => {
                    assert!(values.starts_with("https://a.example/auth/login/assets/"), "{values}")
                }
                other => panic!("{other}"),
            }
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn what_others_wrote_is_text_on_a_page() {
        let site = Site::new("https://a.example", &[]);
        let html = page(&site).html.unwrap();
        assert!(!html.contains("alert(1)</script>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_form_may_lead_to_where_a_redirect_uri_points_and_to_nothing_wider() {
        for (uri, source) in [
            ("https://app.example/cb?x=1", Some("https://app.example")),
            ("http://127.0.0.1/cb", Some("http://127.0.0.1:*")),
            ("http://127.0.0.1:5000/cb", Some("http://127.0.0.1:*")),
            ("http://localhost:5000/cb", Some("http://localhost:5000")),
            ("http://[::1]:5000/cb", Some("http:")),
            ("com.example.app:/cb", Some("com.example.app:")),
            ("https://a;script-src *", Some("https:")),
            ("https://a b", Some("https:")),
            ("no uri", None),
            ("a;b:c", None),
        ] {
            assert_eq!(source_of(uri).as_deref(), source, "{uri}");
        }
    }

    #[test]
    fn a15_after_a_form_comes_a_303() {
        let response = see_other("/account", [HeaderValue::from_static("a=b"), HeaderValue::from_static("c=d")]);
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::LOCATION]),
            (303, &"/account".parse().unwrap())
        );
        assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 2);
        assert_eq!(see_other("/a\r\nX: y", []).status(), 500);
    }
}
