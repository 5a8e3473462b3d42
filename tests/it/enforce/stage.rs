//! A fence over the demo API, tokens of any kind, and every event it records.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::{Clock as _, ManualClock, Secret, SeededRng, Timestamp};
use stockade::crypto::keyring::KeyRing;
use stockade::crypto::keys;
use stockade::crypto::seal::Sealer;
use stockade::enforce::assertion::Assertions;
use stockade::enforce::{Fence, FenceBuilder, Recorder, demo, nginx};
use stockade::http::{Edge, TrustedProxies, edge};
use stockade::model::{Algorithm, Event};
use stockade::policy::Snapshot;
use stockade::telemetry::Metrics;
use tower::ServiceExt as _;

use crate::crypto::forge::Key;

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const API: &str = "https://issuer.example/demo";
pub(super) const PROXY: &str = "10.0.0.1";

#[derive(Debug, Default)]
pub(super) struct Events {
    recorded: Mutex<Vec<Event>>,
    folded: Mutex<Vec<Event>>,
}

impl Recorder for Events {
    fn record(&self, event: Event) {
        self.recorded.lock().push(event);
    }

    fn fold(&self, event: Event) {
        self.folded.lock().push(event);
    }
}

pub(super) struct Stage {
    pub(super) key: Key,
    pub(super) clock: Arc<ManualClock>,
    pub(super) events: Arc<Events>,
    pub(super) fence: Fence,
    /// Signs what passes a proxy.
    pub(super) ring: Arc<KeyRing>,
    router: Router,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// A stage whose fence is built a little differently.
    pub(super) fn with(change: impl FnOnce(FenceBuilder) -> FenceBuilder) -> Self {
        let key = Key::p256();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let rng = Arc::new(SeededRng::new(7));
        let events = Arc::new(Events::default());
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let builder = Fence::builder(ISSUER)
            .jwks(key.jwks("k1"))
            .snapshot(Snapshot::embedded().expect("loads"))
            .trusted_proxies(trusted.clone())
            .recorder(Arc::clone(&events) as _)
            .clock_and_rng(Arc::clone(&clock) as _, Arc::clone(&rng) as _);
        let fence = change(builder).build().expect("a fence");
        let settings = edge::Settings { trusted_proxies: trusted, ..edge::Settings::default() };
        let ring = ring(clock.now());
        let signing = Arc::clone(&ring);
        let assertions = Assertions::new(Algorithm::ES256, move || Arc::clone(&signing));
        let edge = Edge::new(settings, Arc::new(Metrics::register()), Arc::clone(&clock) as _, rng);
        let router = edge.wrap(demo::router(&fence).merge(nginx::router(fence.clone(), assertions)));
        Self { key, clock, events, fence, ring, router }
    }

    pub(super) fn claims(&self, client: &str, scope: &str) -> Value {
        let now = self.clock.now().as_secs();
        json!({
            "iss": ISSUER, "sub": client, "client_id": client, "aud": API, "jti": format!("at_{client}"),
            "iat": now - 10, "exp": now + 3600, "scope": scope,
        })
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        self.key.jwt(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" }), claims)
    }

    pub(super) fn token(&self, client: &str, scope: &str) -> String {
        self.signed(&self.claims(client, scope))
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A call of the demo API from `192.0.2.7`.
    pub(super) async fn call(&self, method: &str, uri: &str, authorization: &[&str]) -> Answer {
        self.send(request(method, uri, authorization, "192.0.2.7").body(Body::empty()).expect("a request")).await
    }

    /// What nginx asks for a call, as the snippet sends it.
    pub(super) async fn ask(&self, method: &str, uri: &str, token: Option<&str>) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let authorization: Vec<&str> = bearer.as_deref().into_iter().collect();
        let request = request("GET", "/enforce/nginx", &authorization, PROXY)
            .header("x-original-method", method)
            .header("x-original-uri", uri)
            .header("x-forwarded-for", "192.0.2.7");
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    pub(super) fn recorded(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.recorded.lock())
    }

    pub(super) fn folded(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.folded.lock())
    }
}

/// A ring of one key.
fn ring(now: Timestamp) -> Arc<KeyRing> {
    let sealer = Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("a sealer");
    let key = keys::generate(Algorithm::ES256, &sealer, &SeededRng::new(3), now, now).expect("a key");
    Arc::new(KeyRing::build(&[key], &sealer).expect("a ring"))
}

pub(super) fn request(method: &str, uri: &str, authorization: &[&str], peer: &str) -> http::request::Builder {
    let peer = SocketAddr::new(peer.parse::<IpAddr>().expect("an address"), 4711);
    let mut request = Request::builder().method(method).uri(uri).extension(ConnectInfo(peer));
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    request
}
