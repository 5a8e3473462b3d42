//! Clients whose `client_id` is the URL of a document about them, over real TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Method, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::{Clock as _, ManualClock};
use stockade::http::fetch::{self, Fetcher};
use stockade::model::Acr;

use super::fence::{Answer, Fence, START, Wish, wish};
use super::people::{CHALLENGE, People, VERIFIER};
use crate::crypto::forge::Key;
use crate::support::elsewhere::Elsewhere;
use crate::support::stores;

const ALLOW: &str = r#"
    @id("site.documents") permit (principal, action == Stockade::Action::"client:describe", resource)
    when { context.host == "localhost" };
"#;

/// Somebody else's server: what it answers at `/client.json`, and how often it was asked.
struct Site {
    server: Elsewhere,
    answer: Arc<Mutex<(u16, &'static str, Vec<u8>)>>,
    /// What stands at `/keys`.
    keys: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Site {
    async fn new() -> Self {
        let answer = Arc::new(Mutex::new((404, "application/json", Vec::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (said, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let keys = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&keys);
        let at_keys = axum::routing::get(move || {
            let keys = shown.lock().clone();
            std::future::ready(([(header::CONTENT_TYPE, "application/jwk-set+json")], keys))
        });
        let router = Router::new().route("/keys", at_keys).fallback(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let (status, kind, body) = said.lock().clone();
            let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
            let response = response.header(header::LOCATION, "/elsewhere.json").header("cache-control", "max-age=300");
            std::future::ready(response.body(Body::from(body)).unwrap())
        });
        Self { server: Elsewhere::serving(router).await, answer, keys, asked }
    }

    fn url(&self) -> String {
        format!("{}/client.json", self.server.url)
    }

    fn document(&self) -> Value {
        json!({
            "client_id": self.url(), "client_name": "Notes elsewhere", "redirect_uris": ["https://notes.example/cb"],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:unheard-of"],
            "token_endpoint_auth_method": "none", "scope": "openid offline_access notes:read admin",
        })
    }

    fn serve(&self, document: &Value) {
        *self.answer.lock() = (200, "application/json", document.to_string().into_bytes());
    }

    fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn wish(&self) -> Wish {
        let mut wish = wish();
        wish.settings.registration.documents = true;
        wish.fetcher = self.server.fetcher();
        wish
    }

    async fn people(&self) -> People {
        let people = People::with(self.wish()).await;
        people.fence.add_policies(ALLOW);
        people.sign_in(Acr::One).await;
        people
    }
}

/// Asks for a code; where the browser is sent, or the page's status.
async fn ask(people: &People, client_id: &str, redirect_uri: &str) -> Answer {
    let query = serde_urlencoded::to_string([
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("scope", "openid offline_access notes:read"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    people.visit(Method::GET, &format!("/oauth/authorize?{}", query.unwrap()), None).await
}

const CALLBACK: &str = "https://notes.example/cb";

fn asks_consent(answer: &Answer) -> bool {
    answer.header("location").is_some_and(|to| to.contains("/consent?flow="))
}

async fn tokens(people: &People, url: &str) -> Value {
    people.agree_to(url, &["openid", "offline_access", "notes:read"], &[super::fence::ISSUER]).await;
    let answer = ask(people, url, CALLBACK).await;
    let to = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    let to = url::Url::parse(to).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", url),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = people.fence.post("/oauth/token", None, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn refresh(fence: &Fence, url: &str, tokens: &Value) -> Answer {
    let token = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", url)];
    fence.post("/oauth/token", None, &form).await
}

#[tokio::test]
async fn a_document_makes_a_client_that_people_sign_in_to() {
    for store in stores::stores().await {
        let site = Site::new().await;
        site.serve(&site.document());
        let people = People::on(Fence::populated(store, site.wish()).await).await;
        people.fence.add_policies(ALLOW);
        people.sign_in(Acr::One).await;
        let url = site.url();
        let asked = ask(&people, &url, CALLBACK).await;
        assert!(asks_consent(&asked), "nobody waives consent for it: {asked:?}");
        let tokens = tokens(&people, &url).await;
        assert_eq!(tokens["scope"], "openid offline_access notes:read");
        assert_eq!(site.count(), 1, "it is remembered");
        let event = people.fence.events_of("client.changed", 1).await.remove(0);
        assert_eq!((&event["data"]["change"], &event["data"]["client_id"]), (&json!("described"), &json!(url)));
        let kept = people.fence.live.client(&url).unwrap();
        assert!(kept.client.is_dynamic() && kept.client.needs_pkce() && kept.client.secrets.is_empty());
        assert_eq!(kept.client.grants.len(), 2, "what is not ours is passed over");
        assert!(refresh(&people.fence, &url, &tokens).await.status.is_success());

        // A restart forgets no client, and so no token; the document is looked at anew.
        let fence = Fence::on(people.fence.store, Arc::clone(&people.fence.clock), site.wish()).await;
        fence.add_policies(ALLOW);
        let access = tokens["access_token"].as_str().unwrap();
        assert!(fence.live.verify(access, fence.clock.now()).await.is_ok());
        assert_eq!(site.count(), 1);
    }
}

#[tokio::test]
async fn a_redirect_uri_is_one_of_the_document_s() {
    let site = Site::new().await;
    site.serve(&site.document());
    let people = site.people().await;
    let url = site.url();
    for bad in ["https://notes.example/cb/", "https://notes.example/CB", "https://evil.example/cb", url.as_str()] {
        assert_eq!(ask(&people, &url, bad).await.status, 400, "{bad}");
    }
    assert!(asks_consent(&ask(&people, &url, CALLBACK).await));
}

#[tokio::test]
async fn documents_are_off_until_configuration_and_policy_agree() {
    let site = Site::new().await;
    site.serve(&site.document());
    let url = site.url();
    let mut off = site.wish();
    off.settings.registration.documents = false;
    let people = People::with(off).await;
    people.fence.add_policies(ALLOW);
    people.sign_in(Acr::One).await;
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
    let at = "/.well-known/oauth-authorization-server";
    assert!(people.fence.get(at).await.json().get("client_id_metadata_document_supported").is_none());

    let people = People::with(site.wish()).await;
    people.sign_in(Acr::One).await;
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400, "no policy permits this host");
    assert_eq!(people.fence.get(at).await.json()["client_id_metadata_document_supported"], true);
    assert_eq!(site.count(), 0, "and nobody was asked");
    people.fence.add_policies(&format!(
        r#"{ALLOW} @id("site.no") forbid (principal, action in Stockade::Action::"client:self-service", resource)
           when {{ context.hosts.contains("notes.example") }};"#
    ));
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400, "nor what it says");
    people.fence.add_policies(ALLOW);
    assert!(asks_consent(&ask(&people, &url, CALLBACK).await));
    // What policy takes back is taken back.
    people.fence.engine.install(stockade::policy::Snapshot::embedded().unwrap());
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
}

#[tokio::test]
async fn c16_a_document_inside_is_never_asked_for() {
    let site = Site::new().await;
    site.serve(&site.document());
    let mut wish = site.wish();
    // The certificate would do; the network is not one that may be asked.
    let settings = fetch::Settings { ca_file: Some(site.server.ca_file.clone()), ..fetch::Settings::default() };
    wish.fetcher = Fetcher::new(&settings).unwrap();
    let people = People::with(wish).await;
    people
        .fence
        .add_policies(r#"@id("any") permit (principal, action == Stockade::Action::"client:describe", resource);"#);
    people.sign_in(Acr::One).await;
    let port = site.server.url.rsplit(':').next().unwrap().to_owned();
    for url in [
        site.url(),
        format!("https://127.0.0.1:{port}/client.json"),
        format!("https://[::ffff:127.0.0.1]:{port}/client.json"),
        format!("https://[::1]:{port}/client.json"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/client.json".to_owned(),
        format!("http://localhost:{port}/client.json"),
    ] {
        assert_eq!(ask(&people, &url, CALLBACK).await.status, 400, "{url}");
    }
    assert_eq!(site.count(), 0, "a name that leads inside is as good as an address there");
}

#[tokio::test]
async fn a_document_that_is_not_as_it_must_be_makes_no_client() {
    let site = Site::new().await;
    let with = |name: &str, value: Value| {
        let mut document = site.document();
        document[name] = value;
        (200, "application/json", document.to_string().into_bytes())
    };
    let good = site.document().to_string().into_bytes();
    let mut large = good.clone();
    large.resize(20_000, b' ');
    for (status, kind, body) in [
        (302, "application/json", good.clone()),
        (404, "application/json", good.clone()),
        (201, "application/json", good.clone()),
        (200, "text/html", good.clone()),
        (200, "application/json", large),
        (200, "application/json", b"[]".to_vec()),
        with("client_id", json!(format!("{}?", site.url()))),
        with("client_id", json!("https://notes.example/client.json")),
        with("client_secret", json!("x")),
        with("client_secret_expires_at", json!(0)),
        with("software_statement", json!("x")),
        with("token_endpoint_auth_method", json!("client_secret_basic")),
        with("token_endpoint_auth_method", json!("private_key_jwt")),
        with("redirect_uris", json!(["https://*.example/cb", CALLBACK])),
        with("redirect_uris", json!([])),
        with("grant_types", json!(["client_credentials"])),
    ] {
        // A server each, or the host would have been asked too often.
        let people = site.people().await;
        *site.answer.lock() = (status, kind, body.clone());
        let text = String::from_utf8(body).unwrap();
        let answer = ask(&people, &site.url(), CALLBACK).await;
        let refused = answer.status == 400 || answer.header("location").is_some_and(|to| to.contains("error="));
        assert!(refused, "{status} {kind} {text}: {answer:?}");
        assert!(!asks_consent(&answer), "{status} {kind} {text}");
    }
}

#[tokio::test]
async fn what_changes_in_a_document_changes_here_once_it_is_old() {
    let site = Site::new().await;
    site.serve(&site.document());
    let people = site.people().await;
    let url = site.url();
    let tokens = tokens(&people, &url).await;
    let mut changed = site.document();
    changed["redirect_uris"] = json!(["https://other.example/cb"]);
    site.serve(&changed);
    assert!(ask(&people, &url, CALLBACK).await.header("location").unwrap().starts_with(CALLBACK), "not yet");
    people.fence.clock.advance(Duration::from_secs(301));
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
    assert_eq!(ask(&people, &url, "https://other.example/cb").await.status, 303);
    assert_eq!(site.count(), 2);

    // It cannot be fetched: the last one counts for an hour, and no longer.
    *site.answer.lock() = (500, "application/json", Vec::new());
    people.fence.clock.advance(Duration::from_secs(1800));
    let refreshed = refresh(&people.fence, &url, &tokens).await;
    assert!(refreshed.status.is_success(), "{refreshed:?}");
    people.fence.clock.advance(Duration::from_secs(1801));
    assert_eq!(refresh(&people.fence, &url, &refreshed.json()).await.error(), (401, "invalid_client".to_owned()));
    // What no longer is a document counts no more at once.
    site.serve(&changed);
    people.fence.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&people, &url, "https://other.example/cb").await.status, 303);
    site.serve(&json!({ "client_id": "https://other.example/client" }));
    people.fence.clock.advance(Duration::from_secs(301));
    assert_eq!(ask(&people, &url, "https://other.example/cb").await.status, 400);
}

#[tokio::test]
async fn a_failure_is_not_remembered_but_a_host_is_not_asked_without_end() {
    let site = Site::new().await;
    let people = site.people().await;
    let url = site.url();
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
    site.serve(&site.document());
    assert!(asks_consent(&ask(&people, &url, CALLBACK).await), "a failure is not remembered");
    for n in 0..20 {
        ask(&people, &format!("{}/{n}.json", site.server.url), CALLBACK).await;
    }
    assert!(site.count() <= 6, "{} requests", site.count());
    let refused = people.fence.events().await;
    assert!(refused.iter().all(|event| event["kind"] != "token.issued"));
}

#[tokio::test]
async fn an_administrator_s_word_about_such_a_client_stays() {
    let site = Site::new().await;
    site.serve(&site.document());
    let people = site.people().await;
    let url = site.url();
    let tokens = tokens(&people, &url).await;
    people.fence.change(&url, |client| client.disabled = true).await;
    people.fence.clock.advance(Duration::from_secs(301));
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
    assert_eq!(refresh(&people.fence, &url, &tokens).await.error(), (401, "invalid_client".to_owned()));
    assert!(people.fence.live.client(&url).unwrap().client.disabled);
}

#[tokio::test]
async fn fifty_browsers_at_once_ask_for_a_document_once() {
    let site = Site::new().await;
    site.serve(&site.document());
    let people = site.people().await;
    let url = site.url();
    let all = (0..50).map(|_| ask(&people, &url, CALLBACK));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(asks_consent));
    assert_eq!(site.count(), 1);
}

#[tokio::test]
async fn a_client_with_keys_in_its_document_must_prove_that_it_has_them() {
    let site = Site::new().await;
    let mut document = site.document();
    document["token_endpoint_auth_method"] = "private_key_jwt".into();
    document["jwks"] = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }] });
    site.serve(&document);
    let people = site.people().await;
    let url = site.url();
    assert!(asks_consent(&ask(&people, &url, CALLBACK).await));
    let form = [("grant_type", "authorization_code"), ("code", "x"), ("client_id", url.as_str())];
    let answer = people.fence.post("/oauth/token", None, &form).await;
    assert_eq!(answer.error(), (401, "invalid_client".to_owned()));
    // Private keys have no business there.
    document["jwks"]["keys"][0]["d"] = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI".into();
    site.serve(&document);
    people.fence.clock.advance(Duration::from_secs(301));
    assert_eq!(ask(&people, &url, CALLBACK).await.status, 400);
    assert!(people.fence.clock.now() > START && ManualClock::at(START).now() == START);
}

#[tokio::test]
async fn the_keys_of_a_document_may_stand_elsewhere_and_prove_its_client() {
    let site = Site::new().await;
    let key = Key::p256();
    *site.keys.lock() = key.jwks("k").to_string().into_bytes();
    let mut document = site.document();
    document["token_endpoint_auth_method"] = "private_key_jwt".into();
    document["jwks_uri"] = format!("{}/keys", site.server.url).into();
    site.serve(&document);
    let people = site.people().await;
    let url = site.url();
    assert!(asks_consent(&ask(&people, &url, CALLBACK).await));
    people.agree_to(&url, &["openid", "offline_access", "notes:read"], &[super::fence::ISSUER]).await;
    let answer = ask(&people, &url, CALLBACK).await;
    let to = url::Url::parse(answer.header("location").unwrap()).unwrap();
    let code = to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let iat = START.as_secs();
    let assertion = |key: &Key, jti: &str| {
        let claims = json!({
            "iss": url, "sub": url, "aud": super::fence::ISSUER, "jti": jti, "iat": iat, "exp": iat + 60,
        });
        key.jwt(&json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }), &claims)
    };
    let redeem = async |jwt: String| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", jwt.as_str()),
        ];
        people.fence.post("/oauth/token", None, &form).await
    };
    assert_eq!(redeem(assertion(&Key::p256(), "1")).await.error(), (401, "invalid_client".to_owned()), "another key");
    assert_eq!(redeem(assertion(&key, "2")).await.status, 200);
}
