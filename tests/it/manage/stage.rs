//! A management API with its guard, on a store of its own, and an administrator for it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use stockade::audit_log::{self, AuditLog};
use stockade::base::{Clock, ManualClock, Rng, Secret, SystemRng, Timestamp};
use stockade::config::Config;
use stockade::crypto::{secret_text, sha256};
use stockade::http::dpop::Proofs;
use stockade::http::{Callers, Coarse, Cursors, Edge, Guard, edge};
use stockade::limits::{self, Buckets, Limit};
use stockade::live::{self, Live, keys};
use stockade::manage::{Ctx, router};
use stockade::model::{AccessToken, Algorithm, AuthMethod, Client};
use stockade::policy::{Engine, Snapshot};
use stockade::registry::Site;
use stockade::store::{Store, clients, events, log, tokens};
use stockade::telemetry::Prometheus;
use tokio::sync::{OnceCell, watch};
use tower::ServiceExt as _;

use crate::support::events::said;
use crate::support::openapi;
use crate::support::stores::{TestStore, stores};

pub(crate) const ISSUER: &str = "https://auth.example";
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) live: Arc<Live>,
    pub(crate) admin: String,
    pub(crate) engine: Arc<Engine>,
    test: TestStore,
    router: Router,
    audit: AuditLog,
    _stop: watch::Sender<bool>,
}

/// An answer, body and all.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn etag(&self) -> String {
        self.header("etag").expect("an ETag").to_owned()
    }

    /// The status, and what is behind `urn:stockade:problem:`.
    pub(crate) fn problem(&self) -> (u16, &str) {
        let kind = self.body["type"].as_str().unwrap_or_default();
        (self.status.as_u16(), kind.rsplit(':').next().unwrap_or_default())
    }

    /// Where the mistakes are.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().expect("a pointer")).collect()
    }
}

/// One for each database that can run here.
pub(crate) async fn stages() -> Vec<Stage> {
    let mut all = Vec::new();
    for test in stores().await {
        all.push(Stage::start(test).await);
    }
    all
}

impl Stage {
    async fn start(test: TestStore) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let (time, rng) = (Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRng) as Arc<dyn Rng>);
        let store = test.store.clone();
        let mut config = Config::default();
        ISSUER.clone_into(&mut config.server.issuer);
        // RSA keys take a debug build a second each.
        config.oauth.signing_algs = vec![Algorithm::ES256, Algorithm::EdDSA];
        add_clients(&store).await;
        let secret = Secret::new("a sealing key of thirty-two chars".to_owned());
        let sealer = live::sealer(std::slice::from_ref(&secret)).unwrap();
        let rotation = keys::settings_of(&config.oauth);
        keys::keep(&store, &sealer, &rotation, &*clock, &SystemRng).await.unwrap();
        let log_key = keys::log_key(&store, &sealer, &SystemRng).await.unwrap();
        let live = Arc::new(Live::load(store.clone(), Arc::clone(&sealer), ISSUER, Arc::clone(&time)).await.unwrap());
        let engine = Arc::new(Engine::new());
        engine.install(Snapshot::embedded().unwrap());
        let metrics = Arc::new(Prometheus::new().1);
        let settings = audit_log::Settings {
            origin: audit_log::checkpoint::origin(ISSUER),
            queue: 4096,
            patience: Duration::from_secs(30),
            checkpoint_every: Duration::from_secs(3600),
        };
        let (audit, worker) =
            AuditLog::new(store.clone(), log_key, settings, Arc::clone(&metrics), Arc::clone(&time), Arc::clone(&rng));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(worker.run(stopped));
        let buckets = Arc::new(Buckets::new(limits::Settings::default(), &SystemRng));
        let plenty = Limit::per_second(100_000, 100_000).unwrap();
        let guard = Arc::new(Guard {
            callers: Callers::Tokens { audience: ISSUER.into(), live: Arc::clone(&live), metadata: None },
            engine: Arc::clone(&engine),
            audit: audit.clone().into(),
            coarse: Coarse::new(buckets, plenty, Arc::clone(&metrics), Arc::clone(&time)),
            proofs: Arc::new(Proofs::new(None)),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&time),
            rng: Arc::clone(&rng),
        });
        let router = router(Ctx {
            guard,
            store,
            sealer,
            cursors: Cursors::derived(&secret),
            site: Site::of(&config),
            rotation,
            oauth: config.oauth.clone(),
            live: OnceCell::new_with(Some(Arc::clone(&live))),
        });
        let router = Edge::new(edge::Settings::default(), metrics, time, rng).wrap(router);
        let name = test.name;
        let mut stage = Self { name, clock, live, admin: String::new(), engine, test, router, audit, _stop: stop };
        stage.admin = stage.token("admin", "admin").await;
        stage
    }

    /// An opaque token for the API.
    pub(crate) async fn token(&self, client_id: &str, scope: &str) -> String {
        let text = secret_text::generate(secret_text::Kind::AccessToken, &SystemRng).expose().clone();
        let now = self.clock.now();
        let jti = stockade::base::id::new("at", now, &SystemRng);
        let exp = now.plus(Duration::from_secs(864_000));
        let token = AccessToken { scope: scope.to_owned(), ..AccessToken::of_client(client_id, jti, ISSUER, now, exp) };
        let mut tx = self.test.store.begin().await.unwrap();
        tokens::insert(&mut tx, &sha256(text.as_bytes()), &token).await.unwrap();
        tx.commit().await.unwrap();
        text
    }

    pub(crate) fn store(&self) -> &Store {
        &self.test.store
    }

    /// Sends a request as the administrator.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    /// The same, with headers; one of them may be another `authorization`.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(path);
        let of_admin = format!("Bearer {}", self.admin);
        let defaults = [("authorization", of_admin.as_str()), ("content-type", "application/json")];
        for (name, value) in defaults {
            let own = headers.iter().any(|(own, _)| *own == name);
            if !own && (name == "authorization" || body.is_some()) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let sent = body.clone();
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        assert_eq!(parts.headers[header::CACHE_CONTROL], "no-store");
        if !parts.status.is_success() && parts.status != StatusCode::NOT_MODIFIED {
            assert_eq!(parts.headers[header::CONTENT_TYPE], "application/problem+json", "{body}");
            assert_eq!(body["request_id"], parts.headers["x-request-id"].to_str().unwrap());
        }
        if parts.status.is_success() {
            openapi::hold(&method, path, sent.as_ref(), parts.status.as_u16(), &body);
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Registers a client that must be taken.
    pub(crate) async fn create(&self, body: Value) -> Answer {
        let answer = self.post("/api/v1/clients", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer
    }

    /// Every event so far of this kind: the half that stays, oldest first, as JSON with `principal`.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        self.audit.flush().await.unwrap();
        let mut all: Vec<Value> = Vec::new();
        let filter = log::Filter::is(stockade::model::filter::EventField::Kind, kind);
        // What the sequencer has moved, and what still waits for it: an event is in one of them.
        let waiting = events::waiting_after(&mut self.test.store.read().await.unwrap(), 0, 1000).await.unwrap();
        let moved = log::page(&mut self.test.store.read_log().await.unwrap(), &filter, None, 1000).await.unwrap();
        for stored in moved.iter().rev() {
            all.push(said(&stored.entry));
        }
        for event in waiting.iter().map(|waiting| said(&waiting.entry)).filter(|event| event["kind"] == kind) {
            if all.iter().all(|known| known["id"] != event["id"]) {
                all.push(event);
            }
        }
        all
    }

    /// What was done to clients or keys so far: the `change` of each event.
    pub(crate) async fn changes(&self, kind: &str) -> Vec<String> {
        let events = self.events(kind).await;
        events.iter().filter_map(|event| event["data"]["change"].as_str().map(str::to_owned)).collect()
    }
}

async fn add_clients(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    for (id, scope) in [("admin", "admin"), ("other", "notes:read")] {
        let client = Client {
            scopes: vec![scope.to_owned()],
            default_resource: ISSUER.to_owned(),
            ..Client::new(id, AuthMethod::ClientSecretBasic, START)
        };
        clients::insert(&mut tx, &client).await.unwrap();
    }
    tx.commit().await.unwrap();
}
