//! An audit API with its guard, its log and tokens for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use stockade::audit::{Ctx, Tails, router};
use stockade::audit_log::{self, AuditLog};
use stockade::base::{Clock, ManualClock, Rng, Secret, SystemRng, Timestamp};
use stockade::crypto::rotation::Settings;
use stockade::crypto::{secret_text, sha256};
use stockade::findings;
use stockade::http::dpop::Proofs;
use stockade::http::{Callers, Coarse, Cursors, Edge, Guard, edge};
use stockade::limits::{self, Buckets, Limit};
use stockade::live::{Live, keys};
use stockade::model::filter::EventField;
use stockade::model::{AccessToken, Event, Outcome, PrincipalRef, event::kind};
use stockade::policy::{Engine, Snapshot};
use stockade::store::log::{self, Filter};
use stockade::store::{Store, clients, events, tokens};
use stockade::telemetry::Prometheus;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::store::client;
use crate::support::stores::{TestStore, sqlite, stores};

pub(crate) const ISSUER: &str = "http://localhost:8080";

pub(crate) struct Stage {
    pub(crate) test: TestStore,
    pub(super) router: Router,
    pub(super) audit: AuditLog,
    pub(super) live: Arc<Live>,
    pub(crate) clock: Arc<ManualClock>,
    pub(super) prometheus: Prometheus,
    pub(super) engine: Arc<Engine>,
    pub(super) ending: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    worker: Option<JoinHandle<()>>,
}

/// What a stage is like.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    /// How often each address may ask at once; one more a minute.
    pub(super) burst: u32,
    /// Whether the shipped policies are loaded.
    pub(super) has_policies: bool,
    /// Whether anyone writes the log.
    pub(super) has_worker: bool,
    /// How long a reader of the tail may read nothing.
    pub(super) patience: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { burst: 1000, has_policies: true, has_worker: true, patience: Duration::from_secs(30) }
    }
}

/// One stage for each database that can run here.
pub(crate) async fn stages() -> Vec<Stage> {
    let mut all = Vec::new();
    for test in stores().await {
        all.push(Stage::start(test, Setup::default()).await);
    }
    all
}

/// One on SQLite.
pub(super) async fn stage(setup: Setup) -> Stage {
    Stage::start(sqlite().await, setup).await
}

impl Stage {
    async fn start(test: TestStore, setup: Setup) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let (time, rng) = (Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRng) as Arc<dyn Rng>);
        let store = test.store.clone();
        add_clients(&store).await;
        let secret = Secret::new("a sealing key of thirty-two chars".to_owned());
        let sealer = stockade::live::sealer(std::slice::from_ref(&secret)).unwrap();
        keys::keep(&store, &sealer, &Settings::default(), &*clock, &SystemRng).await.unwrap();
        let log_key = keys::log_key(&store, &sealer, &SystemRng).await.unwrap();
        let live = Arc::new(Live::load(store.clone(), Arc::clone(&sealer), ISSUER, Arc::clone(&time)).await.unwrap());
        let engine = Arc::new(Engine::new());
        let shown = Arc::clone(&engine);
        if setup.has_policies {
            engine.install(Snapshot::embedded().unwrap());
        }
        let (prometheus, metrics) = Prometheus::new();
        let metrics = Arc::new(metrics);
        let settings = audit_log::Settings {
            origin: audit_log::checkpoint::origin(ISSUER),
            queue: 4096,
            patience: Duration::from_secs(30),
            checkpoint_every: Duration::ZERO,
        };
        let (audit, worker) =
            AuditLog::new(store.clone(), log_key, settings, Arc::clone(&metrics), Arc::clone(&time), Arc::clone(&rng));
        let (stop, stopped) = watch::channel(false);
        let worker = setup.has_worker.then(|| tokio::spawn(worker.run(stopped)));
        let buckets = Arc::new(Buckets::new(limits::Settings::default(), &SystemRng));
        let address = Limit::new(1, Duration::from_secs(60), setup.burst).unwrap();
        let guard = Arc::new(Guard {
            callers: Callers::Tokens { audience: ISSUER.into(), live: Arc::clone(&live), metadata: None },
            engine,
            audit: audit.clone().into(),
            coarse: Coarse::new(buckets, address, Arc::clone(&metrics), Arc::clone(&time)),
            proofs: Arc::new(Proofs::new(None)),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&time),
            rng: Arc::clone(&rng),
        });
        let cursors = || Cursors::derived(&secret);
        let findings = findings::Ctx {
            guard: Arc::clone(&guard),
            store: store.clone(),
            cursors: cursors(),
            sealer: Arc::clone(&sealer),
            live: Some(Arc::clone(&live)),
        };
        let origin = audit_log::checkpoint::origin(ISSUER);
        let ending = Arc::<AtomicBool>::default();
        let mut tails = Tails::new(2, Arc::clone(&ending));
        tails.patience = setup.patience;
        let ctx = Ctx { guard, store, cursors: cursors(), sealer, origin, tails };
        let router = router(ctx).merge(findings::router(findings));
        let router = Edge::new(edge::Settings::default(), metrics, time, rng).wrap(router);
        Self { test, router, audit, live, clock, prometheus, engine: shown, ending, stop, worker }
    }

    /// Ends the log's worker, so that what is queued is written.
    pub(crate) async fn end(self) {
        if let Some(worker) = self.worker {
            self.stop.send(true).unwrap();
            worker.await.unwrap();
        }
    }

    /// An opaque token.
    pub(crate) async fn token(&self, client_id: &str, aud: &str, scope: &str) -> String {
        let text = secret_text::generate(secret_text::Kind::AccessToken, &SystemRng).expose().clone();
        let now = self.clock.now();
        let (jti, exp) = (stockade::base::id::new("at", now, &SystemRng), now.plus(Duration::from_secs(600)));
        let token = AccessToken { scope: scope.to_owned(), ..AccessToken::of_client(client_id, jti, aud, now, exp) };
        let mut tx = self.test.store.begin().await.unwrap();
        tokens::insert(&mut tx, &sha256(text.as_bytes()), &token).await.unwrap();
        tx.commit().await.unwrap();
        text
    }

    pub(super) async fn auditor(&self) -> String {
        self.token("auditor", ISSUER, "audit:read").await
    }

    /// Sends a request from 192.0.2.1.
    pub(crate) async fn send(&self, path: &str, headers: HeaderMap) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        *request.headers_mut() = headers;
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        assert_eq!(parts.headers[header::CACHE_CONTROL], "no-store");
        let body: Value = serde_json::from_slice(&body).unwrap();
        if !parts.status.is_success() {
            assert_eq!(parts.headers[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(body["request_id"], parts.headers["x-request-id"].to_str().unwrap());
        } else {
            crate::support::openapi::hold(&http::Method::GET, path, None, parts.status.as_u16(), &body);
        }
        (parts.status, parts.headers, body)
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let (status, _, body) = self.send(path, headers).await;
        (status, body)
    }

    /// Sends a body with these headers.
    pub(crate) async fn post(
        &self,
        path: &str,
        token: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = request.extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
        let request = request.body(Body::from(body.to_string())).unwrap();
        let (parts, bytes) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(bytes, 16 << 20).await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        if parts.status.is_success() {
            crate::support::openapi::hold(&http::Method::POST, path, Some(body), parts.status.as_u16(), &answer);
        }
        (parts.status, parts.headers, answer)
    }

    /// An answer as it comes.
    pub(crate) async fn bytes(&self, path: &str, token: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        request = request.extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
        let (parts, body) =
            self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_parts();
        (parts.status, parts.headers, axum::body::to_bytes(body, 16 << 20).await.unwrap().to_vec())
    }

    /// The items of a search that must succeed.
    pub(super) async fn items(&self, query: &str, token: &str) -> Vec<Value> {
        let (status, body) = self.get(&format!("/api/v1/audit/events{query}"), token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["items"].as_array().unwrap().clone()
    }

    /// Records events `0..count`, each differing in every field that can be asked for.
    pub(super) async fn record(&self, count: usize) {
        for n in 0..count {
            self.audit.record(example(n)).await.unwrap();
        }
        self.until(&Filter::is(EventField::RequestId, format!("req-{}", count - 1)), 1).await;
    }

    /// Records many at once.
    pub(super) async fn record_many(&self, events: Vec<Event>) {
        for event in events {
            self.audit.queue(event);
        }
    }

    /// The event of a stream that ended for this reason.
    pub(super) fn ended(&self, why: &str) -> Filter {
        Filter::is(EventField::Kind, kind::AUDIT_READ).and(Filter::is(EventField::Data("ended".into()), why))
    }

    /// Waits until the log holds `count` events that match: on PostgreSQL the sequencer moves them there.
    pub(super) async fn until(&self, filter: &Filter, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut reader = self.test.store.read_log().await.unwrap();
            let found = log::page(&mut reader, filter, None, 1000).await.unwrap().len();
            if found >= count {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found} of {count} events of {filter:?}");
            tokio::task::yield_now().await;
        }
    }

    /// The events of a kind that the log holds, and then those that the intake does.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        // The intake first: what moves meanwhile is then seen twice rather than never.
        let waiting = events::waiting_after(&mut self.test.store.read().await.unwrap(), -1, 10_000).await.unwrap();
        let mut reader = self.test.store.read_log().await.unwrap();
        let filter = Filter::is(EventField::Kind, kind);
        let page = log::page(&mut reader, &filter, None, 1000).await.unwrap();
        let mut entries: Vec<_> = page.into_iter().rev().map(|one| one.entry).collect();
        for one in waiting {
            if !entries.contains(&one.entry) {
                entries.push(one.entry);
            }
        }
        let read = entries.iter().map(|entry| serde_json::from_slice::<Value>(entry.rest().body.unwrap()).unwrap());
        read.filter(|event| event["kind"] == kind).collect()
    }

    /// Waits for `count` events of `kind`.
    pub(crate) async fn until_kind(&self, kind: &str, count: usize) {
        self.until(&Filter::is(EventField::Kind, kind), count).await;
    }
}

/// Event `n` of a stage, `n` seconds after the stage's time.
pub(super) fn example(n: usize) -> Event {
    let outcome = if n.is_multiple_of(2) { Outcome::Allowed } else { Outcome::Denied };
    let kind = if n.is_multiple_of(3) { kind::TOKEN_ISSUED } else { kind::DECISION };
    let time = Timestamp::from_secs(1_800_000_000 + i64::try_from(n).unwrap());
    let mut event = Event::new(kind, outcome, time, &SystemRng);
    event.principal = Some(PrincipalRef::new("Client", format!("client-{}", n % 4)));
    event.address = Some("192.0.2.7".parse().unwrap());
    event.action = Some(format!("act:{}", n % 5).into());
    event.resource = Some(format!("Route::\"r{}\"", n % 6).into());
    event.request_id = Some(format!("req-{n}").into());
    event.with("n", n)
}

async fn add_clients(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    for id in ["auditor", "other", "reader"] {
        clients::insert(&mut tx, &client(id)).await.unwrap();
    }
    tx.commit().await.unwrap();
}
