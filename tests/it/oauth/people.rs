//! People in front of the authorization server: a browser with its cookies, somebody signed in, clients that ask.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, header};
use parking_lot::Mutex;
use serde_json::Value;
use stockade::base::{Clock as _, SystemRng, id};
use stockade::crypto::secret_text::{self, Kind};
use stockade::model::{Acr, AuthMethod, Client, ClientKind, Consent, GrantType, Session, User};
use stockade::store::{consents, sessions, users};

use super::fence::{API, Answer, Fence, ISSUER, OPAQUE, OTHER, START, Wish, wish};

/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const ADA: &str = "usr_ada";
const SCOPES: [&str; 6] = ["openid", "profile", "email", "offline_access", "notes:read", "notes:write"];

/// The redirect URI of a client of these tests.
pub(crate) fn callback(client: &str) -> String {
    format!("https://{client}.example/cb")
}

/// The server, and one browser.
pub(crate) struct People {
    pub(crate) fence: Fence,
    jar: Mutex<Vec<(String, String)>>,
}

impl People {
    /// With `ada` and the clients `web` (secret) and `one` (public); nobody is signed in.
    pub(crate) async fn new() -> Self {
        Self::with(wish()).await
    }

    pub(crate) async fn with(wish: Wish) -> Self {
        Self::on(Fence::with(wish).await).await
    }

    pub(crate) async fn on(fence: Fence) -> Self {
        let mut ada = User::new(ADA.to_owned(), "ada".to_owned(), START);
        ada.name = Some("Ada Lovelace".to_owned());
        ada.email = Some("ada@example.org".to_owned());
        ada.email_verified = true;
        let mut tx = fence.store.store.begin().await.unwrap();
        users::insert(&mut tx, &ada).await.unwrap();
        tx.commit().await.unwrap();
        for id in ["web", "one"] {
            let client = Client {
                grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::ClientCredentials],
                scopes: SCOPES.map(str::to_owned).to_vec(),
                resources: [API, OTHER, OPAQUE, ISSUER].map(str::to_owned).to_vec(),
                redirect_uris: vec![callback(id)],
                ..fence.secret_client(id)
            };
            fence.add(if id == "one" { public(client) } else { client }).await;
        }
        Self { fence, jar: Mutex::default() }
    }

    /// A server that finds everything in its store.
    pub(crate) fn restarted(fence: Fence) -> Self {
        Self { fence, jar: Mutex::default() }
    }

    /// Signs ada in with this browser.
    pub(crate) async fn sign_in(&self, acr: Acr) -> Session {
        self.sign_in_as(ADA, acr).await
    }

    pub(crate) async fn sign_in_as(&self, user_id: &str, acr: Acr) -> Session {
        let now = self.fence.clock.now();
        let value = secret_text::generate(Kind::Session, &SystemRng);
        let session = Session {
            session_id: id::new("ses", now, &SystemRng),
            user_id: user_id.to_owned(),
            acr,
            amr: vec!["pwd".to_owned()],
            auth_time: now,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(Duration::from_secs(7 * 86_400)),
            address: None,
            user_agent: None,
        };
        let mut tx = self.fence.store.store.begin().await.unwrap();
        sessions::insert(&mut tx, &secret_text::digest(value.expose()), &session).await.unwrap();
        tx.commit().await.unwrap();
        self.fence.keep_secret(value.expose());
        self.set_cookie("s", value.expose());
        session
    }

    /// Ada agrees to let `client` have all of this.
    pub(crate) async fn agree(&self, client: &str) {
        self.agree_to(client, &SCOPES, &[API, OTHER, OPAQUE, ISSUER]).await;
    }

    pub(crate) async fn agree_to(&self, client: &str, scopes: &[&str], resources: &[&str]) {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        let consent = Consent {
            user_id: ADA.to_owned(),
            client_id: client.to_owned(),
            scopes: list(scopes),
            resources: list(resources),
            given_at: self.fence.clock.now(),
        };
        let mut tx = self.fence.store.store.begin().await.unwrap();
        consents::give(&mut tx, &consent).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn change_ada(&self, change: impl FnOnce(&mut User)) {
        let mut tx = self.fence.store.store.begin().await.unwrap();
        let mut stored = users::find(&mut tx, ADA).await.unwrap().unwrap();
        change(&mut stored.user);
        users::update(&mut tx, &stored.user, stored.version).await.unwrap();
        tx.commit().await.unwrap();
        self.fence.live.refresh().await.unwrap();
    }

    pub(crate) fn set_cookie(&self, of: &str, value: &str) {
        let name = self.fence.site.cookies().name(of);
        let mut jar = self.jar.lock();
        jar.retain(|(known, _)| *known != name);
        jar.push((name, value.to_owned()));
    }

    /// The cookies of this browser, by the end of their names.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        self.jar.lock().clone()
    }

    /// The same browser, in front of a server that was started again.
    pub(crate) fn take_cookies(&self, cookies: Vec<(String, String)>) {
        *self.jar.lock() = cookies;
    }

    /// Another browser.
    pub(crate) fn forget_cookies(&self) {
        self.jar.lock().clear();
    }

    /// Navigates, keeping cookies.
    pub(crate) async fn visit(&self, method: Method, uri: &str, body: Option<String>) -> Answer {
        let cookie = self.jar.lock().iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
        let mut request = Request::builder().method(method).uri(uri);
        if !cookie.is_empty() {
            request = request.header(header::COOKIE, cookie);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let answer = self.fence.send(request.body(Body::from(body.unwrap_or_default())).unwrap()).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            assert!(line.contains("; HttpOnly; SameSite=Lax") && line.starts_with("__Host-stockade-"), "{line}");
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut jar = self.jar.lock();
            jar.retain(|(known, _)| known != name);
            if !attributes.contains("Max-Age=0") {
                jar.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.visit(Method::GET, uri, None).await
    }

    /// The usual request of a client, with these parameters instead of or beside the usual ones; an empty value takes one out.
    pub(crate) fn usual(client: &str, with: &[(&str, &str)]) -> Vec<(String, String)> {
        let redirect = callback(client);
        let usual = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", &redirect),
            ("scope", "openid notes:read"),
            ("state", "st&te"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let kept = usual.into_iter().filter(|(name, _)| with.iter().all(|(other, _)| other != name));
        let all = kept.chain(with.iter().copied().filter(|(_, value)| !value.is_empty()));
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub(crate) async fn authorize(&self, client: &str, with: &[(&str, &str)]) -> Answer {
        let query = serde_urlencoded::to_string(Self::usual(client, with)).unwrap();
        self.get(&format!("/oauth/authorize?{query}")).await
    }

    /// The code that a request leads to at once.
    pub(crate) async fn code(&self, client: &str, with: &[(&str, &str)]) -> String {
        let answer = self.authorize(client, with).await;
        let there = returned(client, &answer);
        let code = there.get("code").unwrap_or_else(|| panic!("no code: {there:?}")).clone();
        self.fence.keep_secret(&code);
        code
    }

    /// Redeems a code.
    pub(crate) async fn redeem(&self, client: &str, code: &str, with: &[(&str, &str)]) -> Answer {
        let redirect = callback(client);
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &*redirect),
            ("code_verifier", VERIFIER),
        ];
        self.ask(client, &usual, with).await
    }

    /// Refreshes.
    pub(crate) async fn refresh(&self, client: &str, token: &str, with: &[(&str, &str)]) -> Answer {
        self.ask(client, &[("grant_type", "refresh_token"), ("refresh_token", token)], with).await
    }

    async fn ask(&self, client: &str, usual: &[(&str, &str)], with: &[(&str, &str)]) -> Answer {
        let kept = usual.iter().filter(|(name, _)| with.iter().all(|(other, _)| other != name));
        let mut form: Vec<(&str, &str)> = kept.chain(with.iter().filter(|(_, v)| !v.is_empty())).copied().collect();
        let is_public = self.fence.live.client(client).is_some_and(|c| c.client.kind == ClientKind::Public);
        if is_public {
            form.push(("client_id", client));
        }
        let answer = self.fence.post("/oauth/token", (!is_public).then_some(client), &form).await;
        if answer.status == 200 {
            for member in ["access_token", "refresh_token", "id_token"] {
                if let Some(token) = answer.json()[member].as_str() {
                    self.fence.keep_secret(token);
                }
            }
        }
        answer
    }

    /// Everything that signing in to a client leads to. Ada has agreed.
    pub(crate) async fn tokens(&self, client: &str, with: &[(&str, &str)]) -> Value {
        let code = self.code(client, with).await;
        let answer = self.redeem(client, &code, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Whether an access token is alive, as its client sees it.
    pub(crate) async fn is_alive(&self, token: &Value) -> bool {
        let token = token["access_token"].as_str().unwrap();
        self.fence.live.verify(token, self.fence.clock.now()).await.is_ok()
    }
}

/// What the client is told by a redirect to it.
pub(crate) fn returned(client: &str, answer: &Answer) -> std::collections::BTreeMap<String, String> {
    assert_eq!(answer.status, 303, "{answer:?}");
    let location = answer.header(header::LOCATION).unwrap();
    let query = location.strip_prefix(&format!("{}?", callback(client))).unwrap_or_else(|| panic!("to {location}"));
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
    let count = pairs.len();
    let map: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(map.len(), count, "nothing twice: {location}");
    assert_eq!(map.get("iss").map(String::as_str), Some(ISSUER), "A9: {location}");
    map
}

/// The error that a client is told.
pub(crate) fn told(client: &str, answer: &Answer) -> String {
    let there = returned(client, answer);
    assert!(!there.contains_key("code"), "{there:?}");
    there["error"].clone()
}

/// The page that a browser is sent to, without the flow.
pub(crate) fn page(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header(header::LOCATION).unwrap().split('?').next().unwrap()
}

pub(crate) fn public(client: Client) -> Client {
    let grants = client.grants.iter().copied().filter(|grant| *grant != GrantType::ClientCredentials).collect();
    Client { kind: ClientKind::Public, auth_method: AuthMethod::None, secrets: Vec::new(), grants, ..client }
}
