//! The AuthZEN endpoints over a policy set, behind the edge, on a store of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use stockade::access;
use stockade::audit_log::{self, AuditLog};
use stockade::base::{ManualClock, Secret, SystemRng, Timestamp};
use stockade::crypto::jws;
use stockade::crypto::verify::{AccessClaims, PersonClaims};
use stockade::http::dpop::Proofs;
use stockade::http::{Callers, Coarse, Edge, Guard, edge};
use stockade::limits::{self, Buckets, Limit};
use stockade::live::{self, Live};
use stockade::model::{Algorithm, AuthMethod, Client, GrantType};
use stockade::policy::{Engine, Files, Snapshot, embedded};
use stockade::store::clients;
use stockade::telemetry::Metrics;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::support::skip;
use crate::support::stores::{self, TestStore};

pub(super) const ISSUER: &str = "https://pdp.example";
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(super) struct Stage {
    pub(super) engine: Arc<Engine>,
    pub(super) audit: AuditLog,
    pub(super) store: TestStore,
    pub(super) clock: Arc<ManualClock>,
    live: Arc<Live>,
    router: Router,
    _stop: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// The core of the shipped policies, and one of the sets beside this file.
pub(super) fn policy_set(name: &str) -> Arc<Snapshot> {
    let core = ["schema/core.cedarschema", "guard/core.cedar", "grant/access.cedar"];
    let core = embedded().iter().filter(|(path, _)| core.contains(path));
    let core = core.map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/access").join(name);
    let files = ["schema.cedarschema", "policies.cedar", "types.toml", "entities.json"].map(|file| {
        let text = std::fs::read_to_string(dir.join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
        (file.to_owned(), text)
    });
    Snapshot::from_files(&Files::new(core.chain(files))).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A file of the AuthZEN corpora.
pub(super) fn corpus(file: &str) -> Option<Value> {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    let root = std::env::var_os("STOCKADE_CORPORA").map(PathBuf::from);
    let Some(root) = root else {
        skip("STOCKADE_CORPORA does not name the corpora");
        return None;
    };
    let text = std::fs::read_to_string(root.join("authzen").join(file)).expect("the corpus");
    Some(serde_json::from_str(&text).expect("JSON"))
}

impl Stage {
    pub(super) async fn over(name: &str) -> Self {
        let stage = Self::new().await;
        stage.engine.install(policy_set(name));
        stage
    }

    /// One of the sets, where a client may ask as much as `limit` says.
    pub(super) async fn limited(name: &str, limit: Limit) -> Self {
        let stage = Self::with(limit).await;
        stage.engine.install(policy_set(name));
        stage
    }

    /// Without any policies.
    pub(super) async fn new() -> Self {
        Self::with(Limit::per_second(100_000, 100_000).expect("a limit")).await
    }

    async fn with(limit: Limit) -> Self {
        let store = stores::sqlite().await;
        let clock = Arc::new(ManualClock::at(NOW));
        let rng = Arc::new(SystemRng);
        let metrics = Arc::new(Metrics::register());
        let sealer = live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("a key");
        let hour = Duration::from_secs(3600);
        let keys = live::keys::settings(&[Algorithm::ES256], hour * 24 * 90, hour, hour);
        // The first key signs once it has been published long enough.
        let before = ManualClock::at(NOW.minus(hour * 2));
        live::keys::keep(&store.store, &sealer, &keys, &before, &*rng).await.expect("keys");
        let mut tx = store.store.begin().await.expect("a transaction");
        for id in ["pdp", "demo"] {
            clients::insert(&mut tx, &client(id)).await.expect("is inserted");
        }
        tx.commit().await.expect("commits");
        let live = Live::load(store.store.clone(), Arc::clone(&sealer), ISSUER, Arc::clone(&clock) as _).await;
        let live = Arc::new(live.expect("loads"));
        let log_key = live::keys::log_key(&store.store, &sealer, &*rng).await.expect("a key");
        let settings = audit_log::Settings {
            origin: ISSUER.to_owned(),
            queue: 1024,
            patience: Duration::from_secs(30),
            checkpoint_every: hour,
        };
        let (audit, worker) = AuditLog::new(
            store.store.clone(),
            log_key,
            settings,
            Arc::clone(&metrics),
            Arc::clone(&clock) as _,
            Arc::clone(&rng) as _,
        );
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(worker.run(stopped));
        let engine = Arc::new(Engine::new());
        let buckets = Arc::new(Buckets::new(limits::Settings::default(), &*rng));
        let plenty = Limit::per_second(100_000, 100_000).expect("a limit");
        let guard = Guard {
            callers: Callers::Tokens { audience: ISSUER.into(), live: Arc::clone(&live), metadata: None },
            engine: Arc::clone(&engine),
            audit: audit.clone().into(),
            coarse: Coarse::new(buckets, plenty, Arc::clone(&metrics), Arc::clone(&clock) as _),
            proofs: Arc::new(Proofs::new(None)),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock) as _,
            rng: Arc::clone(&rng) as _,
        };
        let edge = Edge::new(edge::Settings::default(), metrics, Arc::clone(&clock) as _, rng);
        let router = edge.wrap(access::router(ISSUER, Arc::new(guard), limit));
        Self { engine, audit, store, clock, live, router, _stop: stop }
    }

    /// A token of `client` for the decision point.
    pub(super) fn token(&self, client: &str, scope: &str) -> String {
        self.token_for(client, scope, ISSUER)
    }

    pub(super) fn token_for(&self, client: &str, scope: &str, aud: &str) -> String {
        let ring = self.live.key_ring();
        let claims = AccessClaims {
            iss: ISSUER,
            sub: client,
            aud,
            client_id: client,
            iat: NOW.as_secs() - 1,
            exp: NOW.as_secs() + 300,
            jti: "at_1",
            scope,
            person: PersonClaims::default(),
        };
        let signer = ring.signer(Algorithm::ES256, NOW).expect("a key that signs");
        jws::sign(signer, jws::ACCESS_TOKEN, &claims).expect("signs")
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Posts JSON text as a caller who may ask, with more headers.
    pub(super) async fn post_raw(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path).header("authorization", format!("Bearer {}", self.token("pdp", "pdp")));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, &body.to_string(), &[]).await
    }

    /// The decision of a question that must be answered with 200.
    pub(super) async fn decide(&self, body: &Value) -> bool {
        let answer = self.post("/access/v1/evaluation", body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        answer.json()["decision"].as_bool().expect("a decision")
    }
}

fn client(id: &str) -> Client {
    Client {
        grants: vec![GrantType::ClientCredentials],
        scopes: vec!["pdp".to_owned()],
        default_resource: ISSUER.to_owned(),
        ..Client::new(id, AuthMethod::ClientSecretBasic, Timestamp::from_secs(0))
    }
}
