//! A browser without JavaScript: a jar of cookies, and forms that are filled in and sent. What every page must hold is checked
//! on every page.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::stage::Stage;

pub(crate) struct Browser<'a> {
    stage: &'a Stage,
    jar: RefCell<Vec<(String, String)>>,
    address: Cell<IpAddr>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Page {
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Where a 303 leads.
    pub(crate) fn leads_to(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.html);
        self.header(header::LOCATION).unwrap()
    }

    /// The first heading.
    pub(crate) fn title(&self) -> &str {
        between(&self.html, "<h1>", "</h1>").unwrap_or_else(|| panic!("no heading: {}", self.html))
    }

    /// What the alert says.
    pub(crate) fn alert(&self) -> Option<&str> {
        let alert = between(&self.html, "role=\"alert\">", "</div>")?;
        between(alert, "<h2>", "</h2>")
    }

    /// The form with the button of the main act, of which there is one: its action and its hidden fields.
    pub(crate) fn form(&self) -> (String, Vec<(String, String)>) {
        assert_eq!(self.html.matches("<button type=\"submit\"").count(), 1, "{}", self.html);
        let end = self.html.find("<button type=\"submit\"").unwrap();
        self.form_before(end)
    }

    /// The form whose action ends like this.
    pub(crate) fn form_to(&self, action: &str) -> (String, Vec<(String, String)>) {
        let at = self.html.find(&format!("{action}\"")).unwrap_or_else(|| panic!("no form to {action}: {}", self.html));
        self.form_before(at + self.html.get(at..).unwrap().find("</form>").unwrap())
    }

    fn form_before(&self, end: usize) -> (String, Vec<(String, String)>) {
        let start = self.html.get(..end).unwrap().rfind("<form").unwrap();
        let form = self.html.get(start..end).unwrap();
        let action = unescape(between(form, "action=\"", "\"").unwrap());
        let hidden = form.split("<input type=\"hidden\"").skip(1);
        let field = |input: &str| {
            let input = input.split('>').next().unwrap();
            (unescape(between(input, "name=\"", "\"").unwrap()), unescape(between(input, "value=\"", "\"").unwrap()))
        };
        (action, hidden.map(field).collect())
    }

    /// The text of an element with this id.
    pub(crate) fn element(&self, id: &str) -> String {
        unescape(between(&self.html, &format!("id=\"{id}\">"), "<").unwrap())
    }

    /// The options of the passkey form to `action`.
    pub(crate) fn options(&self, action: &str) -> serde_json::Value {
        let form = self.html.split("<form").find(|form| form.contains(&format!("{action}\""))).unwrap();
        serde_json::from_str(&unescape(between(form, "data-options=\"", "\"").unwrap())).unwrap()
    }
}

pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    rest.split_once(after).map(|(inner, _)| inner)
}

pub(crate) fn unescape(text: &str) -> String {
    let text = text.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"").replace("&#39;", "'");
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#38;", "&").replace("&amp;", "&")
}

impl<'a> Browser<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Self {
        Self { stage, jar: RefCell::default(), address: Cell::new(IpAddr::from([192, 0, 2, 1])) }
    }

    /// The same from another address.
    pub(crate) fn from(self, address: [u8; 4]) -> Self {
        self.address.set(IpAddr::from(address));
        self
    }

    /// Another browser with the same cookies.
    pub(crate) fn copy(&self) -> Browser<'a> {
        Browser { stage: self.stage, jar: self.jar.clone(), address: self.address.clone() }
    }

    /// What it sends.
    pub(crate) fn headers(&self) -> HeaderMap {
        let jar = self.jar.borrow();
        let line = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let user_agent = HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0");
        let mut headers: HeaderMap = [(header::USER_AGENT, user_agent)].into_iter().collect();
        if !line.is_empty() {
            headers.insert(header::COOKIE, HeaderValue::from_str(&line).unwrap());
        }
        headers
    }

    /// Keeps a cookie, as `Set-Cookie` says.
    pub(crate) fn keep(&self, set: &str) {
        let (name, rest) = set.split_once('=').unwrap();
        let mut jar = self.jar.borrow_mut();
        jar.retain(|(known, _)| known != name);
        if !set.contains("Max-Age=0") {
            jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
        }
    }

    /// The value of the cookie whose name ends like this.
    pub(crate) fn cookie(&self, end: &str) -> Option<String> {
        self.jar.borrow().iter().find(|(name, _)| name.ends_with(end)).map(|(_, value)| value.clone())
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Page {
        for (name, value) in &self.headers() {
            request.headers_mut().insert(name, value.clone());
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(self.address.get(), 4000)));
        let path = request.uri().to_string();
        let response = self.stage.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            assert!(set.contains("; HttpOnly; SameSite=Lax"), "{path}: {set}");
            self.keep(set);
        }
        let page = Page {
            status: parts.status,
            headers: parts.headers,
            html: String::from_utf8(body.to_vec()).expect("pages are text"),
        };
        self.check(&path, &page);
        page
    }

    /// What always holds.
    fn check(&self, path: &str, page: &Page) {
        assert!(page.header("x-request-id").is_some(), "{path}");
        if path.contains("/assets/") {
            return;
        }
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}: {page:?}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(!page.status.is_redirection() || page.status == StatusCode::SEE_OTHER, "{path}: {page:?}");
        let leaves = path.starts_with("/login/with/") || path.starts_with("/account/elsewhere/");
        if page.status.is_redirection() && leaves && page.leads_to().starts_with("https://localhost") {
            // To a provider.
        } else if page.status.is_redirection() {
            assert!(page.leads_to().starts_with('/') && !page.leads_to().starts_with("//"), "{path}: {page:?}");
        } else {
            assert_eq!(page.header(header::CONTENT_TYPE), Some("text/html; charset=utf-8"), "{path}: {page:?}");
            for bad in [" style=", "<style", "javascript:", " onclick", " onload", "<img", "<iframe"] {
                assert!(!page.html.contains(bad), "{path} has {bad}");
            }
            assert_eq!(page.html.matches("<script").count(), page.html.matches("<script src=").count(), "{path}");
        }
        for (_, value) in self.jar.borrow().iter().filter(|(_, value)| value.len() > 20) {
            assert!(!page.html.contains(value.as_str()), "{path} shows a cookie");
        }
        for secret in self.stage.secrets.lock().iter() {
            assert!(!page.html.contains(secret.as_str()), "{path} shows a secret");
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Follows 303s of ours, as far as they lead to pages of this room.
    pub(crate) async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..5 {
            if page.status != StatusCode::SEE_OTHER {
                return page;
            }
            let path = page.leads_to().to_owned();
            page = self.get(&path).await;
        }
        panic!("redirected for ever: {page:?}")
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.header("sec-fetch-site", "same-origin").header(header::ORIGIN, "null");
        self.send(request.body(Body::from(serde_urlencoded::to_string(fields).unwrap())).unwrap()).await
    }

    /// Fills in the main form of a page and presses its button.
    pub(crate) async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form();
        self.press(&action, &hidden, fields).await
    }

    /// Presses the button of the form to `action`.
    pub(crate) async fn submit_to(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form_to(action);
        self.press(&action, &hidden, fields).await
    }

    async fn press(&self, action: &str, hidden: &[(String, String)], fields: &[(&str, &str)]) -> Page {
        let mut all: Vec<(&str, &str)> = hidden.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        all.retain(|(name, _)| !fields.iter().any(|(n, _)| n == name));
        all.extend_from_slice(fields);
        self.post(action, &all).await
    }

    /// Opens `path` and signs in there with a name and a password.
    pub(crate) async fn sign_in(&self, path: &str, username: &str, password: &str) -> Page {
        let page = self.get(path).await;
        self.submit(&page, &[("username", username), ("password", password)]).await
    }

    /// The same, which must lead to the account.
    pub(crate) async fn signed_in(self, username: &str) -> Self {
        let page = self.sign_in("/login", username, super::stage::PASSWORD).await;
        assert_eq!(page.leads_to(), "/account");
        self
    }
}
