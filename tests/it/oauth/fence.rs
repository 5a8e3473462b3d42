//! An authorization server in process, behind its edge, on a store of its own. What every answer must hold is checked on
//! every answer: request id, security headers, `no-store`, the shape of an error, no secret in it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use stockade::audit_log::{self, AuditLog};
use stockade::base::{Clock, ManualClock, Rng, Secret, SystemRng, Timestamp};
use stockade::config::{Issuance, ResourceServer, TokenFormat};
use stockade::crypto::nonce::Nonces;
use stockade::crypto::rotation::{self, Step};
use stockade::crypto::seal::Sealer;
use stockade::crypto::secret_text::{self, Kind};
use stockade::crypto::{b64url, keys, sha256};
use stockade::http::browser::Site;
use stockade::http::dpop::Proofs;
use stockade::http::fetch::{self, Fetcher};
use stockade::http::session::Lifetimes;
use stockade::http::{Callers, Coarse, Edge, Flows, Guard, Sessions, edge};
use stockade::limits::{self, Buckets, Limit};
use stockade::live::{self, Live};
use stockade::model::client::ClientSecret;
use stockade::model::{Algorithm, AuthMethod, Client, ClientKind, GrantType, SigningKey};
use stockade::oauth::trusted::TrustedIssuer;
use stockade::oauth::{Ctx, Settings};
use stockade::policy::{Engine, Files, Snapshot, embedded};
use stockade::store::{Store, clients, log};
use stockade::telemetry::Prometheus;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::support::events::said;
use crate::support::stores::{self, TestStore};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const API: &str = "https://api.example";
pub(crate) const OTHER: &str = "https://other.example";
pub(crate) const OPAQUE: &str = "https://opaque.example";
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const SEAL_KEY: &str = "a sealing key of thirty-two chars";

/// What a test may want otherwise.
pub(crate) struct Wish {
    pub(crate) issuer: &'static str,
    pub(crate) policies: bool,
    pub(crate) recorder: bool,
    /// Whose tokens count as assertions.
    pub(crate) issuers: Vec<TrustedIssuer>,
    /// Whether DPoP proofs must carry a nonce.
    pub(crate) nonces: bool,
    /// What fetches documents; it may ask nobody inside unless it is told so.
    pub(crate) fetcher: Fetcher,
    pub(crate) settings: Settings,
}

pub(crate) fn wish() -> Wish {
    let plenty = Limit::per_second(100_000, 100_000).unwrap();
    Wish {
        issuer: ISSUER,
        policies: true,
        recorder: true,
        issuers: Vec::new(),
        nonces: false,
        fetcher: Fetcher::new(&fetch::Settings::default()).unwrap(),
        settings: Settings {
            access_token_ttl: Duration::from_secs(600),
            refresh_token_ttl: Duration::from_secs(14 * 86_400),
            grant_lifetime: Duration::from_secs(90 * 86_400),
            refresh_grace: Duration::from_secs(60),
            signing_algs: Algorithm::ALL.to_vec(),
            default_alg: Algorithm::ES256,
            jwks_max_age: Duration::from_secs(300),
            resources: vec![ResourceServer {
                id: OPAQUE.to_owned(),
                tokens: TokenFormat::Opaque,
                alg: None,
                ttl: Some(Duration::from_secs(60)),
            }],
            issuance: Issuance::Before,
            token_address: plenty,
            token_client: plenty,
            address: plenty,
            register_address: plenty,
            registration: stockade::config::Registration::default(),
        },
    }
}

/// The server.
pub(crate) struct Fence {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: TestStore,
    pub(crate) live: Arc<Live>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) audit: AuditLog,
    pub(crate) site: Site,
    router: Router,
    prometheus: Prometheus,
    sealer: Arc<Sealer>,
    /// Secrets and tokens that must not turn up where they do not belong.
    secrets: Mutex<Vec<String>>,
    /// Dropping it stops the log's worker.
    _stop: watch::Sender<bool>,
}

/// An answer, body and all.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// Status and `error`.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"].as_str().unwrap_or("").to_owned())
    }
}

impl Fence {
    /// With the usual wishes and clients: `app` (secret), `rs` (serves `API`), `spa` (public).
    pub(crate) async fn new() -> Self {
        Self::with(wish()).await
    }

    pub(crate) async fn with(wish: Wish) -> Self {
        Self::populated(stores::sqlite().await, wish).await
    }

    /// With the usual clients, on a store that is new.
    pub(crate) async fn populated(store: TestStore, wish: Wish) -> Self {
        Self::populated_at(store, Arc::new(ManualClock::at(START)), wish).await
    }

    pub(crate) async fn populated_at(store: TestStore, clock: Arc<ManualClock>, wish: Wish) -> Self {
        let fence = Self::on(store, clock, wish).await;
        fence.add(fence.secret_client("app")).await;
        fence.add(Client { serves: vec![API.to_owned()], ..fence.secret_client("rs") }).await;
        let public = Client {
            kind: ClientKind::Public,
            auth_method: AuthMethod::None,
            secrets: Vec::new(),
            ..fence.secret_client("spa")
        };
        fence.add(public).await;
        fence
    }

    /// On a store that may have been used before.
    pub(crate) async fn on(store: TestStore, clock: Arc<ManualClock>, wish: Wish) -> Self {
        let sealer = live::sealer(&[Secret::new(SEAL_KEY.to_owned())]).unwrap();
        publish_keys(&store.store, &sealer).await;
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let live = Live::load(store.store.clone(), Arc::clone(&sealer), wish.issuer, Arc::clone(&time)).await.unwrap();
        let live = Arc::new(live);
        let engine = Arc::new(Engine::new());
        if wish.policies {
            engine.install(Snapshot::embedded().unwrap());
        }
        let log_key = live::keys::log_key(&store.store, &sealer, &SystemRng).await.unwrap();
        let settings = audit_log::Settings {
            origin: wish.issuer.to_owned(),
            queue: 1024,
            patience: if wish.recorder { Duration::from_secs(30) } else { Duration::from_millis(50) },
            checkpoint_every: Duration::from_secs(3600),
        };
        let rng = Arc::new(SystemRng);
        let (prometheus, metrics) = Prometheus::new();
        let metrics = Arc::new(metrics);
        let (audit, worker) = AuditLog::new(
            store.store.clone(),
            log_key,
            settings,
            Arc::clone(&metrics),
            Arc::clone(&time),
            Arc::clone(&rng) as _,
        );
        let (stop, stopped) = watch::channel(false);
        if wish.recorder {
            tokio::spawn(worker.run(stopped));
        } else {
            // Alive, so that the queue is there, and writing nothing.
            tokio::spawn(async move {
                let _worker = worker;
                let mut stopped = stopped;
                while stopped.changed().await.is_ok() {}
            });
        }
        let keys = [Secret::new(SEAL_KEY.to_owned())];
        let site = Site::new(wish.issuer, &keys);
        let lifetimes = Lifetimes { whole: Duration::from_secs(7 * 86_400), idle: Duration::from_secs(86_400) };
        let (at, random) = (|| Arc::clone(&time), || Arc::clone(&rng) as Arc<dyn Rng>);
        let sessions = Sessions::new(site.clone(), store.store.clone(), Arc::clone(&live), lifetimes, at(), random());
        let flows = Flows::new(site.clone(), Arc::clone(&sealer), at(), random());
        let limits = Arc::new(Buckets::new(limits::Settings::default(), &SystemRng));
        let guard = Guard {
            callers: Callers::Tokens { audience: Arc::from(wish.issuer), live: Arc::clone(&live), metadata: None },
            engine: Arc::clone(&engine),
            audit: audit.clone().into(),
            coarse: Coarse::new(Arc::clone(&limits), wish.settings.address, Arc::clone(&metrics), at()),
            proofs: Arc::new(Proofs::new(None)),
            metrics: Arc::clone(&metrics),
            clock: at(),
            rng: random(),
        };
        let ctx = Ctx {
            issuer: Arc::from(wish.issuer),
            live: Arc::clone(&live),
            store: store.store.clone(),
            engine: Arc::clone(&engine),
            audit: audit.clone(),
            limits,
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&time),
            rng: Arc::clone(&rng) as _,
            issuers: wish.issuers.into_iter().map(|one| (Box::from(&*one.issuer), one)).collect(),
            nonces: wish.nonces.then(|| Nonces::derived(&Secret::new(SEAL_KEY.to_owned()), "token")),
            site: site.clone(),
            sessions,
            flows,
            guard: Arc::new(guard),
            fetcher: wish.fetcher,
            registry: stockade::registry::Site {
                issuer: wish.issuer.to_owned(),
                resources: vec![API.to_owned(), OTHER.to_owned(), OPAQUE.to_owned()],
                default_resource: None,
                algs: wish.settings.signing_algs.clone(),
            },
            settings: wish.settings,
        };
        let edge = Edge::new(edge::Settings::default(), metrics, time, rng);
        let router = edge.wrap(stockade::oauth::router(ctx).unwrap());
        let secrets = Mutex::default();
        Self { clock, store, live, engine, audit, site, router, prometheus, sealer, secrets, _stop: stop }
    }

    /// A confidential client with a secret, not yet stored. See [`Fence::secret`].
    pub(crate) fn secret_client(&self, id: &str) -> Client {
        let secret = secret(id);
        self.secrets.lock().push(secret.clone());
        Client {
            secrets: vec![ClientSecret {
                digest: b64url::encode(&sha256(secret.as_bytes())),
                created_at: START,
                expires_at: None,
            }],
            grants: vec![GrantType::ClientCredentials],
            scopes: vec!["notes:read".to_owned(), "notes:write".to_owned()],
            resources: vec![API.to_owned(), OTHER.to_owned(), OPAQUE.to_owned()],
            default_resource: API.to_owned(),
            ..Client::new(id, AuthMethod::ClientSecretBasic, START)
        }
    }

    /// Stores a client.
    pub(crate) async fn add(&self, client: Client) {
        let mut tx = self.store.store.begin().await.unwrap();
        clients::insert(&mut tx, &client).await.unwrap();
        tx.commit().await.unwrap();
        self.live.refresh().await.unwrap();
    }

    /// Changes a client.
    pub(crate) async fn change(&self, id: &str, change: impl FnOnce(&mut Client)) {
        let mut tx = self.store.store.begin().await.unwrap();
        let mut stored = clients::find(&mut tx, id).await.unwrap().unwrap();
        change(&mut stored.client);
        clients::update(&mut tx, &stored.client, stored.version).await.unwrap();
        tx.commit().await.unwrap();
        self.live.refresh().await.unwrap();
    }

    /// Adds policies to the shipped ones.
    pub(crate) fn add_policies(&self, text: &str) {
        let extra = [("extra.cedar".to_owned(), text.to_owned())];
        let shipped = embedded().iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        self.engine.install(Snapshot::from_files(&Files::new(shipped.chain(extra))).unwrap());
    }

    /// Carries out what rotation plans, as the tick does.
    pub(crate) async fn rotate(&self, settings: &rotation::Settings) {
        for _ in 0..3 {
            live::keys::keep(&self.store.store, &self.sealer, settings, &*self.clock, &SystemRng).await.unwrap();
        }
        self.live.refresh().await.unwrap();
    }

    /// Makes a key by hand.
    pub(crate) async fn take_step(&self, step: &Step) {
        let mut tx = self.store.store.begin().await.unwrap();
        stockade::store::changes::bump(&mut tx, stockade::store::changes::Topic::Keys).await.unwrap();
        if let Step::Generate { alg, activates_at } = step {
            let key = keys::generate(*alg, &self.sealer, &SystemRng, self.clock.now(), *activates_at).unwrap();
            stockade::store::keys::insert(&mut tx, &key).await.unwrap();
        }
        tx.commit().await.unwrap();
        self.live.refresh().await.unwrap();
    }

    /// Sends a request and checks what every answer must hold.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let path = request.uri().path().to_owned();
        let answer = self.send_unchecked(request).await;
        self.check(&path, &answer);
        answer
    }

    /// Sends a request to where there may be nothing.
    pub(crate) async fn send_unchecked(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    fn check(&self, path: &str, answer: &Answer) {
        for name in ["x-request-id", "x-content-type-options", "x-frame-options", "traceparent"] {
            assert!(answer.headers.contains_key(name), "{path} without {name}: {answer:?}");
        }
        let error = answer.status.is_client_error() || answer.status.is_server_error();
        if path.starts_with("/oauth/") || error {
            assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"), "{path}: {answer:?}");
        }
        let page = ["/oauth/authorize", "/oauth/logout"].iter().any(|page| path.ends_with(page))
            && answer.header(header::CONTENT_TYPE) != Some("application/json");
        if page && !answer.status.is_redirection() {
            assert_eq!(answer.header(header::CONTENT_TYPE), Some("text/html; charset=utf-8"), "{path}: {answer:?}");
            let policy = answer.header(header::CONTENT_SECURITY_POLICY).unwrap();
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        } else if (path.ends_with("/oauth/userinfo") || path.contains("/oauth/register")) && error {
            let kind = answer.header(header::CONTENT_TYPE);
            assert!(matches!(kind, Some("application/problem+json" | "application/json")), "{path}: {answer:?}");
        } else if error {
            assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/json"), "{path}: {answer:?}");
            let body = answer.json();
            let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["error", "error_description"], "{path}: {answer:?}");
            for member in members {
                let text = body[member].as_str().unwrap();
                let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"\\".contains(&b));
                assert!(plain && !text.is_empty(), "{path}: {answer:?}");
            }
        }
        let text = format!("{answer:?}");
        let leaked =
            self.secrets.lock().iter().any(|secret| secret_text::check(secret).is_some() && text.contains(secret));
        let issued = path.ends_with("/oauth/token") && !error || answer.status.is_redirection();
        assert!(!leaked || issued, "{path} answered with a secret");
    }

    /// Remembers a secret that must not turn up where it does not belong.
    pub(crate) fn keep_secret(&self, secret: &str) {
        self.secrets.lock().push(secret.to_owned());
    }

    /// Posts a form, with Basic authentication of `client` when there is one.
    pub(crate) async fn post(&self, path: &str, client: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(client) = client {
            request = request.header(header::AUTHORIZATION, basic(client, &secret(client)));
        }
        self.send(request.body(Body::from(serde_urlencoded::to_string(form).unwrap())).unwrap()).await
    }

    /// A counter, by its series as it stands in the text.
    pub(crate) fn counted(&self, series: &str) -> u64 {
        let text = self.prometheus.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series} in {text}")).parse().unwrap()
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Any method, no body.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    /// Asks for a token with more parameters than the grant type.
    pub(crate) async fn ask(&self, client: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(more);
        self.post("/oauth/token", Some(client), &form).await
    }

    /// A token.
    pub(crate) async fn token(&self, client: &str, more: &[(&str, &str)]) -> String {
        let answer = self.ask(client, more).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        self.secrets.lock().push(token.clone());
        token
    }

    /// What introspection says to `caller`.
    pub(crate) async fn introspect(&self, caller: &str, token: &str) -> Value {
        let answer = self.post("/oauth/introspect", Some(caller), &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// The log, oldest first, folds included; no secret may stand in it.
    pub(crate) async fn events(&self) -> Vec<Value> {
        self.audit.flush().await.unwrap();
        // Folds are written when their second is over, the intake when the writer looks: wait for both.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let mut last = Vec::new();
        loop {
            // First the intake, then the log: what leaves the one in between is found in the other.
            let mut reader = self.store.store.read().await.unwrap();
            let waiting = !stockade::store::events::waiting_after(&mut reader, 0, 1).await.unwrap().is_empty();
            drop(reader);
            let mut reader = self.store.store.read_log().await.unwrap();
            let rows = log::page(&mut reader, &log::Filter::default(), None, 500).await.unwrap();
            drop(reader);
            let events: Vec<Value> = rows.iter().rev().map(|row| said(&row.entry)).collect();
            let text = serde_json::to_string(&events).unwrap();
            for secret in self.secrets.lock().iter() {
                assert!(!text.contains(secret.as_str()), "a secret stands in the log");
            }
            if !waiting && events.len() == last.len() && !events.is_empty() {
                return events;
            }
            last = events;
            assert!(tokio::time::Instant::now() < deadline, "the log did not come to rest: {last:?}");
            self.audit.flush().await.unwrap();
        }
    }

    /// The events of one kind, once there are `count` of them.
    pub(crate) async fn events_of(&self, kind: &str, count: usize) -> Vec<Value> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let mut events = self.events().await;
            events.retain(|e| e["kind"] == kind);
            if events.len() >= count {
                assert_eq!(events.len(), count, "{events:?}");
                return events;
            }
            assert!(tokio::time::Instant::now() < deadline, "{count} of {kind}, found {events:?}");
            // Folds leave with the second they belong to.
            self.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }
}

/// One key of each algorithm, the same for every server of the run: RSA keys take long to make.
async fn publish_keys(store: &Store, sealer: &Sealer) {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let make = |alg| keys::generate(alg, sealer, &SystemRng, START, START).unwrap();
    let made = KEYS.get_or_init(|| Algorithm::ALL.into_iter().map(make).collect());
    let mut tx = store.begin().await.unwrap();
    if stockade::store::keys::all(&mut tx).await.unwrap().is_empty() {
        for key in made {
            stockade::store::keys::insert(&mut tx, key).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

/// The secret of a client of these tests: always the same, so that two servers on one store agree.
pub(crate) fn secret(id: &str) -> String {
    let seed = sha256(id.as_bytes());
    let random = stockade::base::SeededRng::new(u64::from_le_bytes(*seed.first_chunk().unwrap()));
    secret_text::generate(Kind::ClientSecret, &random).expose().clone()
}

/// An `Authorization: Basic` value.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| serde_urlencoded::to_string([("", text)]).unwrap().trim_start_matches('=').to_owned();
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}
