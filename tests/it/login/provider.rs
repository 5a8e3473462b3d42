//! Two OpenID providers over TLS on this machine, `corp` and `other`, that say whatever a test wants them to.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::config::{self, LoginProvider};
use stockade::crypto::{b64url, sha256};

use super::browser::{Browser, Page};
use super::stage::{ISSUER, Stage, Wish};
use crate::crypto::forge::Key;
use crate::support::elsewhere::Elsewhere;

pub(super) const ACCESS_TOKEN: &str = "an access token of the provider";
pub(super) const SECRET: &str = "s3cret&+";

/// One of them.
pub(super) struct One {
    pub(super) key: Key,
    /// Laid over its metadata.
    pub(super) metadata: Mutex<Value>,
}

/// What came to a token endpoint.
pub(super) struct Exchange {
    pub(super) provider: String,
    pub(super) authorization: Option<String>,
    pub(super) form: HashMap<String, String>,
}

struct Code {
    provider: String,
    challenge: String,
    answer: Value,
}

#[derive(Default)]
struct Shared {
    base: Mutex<String>,
    all: HashMap<&'static str, One>,
    codes: Mutex<HashMap<String, Code>>,
    exchanges: Mutex<Vec<Exchange>>,
}

/// Both.
pub(super) struct Providers {
    it: Elsewhere,
    shared: Arc<Shared>,
}

/// A question that a browser was sent away with.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) provider: String,
    pub(super) params: HashMap<String, String>,
}

impl Question {
    /// What `page` redirects to.
    pub(super) fn of(page: &Page) -> Self {
        let url = reqwest::Url::parse(page.leads_to()).expect("a URL");
        let provider = url.path().split('/').nth(1).expect("a provider").to_owned();
        Self { provider, params: url.query_pairs().into_owned().collect() }
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }
}

async fn metadata(Path(name): Path<String>, State(shared): State<Arc<Shared>>) -> Response {
    let Some(one) = shared.all.get(&*name) else { return StatusCode::NOT_FOUND.into_response() };
    let issuer = format!("{}/{name}", shared.base.lock());
    let mut all = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    });
    for (member, value) in one.metadata.lock().as_object().expect("members") {
        all[member] = value.clone();
    }
    Json(all).into_response()
}

async fn token(
    Path(name): Path<String>,
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let form: HashMap<String, String> = serde_urlencoded::from_str(&body).expect("a form");
    let code = shared.codes.lock().remove(form.get("code").map_or("", String::as_str));
    let digest = b64url::encode(&sha256(form.get("code_verifier").map_or(&[][..], |v| v.as_bytes())));
    let good = code.filter(|code| code.provider == name && code.challenge == digest);
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("text").to_owned());
    shared.exchanges.lock().push(Exchange { provider: name, authorization, form });
    match good {
        Some(code) => Json(code.answer).into_response(),
        None => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    }
}

impl Providers {
    pub(super) async fn new() -> Self {
        let one = || One { key: Key::p256(), metadata: Mutex::new(json!({})) };
        let all = HashMap::from([("corp", one()), ("other", one())]);
        let shared = Arc::new(Shared { all, ..Shared::default() });
        let jwks =
            async |Path(name): Path<String>, State(shared): State<Arc<Shared>>| Json(shared.all[&*name].key.jwks("k1"));
        let router = Router::new()
            .route("/{name}/.well-known/openid-configuration", get(metadata))
            .route("/{name}/jwks", get(jwks))
            .route("/{name}/token", post(token))
            .with_state(Arc::clone(&shared));
        let it = Elsewhere::serving(router).await;
        shared.base.lock().clone_from(&it.url);
        Self { it, shared }
    }

    pub(super) fn one(&self, name: &str) -> &One {
        &self.shared.all[name]
    }

    pub(super) fn issuer(&self, name: &str) -> String {
        format!("{}/{name}", self.it.url)
    }

    /// A stage whose people may sign in with both.
    pub(super) fn wish(&self, create: bool) -> Wish {
        let provider = |id: &str, name: &str| LoginProvider {
            id: id.to_owned(),
            name: name.to_owned(),
            issuer: self.issuer(id),
            client_id: "stockade".to_owned(),
            client_secret: Some(stockade::base::Secret::new(SECRET.to_owned())),
            scopes: vec!["openid".to_owned(), "profile".to_owned()],
            create,
            username: "preferred_username".to_owned(),
        };
        let providers = vec![provider("corp", "Corp & Co"), provider("other", "Other")];
        let login = config::Login { providers, ..config::Login::default() };
        Wish { login, fetcher: Some(self.it.fetcher()), ..Wish::default() }
    }

    /// What an honest ID token says.
    pub(super) fn claims(&self, question: &Question, subject: &str, now: Timestamp) -> Value {
        json!({
            "iss": self.issuer(&question.provider), "sub": subject, "aud": "stockade", "nonce": question.get("nonce"),
            "iat": now.as_secs(), "exp": now.as_secs() + 300, "auth_time": now.as_secs(),
            "preferred_username": subject, "email": format!("{subject}@corp.example"),
        })
    }

    pub(super) fn sign(&self, provider: &str, claims: &Value) -> String {
        self.one(provider).key.jwt(&json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }), claims)
    }

    /// A code for which the token endpoint gives `answer`, once.
    pub(super) fn code_for(&self, question: &Question, answer: Value) -> String {
        let code = format!("code-{}-{}", self.shared.codes.lock().len(), question.get("state"));
        let (provider, challenge) = (question.provider.clone(), question.get("code_challenge").to_owned());
        self.shared.codes.lock().insert(code.clone(), Code { provider, challenge, answer });
        code
    }

    /// A code for an ID token.
    pub(super) fn code(&self, question: &Question, id_token: &str) -> String {
        let answer = json!({ "access_token": ACCESS_TOKEN, "token_type": "Bearer", "id_token": id_token });
        self.code_for(question, answer)
    }

    /// Where the provider sends the browser back to, with these claims.
    pub(super) fn answer(&self, stage: &Stage, question: &Question, claims: &Value) -> String {
        let id_token = self.sign(&question.provider, claims);
        let code = self.code(question, &id_token);
        let verifying = [id_token, code.clone(), ACCESS_TOKEN.to_owned()];
        stage.secrets.lock().extend(verifying);
        back(question, &[("code", &code)])
    }

    /// Goes to `provider` from `path`, and comes back as `subject`.
    pub(super) async fn walk(&self, stage: &Stage, browser: &Browser<'_>, path: &str, subject: &str) -> Page {
        let question = Question::of(&browser.get(path).await);
        let claims = self.claims(&question, subject, stage.now());
        browser.get(&self.answer(stage, &question, &claims)).await
    }

    /// How many codes came to a token endpoint.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.exchanges.lock())
    }
}

/// The callback of a question's provider, with its state and these.
pub(super) fn back(question: &Question, params: &[(&str, &str)]) -> String {
    let mut all = vec![("state", question.get("state"))];
    all.extend_from_slice(params);
    let path = question.get("redirect_uri").strip_prefix(ISSUER).expect("ours");
    format!("{path}?{}", serde_urlencoded::to_string(all).expect("a query"))
}
