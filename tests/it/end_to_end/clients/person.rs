//! Somebody with a browser without JavaScript: one jar of cookies for this machine, redirects, forms. It notes what nobody else
//! may see.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, header};
use parking_lot::Mutex;
use url::Url;

use crate::login::browser::{between, unescape};

/// What is secret by the name it goes by in a query, a form or an answer.
const SECRET: [&str; 13] = [
    "access_token",
    "refresh_token",
    "id_token",
    "id_token_hint",
    "logout_token",
    "code",
    "code_verifier",
    "client_secret",
    "password",
    "token",
    "csrf",
    "device_code",
    "request_uri",
];

/// Secrets that went over the wire.
#[derive(Default)]
pub(super) struct Seen(Mutex<BTreeSet<String>>);

impl Seen {
    pub(super) fn keep(&self, secret: &str) {
        // Shorter ones occur by chance.
        if secret.len() >= 12 {
            self.0.lock().insert(secret.to_owned());
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }

    pub(super) fn keep_pairs(&self, text: &str) {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).unwrap_or_default();
        for (_, value) in pairs.iter().filter(|(name, _)| SECRET.contains(&name.as_str())) {
            self.keep(value);
        }
    }

    pub(super) fn keep_json(&self, body: &[u8]) {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        for name in SECRET {
            self.keep(body[name].as_str().unwrap_or_default());
        }
    }

    pub(super) fn keep_headers(&self, headers: &HeaderMap) {
        let texts = |name: header::HeaderName| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        for value in texts(header::AUTHORIZATION).filter_map(|value| value.split(' ').nth(1)) {
            self.keep(value);
        }
        for set in texts(header::SET_COOKIE) {
            self.keep(set.split(';').next().unwrap_or_default().split_once('=').map_or("", |(_, value)| value));
        }
    }
}

/// What the browser shows, or where it was sent.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) html: String,
    /// The address on another machine that it leads to.
    pub(super) left: Option<Url>,
}

/// The browser.
pub(super) struct Person<'a> {
    seen: &'a Seen,
    http: reqwest::Client,
    jar: Mutex<BTreeMap<String, String>>,
    name: String,
    password: String,
}

impl<'a> Person<'a> {
    pub(super) fn new(seen: &'a Seen, http: &reqwest::Client, name: &str, password: &str) -> Self {
        seen.keep(password);
        let (name, password) = (name.to_owned(), password.to_owned());
        Self { seen, http: http.clone(), jar: Mutex::default(), name, password }
    }

    /// Opens a page, following redirects on this machine.
    pub(super) async fn open(&self, url: &str) -> Page {
        self.go(Url::parse(url).expect("a URL"), None).await
    }

    async fn go(&self, mut url: Url, mut form: Option<Vec<(String, String)>>) -> Page {
        for _ in 0..12 {
            let cookies: Vec<String> = self.jar.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = match form.take() {
                None => self.http.get(url.clone()),
                Some(form) => {
                    self.http.post(url.clone()).header(header::ORIGIN, url.origin().ascii_serialization()).form(&form)
                }
            };
            let answer = request.header(header::COOKIE, cookies.join("; ")).send().await.expect("an answer");
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            self.take(&headers);
            let html = answer.text().await.expect("a page");
            let Some(location) = headers.get(header::LOCATION) else {
                return Page { url, status, headers, html, left: None };
            };
            let next = url.join(location.to_str().expect("text")).expect("a URL");
            self.seen.keep_pairs(next.query().unwrap_or_default());
            if next.host_str() != Some("localhost") {
                return Page { url, status, headers, html, left: Some(next) };
            }
            url = next;
        }
        panic!("redirected for ever, now to {url}")
    }

    fn take(&self, headers: &HeaderMap) {
        self.seen.keep_headers(headers);
        let mut jar = self.jar.lock();
        for set in headers.get_all(header::SET_COOKIE).iter().map(|set| set.to_str().expect("text")) {
            let (name, value) = set.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if value.is_empty() || set.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Sends the form of the page's main act, filled in.
    pub(super) async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let mut forms = page.html.split("<form").skip(1);
        let form = forms.find(|form| form.contains("<button type=\"submit\"")).expect("a form");
        let action = unescape(between(form, "action=\"", "\"").expect("an action"));
        let hidden = form.split("<input type=\"hidden\"").skip(1).map(|input| {
            let of = |name: &str| unescape(between(input, &format!("{name}=\""), "\"").expect("an attribute"));
            (of("name"), of("value"))
        });
        let mut sent: Vec<(String, String)> = hidden.collect();
        sent.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.seen.keep_pairs(&serde_urlencoded::to_string(&sent).expect("a form"));
        self.go(page.url.join(&action).expect("a URL"), Some(sent)).await
    }

    /// Follows the link with this text.
    pub(super) async fn click(&self, page: &Page, text: &str) -> Page {
        let at = page.html.find(&format!(">{text}</a>")).unwrap_or_else(|| panic!("no link {text:?}: {}", page.html));
        let before = page.html.get(..at).expect("a place").rsplit("href=\"").next().expect("a link");
        let href = unescape(before.split('"').next().expect("an address"));
        self.go(page.url.join(&href).expect("a URL"), None).await
    }

    /// Types name and password.
    pub(super) async fn sign_in(&self, page: &Page) -> Page {
        self.submit(page, &[("username", &self.name), ("password", &self.password)]).await
    }

    /// The same person at the browser of another.
    pub(super) fn like(&self, other: &Self) -> Self {
        let jar = Mutex::new(other.jar.lock().clone());
        Self { seen: self.seen, http: self.http.clone(), jar, name: self.name.clone(), password: self.password.clone() }
    }

    /// Does what the pages ask, until one asks nothing: signs in, allows.
    pub(super) async fn through(&self, url: &str) -> Page {
        let mut page = self.open(url).await;
        for _ in 0..4 {
            if page.left.is_some() || !page.html.contains("<button type=\"submit\"") {
                break;
            }
            let typed = [("username", self.name.as_str()), ("password", self.password.as_str())];
            let asks = page.html.contains("name=\"password\"");
            page = self.submit(&page, if asks { &typed } else { &[] }).await;
        }
        page
    }
}
