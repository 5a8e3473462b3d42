//! The pages in process, behind their edge, on a store of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use serde_json::Value;
use stockade::audit_log::{self, AuditLog};
use stockade::base::{Clock, ManualClock, Secret, SystemRng, Timestamp, id};
use stockade::config;
use stockade::crypto::hasher::{self, Hasher};
use stockade::crypto::password::{self, Password};
use stockade::crypto::totp::{self, Seed};
use stockade::crypto::{recovery, secret_text};
use stockade::http::browser::Site;
use stockade::http::fetch::{self, Fetcher};
use stockade::http::flow::{Authorization, Flow, Flows, Needs, Requested};
use stockade::http::session::{Lifetimes, Sessions};
use stockade::http::{Coarse, Edge, edge};
use stockade::limits::{self, Buckets, Limit};
use stockade::live::{self, Live};
use stockade::login::{Ctx, Providers, Settings, router};
use stockade::model::{AuthMethod, Client, Credential, CredentialKind, Grant, User};
use stockade::policy::{Engine, Files, Snapshot, embedded};
use stockade::store::{Store, clients, credentials, grants, log, users};
use stockade::telemetry::Prometheus;
use tokio::sync::watch;

use super::browser::Browser;
use crate::support::events::said;
use crate::support::stores::{TestStore, stores};

/// Midnight of some day, long after every certificate and before every year 2038.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const APP: &str = "https://app.example/cb";
pub(crate) const ISSUER: &str = "http://localhost:8080";

/// One deployment, and who lives there.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) live: Arc<Live>,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) flows: Flows,
    pub(crate) router: Router,
    pub(crate) secrets: Mutex<Vec<String>>,
    pub(crate) engine: Arc<Engine>,
    sealer: Arc<stockade::crypto::seal::Sealer>,
    audit: AuditLog,
    _stop: watch::Sender<bool>,
    _it: TestStore,
}

/// What a stage is made with.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) login: config::Login,
    pub(crate) hashing: hasher::Settings,
    pub(crate) issuer: &'static str,
    /// Asks providers.
    pub(crate) fetcher: Option<Fetcher>,
}

impl Default for Wish {
    fn default() -> Self {
        let hashing = hasher::Settings { threads: 2, queue: 256 };
        Self { login: config::Login::default(), hashing, issuer: ISSUER, fetcher: None }
    }
}

/// One stage on each kind of store.
pub(crate) async fn stages() -> Vec<Stage> {
    with(&Wish::default()).await
}

pub(crate) async fn with(wish: &Wish) -> Vec<Stage> {
    let mut all = Vec::new();
    for it in stores().await {
        all.push(stage(it, wish).await);
    }
    all
}

async fn stage(it: TestStore, wish: &Wish) -> Stage {
    let store = it.store.clone();
    let keys = [Secret::new("a sealing key of thirty-two chars".to_owned())];
    let clock = Arc::new(ManualClock::at(START));
    let time = || Arc::clone(&clock) as Arc<dyn Clock>;
    let rng = || Arc::new(SystemRng) as Arc<dyn stockade::base::Rng>;
    let sealer = live::sealer(&keys).unwrap();
    let app = Client {
        client_name: Some("Notes & More".to_owned()),
        redirect_uris: vec![APP.to_owned()],
        default_resource: "https://api.example".to_owned(),
        backchannel_logout_uri: Some("https://app.example/out".to_owned()),
        ..Client::new("app", AuthMethod::None, START)
    };
    let mut tx = store.begin().await.unwrap();
    clients::insert(&mut tx, &app).await.unwrap();
    tx.commit().await.unwrap();
    let live = Live::load(store.clone(), Arc::clone(&sealer), wish.issuer, time()).await.unwrap();
    let live = Arc::new(live);
    let log_key = live::keys::log_key(&store, &sealer, &SystemRng).await.unwrap();
    let settings = audit_log::Settings {
        origin: wish.issuer.to_owned(),
        queue: 1024,
        patience: Duration::from_secs(30),
        checkpoint_every: Duration::from_secs(3600),
    };
    let (_, metrics) = Prometheus::new();
    let metrics = Arc::new(metrics);
    let (audit, worker) = AuditLog::new(store.clone(), log_key, settings, Arc::clone(&metrics), time(), rng());
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(worker.run(stopped));
    let site = Site::new(wish.issuer, &keys);
    let lifetimes = Lifetimes { whole: wish.login.session_lifetime, idle: wish.login.session_idle };
    let sessions = Sessions::new(site.clone(), store.clone(), Arc::clone(&live), lifetimes, time(), rng());
    let flows = Flows::new(site.clone(), Arc::clone(&sealer), time(), rng());
    let hasher = Arc::new(Hasher::start(wish.hashing, rng()).unwrap());
    let buckets = Arc::new(Buckets::new(limits::Settings::default(), &SystemRng));
    let coarse = Limit::per_second(10_000, 10_000).unwrap();
    let fetcher = wish.fetcher.clone().unwrap_or_else(|| Fetcher::new(&fetch::Settings::default()).unwrap());
    let providers = Providers::new(&wish.login.providers, &site, &fetcher, &time()).unwrap();
    let engine = Arc::new(Engine::new());
    let router = router(Ctx {
        site,
        sessions,
        flows: flows.clone(),
        live: Arc::clone(&live),
        store: store.clone(),
        sealer: Arc::clone(&sealer),
        hasher: Arc::clone(&hasher),
        audit: audit.clone(),
        coarse: Coarse::new(Arc::clone(&buckets), coarse, Arc::clone(&metrics), time()),
        providers,
        engine: Arc::clone(&engine),
        limits: buckets,
        metrics: Arc::clone(&metrics),
        clock: time(),
        rng: rng(),
        settings: Settings::from_config(&wish.login, Duration::from_secs(86_400)).unwrap(),
    });
    let router = Edge::new(edge::Settings::default(), metrics, time(), rng()).wrap(router);
    let secrets = Mutex::new(vec![PASSWORD.to_owned()]);
    let name = it.name;
    let stage =
        Stage { name, store, clock, live, hasher, flows, router, secrets, engine, sealer, audit, _stop: stop, _it: it };
    stage.decide_by("");
    stage
}

impl Stage {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The shipped policies and these.
    pub(crate) fn decide_by(&self, more: &str) {
        let extra = [("extra.cedar".to_owned(), more.to_owned())];
        let shipped = embedded().iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        self.engine.install(Snapshot::from_files(&Files::new(shipped.chain(extra))).unwrap());
    }

    /// A fresh browser.
    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// Somebody without credentials.
    pub(crate) async fn add(&self, username: &str) -> User {
        let user = User::new(id::new("usr", self.clock.now(), &SystemRng), username.to_owned(), self.clock.now());
        let mut tx = self.store.begin().await.unwrap();
        users::insert(&mut tx, &user).await.unwrap();
        tx.commit().await.unwrap();
        user
    }

    /// Somebody with [`PASSWORD`].
    pub(crate) async fn add_with_password(&self, username: &str) -> User {
        let user = self.add(username).await;
        let hash = password::hash(&Password::new(PASSWORD).unwrap(), &SystemRng).unwrap();
        self.give(&user, CredentialKind::Password, hash.as_bytes()).await;
        user
    }

    /// Somebody with a password and an authenticator app.
    pub(crate) async fn add_with_totp(&self, username: &str) -> (User, Seed) {
        let user = self.add_with_password(username).await;
        let seed = Seed::generate(&SystemRng);
        self.secrets.lock().push(seed.text().expose().clone());
        self.give(&user, CredentialKind::Totp, seed.expose()).await;
        (user, seed)
    }

    /// A recovery code.
    pub(crate) async fn add_recovery(&self, user: &User) -> String {
        let code = recovery::generate(&SystemRng).expose().clone();
        self.secrets.lock().push(code.clone());
        self.give(user, CredentialKind::Recovery, &recovery::digest(&code).unwrap()).await;
        code
    }

    pub(crate) async fn give(&self, user: &User, kind: CredentialKind, body: &[u8]) {
        let credential_id = id::new("cred", self.clock.now(), &SystemRng);
        let place = format!("{}:{credential_id}", kind.as_str());
        let body = match kind {
            CredentialKind::Totp | CredentialKind::Passkey => {
                self.sealer.seal(place.as_bytes(), body, &SystemRng).unwrap()
            }
            CredentialKind::Password | CredentialKind::Recovery => body.to_vec(),
        };
        let credential = Credential {
            credential_id,
            user_id: user.user_id.clone(),
            kind,
            label: String::new(),
            body,
            last_step: None,
            created_at: self.clock.now(),
            last_used_at: None,
        };
        let mut tx = self.store.begin().await.unwrap();
        credentials::insert(&mut tx, &credential).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn change(&self, user: &User, change: impl FnOnce(&mut User)) {
        let mut tx = self.store.begin().await.unwrap();
        let mut stored = users::find(&mut tx, &user.user_id).await.unwrap().unwrap();
        change(&mut stored.user);
        users::update(&mut tx, &stored.user, stored.version).await.unwrap();
        tx.commit().await.unwrap();
        self.live.forget_users();
    }

    /// What `user` holds of one kind.
    pub(crate) async fn held(&self, user: &User, kind: CredentialKind) -> Vec<Credential> {
        let mut all = credentials::of_user(&mut self.store.read().await.unwrap(), &user.user_id).await.unwrap();
        all.retain(|credential| credential.kind == kind);
        all
    }

    /// The code of the app now.
    pub(crate) fn code(&self, seed: &Seed) -> String {
        totp::code(seed, totp::step(self.clock.now())).to_string()
    }

    /// Begins an authorization request in `browser`, as `/oauth/authorize` does.
    pub(crate) fn flow(&self, browser: &Browser<'_>, needs: Needs) -> Flow {
        let request = Authorization {
            redirect_uri: APP.to_owned(),
            scopes: vec!["openid".to_owned(), "notes:read".to_owned()],
            resources: vec!["https://api.example".to_owned()],
            ..Authorization::default()
        };
        self.flow_of(browser, Requested::Here(Box::new(request)), needs)
    }

    pub(crate) fn flow_of(&self, browser: &Browser<'_>, request: Requested, needs: Needs) -> Flow {
        let (flow, cookies) = self.flows.begin(&browser.headers(), "app", request, needs).unwrap();
        for cookie in cookies {
            browser.keep(cookie.to_str().unwrap());
        }
        flow
    }

    /// A family of tokens that was granted in this session.
    pub(crate) async fn grant(&self, user: &User, session_id: Option<&str>) -> String {
        let now = self.clock.now();
        let grant = Grant {
            grant_id: id::new("gr", now, &SystemRng),
            client_id: "app".to_owned(),
            user_id: user.user_id.clone(),
            session_id: session_id.map(str::to_owned),
            scopes: vec!["openid".to_owned()],
            resources: vec!["https://api.example".to_owned()],
            acr: stockade::model::Acr::One,
            amr: vec!["pwd".to_owned()],
            auth_time: now,
            nonce: None,
            dpop_jkt: None,
            created_at: now,
            expires_at: now.plus(Duration::from_secs(86_400)),
            revoked_at: None,
        };
        let mut tx = self.store.begin().await.unwrap();
        grants::insert(&mut tx, &grant).await.unwrap();
        tx.commit().await.unwrap();
        grant.grant_id
    }

    /// The events of one kind, once there are `count` of them; nothing secret may stand in the log.
    pub(crate) async fn events(&self, kind: &str, count: usize) -> Vec<Value> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            self.audit.flush().await.unwrap();
            let mut reader = self.store.read_log().await.unwrap();
            let rows = log::page(&mut reader, &log::Filter::default(), None, 500).await.unwrap();
            drop(reader);
            let mut events: Vec<Value> = rows.iter().rev().map(|row| said(&row.entry)).collect();
            let text = serde_json::to_string(&events).unwrap();
            for secret in self.secrets.lock().iter() {
                assert!(!text.contains(secret.as_str()), "a secret stands in the log");
            }
            events.retain(|event| event["kind"] == kind);
            let sum = |events: &[Value]| events.iter().map(|e| e["count"].as_u64().unwrap_or(1)).sum::<u64>();
            if sum(&events) >= count as u64 {
                assert_eq!(sum(&events), count as u64, "{events:?}");
                return events;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}: {count} of {kind}, found {events:?}", self.name);
            // Folds leave with the second they belong to.
            self.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }
}

/// Whether a text is a secret that no page may hold.
pub(crate) fn is_secret(text: &str) -> bool {
    secret_text::check(text).is_some()
}
