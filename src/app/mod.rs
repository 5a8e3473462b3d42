//! The composition root: a configuration becomes parts, parts become two routers and the tasks that run beside them.
//! Nothing is decided here; everything is connected here.

mod inside;
pub mod openapi;
mod policies;
mod routes;
mod run;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::policies::PolicyTree;
use crate::audit_log::anchor::{Anchor, Anchors};
use crate::audit_log::retention::Retention;
use crate::audit_log::{self, AuditLog};
use crate::base::{Clock, Rng};
use crate::config::Config;
use crate::crypto::CryptoError;
use crate::crypto::hasher::{self, Hasher};
use crate::crypto::rotation;
use crate::crypto::seal::Sealer;
use crate::enforce::FenceError;
use crate::findings::{Feeds, Own, Responder};
use crate::http::Edge;
use crate::http::browser::Site;
use crate::http::fetch::{self, Fetcher, FetcherError};
use crate::http::flow::Flows;
use crate::http::networks::Networks;
use crate::http::session::{Lifetimes, Sessions};
use crate::limits::{self, Buckets, LimitError};
use crate::live::{self, Live, LiveError};
use crate::login::ProviderError;
use crate::oauth::{self, BackChannel, Unused};
use crate::policy::{Engine, Problem};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Prometheus};

pub use inside::Inside;
pub use run::{Bound, RunError};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys that do not open.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// No usable seal key.
    #[error("`[crypto] seal_keys`: {0}")]
    Crypto(#[from] CryptoError),
    /// The policies have mistakes: a service without a first snapshot would deny everything.
    #[error("the policies have {} problems; run `stockade policy check`", .0.len())]
    Policies(Vec<Problem>),
    /// The enforcement points.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// Requests of our own cannot be made.
    #[error(transparent)]
    Outbound(#[from] FetcherError),
    /// The keys of a trusted issuer.
    #[error("`[[oauth.trusted_issuers]]` `{0}`: {1}")]
    TrustedIssuer(String, String),
    /// A provider that people may sign in with.
    #[error(transparent)]
    LoginProvider(#[from] ProviderError),
    /// A limit that no bucket can count.
    #[error("`[limits]`: {0}")]
    Limit(#[from] LimitError),
    /// Sources that this binary cannot ask.
    #[error("`[findings] sources`: this binary was built without the feature `aws`")]
    NoAws,
    /// The database of others is behind this version.
    #[error("the database is behind this version; run `stockade migrate`")]
    NotMigrated,
}

/// The parts that routers and tasks share.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) live: Arc<Live>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) audit: AuditLog,
    pub(crate) buckets: Arc<Buckets>,
    /// Issuer, cookies, form tokens; who is signed in; authorization requests under way: what oauth and login share.
    pub(crate) site: Site,
    pub(crate) sessions: Sessions,
    pub(crate) flows: Flows,
    /// Makes the requests of this process: keys of others, logout tokens.
    pub(crate) fetcher: Fetcher,
    pub(crate) back_channel: BackChannel,
    pub(crate) unused_clients: Unused,
    pub(crate) hasher: Arc<Hasher>,
    /// Where signed heads are kept outside the host.
    pub(crate) anchors: Anchors,
    pub(crate) retention: Retention,
    /// Where findings are fetched; `None`: nowhere.
    pub(crate) feeds: Option<Feeds>,
    /// Ends what those at risk may not keep.
    pub(crate) responder: Responder,
    /// What this process finds out by itself.
    pub(crate) own: Own,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) prometheus: Prometheus,
    pub(crate) rotation: rotation::Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// The service, built and not yet running.
pub struct App {
    /// The public listener's routes.
    pub public: Router,
    /// `/healthz`, `/readyz`, `/metrics`.
    pub ops: Router,
    /// Of the public listener and of the other.
    edges: [Edge; 2],
    parts: Arc<Parts>,
    worker: audit_log::Worker,
    tree: PolicyTree,
    stop: watch::Sender<bool>,
    draining: Arc<std::sync::atomic::AtomicBool>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("issuer", &self.parts.config.server.issuer).finish_non_exhaustive()
    }
}

impl App {
    /// Opens the store, loads keys, clients and policies, and connects everything. Nothing listens yet.
    ///
    /// # Errors
    /// [`StartError`] says what is missing; nothing was started.
    pub async fn build(config: Config, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Self, StartError> {
        let store = Store::open(config.database.url.expose()).await?;
        // SQLite belongs to this process. A shared database is migrated by hand, once, before its processes start; an empty one
        // is nobody's yet.
        let status = store.migration_status().await?;
        if !store.is_shared() || status.iter().all(|m| !m.applied) {
            store.migrate().await?;
        } else if status.iter().any(|m| !m.applied) {
            return Err(StartError::NotMigrated);
        }
        let sealer = live::sealer(&config.crypto.seal_keys)?;
        let rotation = live::keys::settings_of(&config.oauth);
        let log_key = live::keys::log_key(&store, &sealer, &*rng).await?;
        let issuer = config.server.issuer.as_str();
        let live = Arc::new(Live::load(store.clone(), Arc::clone(&sealer), issuer, Arc::clone(&clock)).await?);
        let (prometheus, metrics) = Prometheus::new();
        let metrics = Arc::new(metrics);
        store.count_in(Arc::clone(&metrics));
        live.count_in(Arc::clone(&metrics));
        // After what is there was read: a first key is a change like any other.
        live::keys::keep(&store, &sealer, &rotation, &*clock, &*rng).await?;
        live.refresh().await?;
        let settings = audit_log::Settings {
            origin: audit_log::checkpoint::origin(issuer),
            queue: config.audit_log.queue,
            patience: config.audit_log.patience,
            checkpoint_every: Duration::from_secs(10),
        };
        let (audit, worker) =
            AuditLog::new(store.clone(), log_key, settings, Arc::clone(&metrics), Arc::clone(&clock), Arc::clone(&rng));
        let engine = Arc::new(Engine::new());
        let mut tree = PolicyTree::new(
            config.policy.dir.clone(),
            Arc::clone(&engine),
            store.clone(),
            Arc::clone(&metrics),
            Arc::clone(&clock),
            Arc::clone(&rng),
        );
        tree.look(true).await?.map_err(StartError::Policies)?;
        let fetches = !config.findings.sources.is_empty();
        live.tell_risk(Arc::clone(&engine), config.findings.risk.clone(), fetches).await?;
        // A slot is 24 bytes and half of the table stays free.
        let capacity = config.limits.keys.saturating_mul(2);
        let buckets = Arc::new(Buckets::new(limits::Settings { capacity, ..limits::Settings::default() }, &*rng));
        let site = Site::new(issuer, &config.crypto.seal_keys);
        let lifetimes = Lifetimes { whole: config.login.session_lifetime, idle: config.login.session_idle };
        let (time, random) = (|| Arc::clone(&clock), || Arc::clone(&rng));
        let sessions = Sessions::new(site.clone(), store.clone(), Arc::clone(&live), lifetimes, time(), random());
        let flows = Flows::new(site.clone(), Arc::clone(&sealer), time(), random());
        let mut hashing = hasher::Settings::of_this_machine();
        if config.login.hashes > 0 {
            hashing = hasher::Settings { threads: config.login.hashes, queue: config.login.hashes * 16 };
        }
        let hasher = Arc::new(Hasher::start(hashing, random())?);
        let feeds = Feeds::new(&config.findings, store.clone(), Arc::clone(&metrics), time(), random());
        if feeds.is_some() && !Feeds::is_supported() {
            return Err(StartError::NoAws);
        }
        let anchors = Anchors::new(config.audit_log.anchors.file.clone().map(Anchor::File));
        let responder = Responder::new(
            Arc::clone(&live),
            Arc::clone(&engine),
            store.clone(),
            Arc::clone(&metrics),
            time(),
            random(),
        );
        let signals = &config.findings.signals;
        audit.notice(audit_log::Thresholds {
            replays: signals.replays,
            denials: signals.denials,
            names: signals.names,
            limited: signals.limited,
        });
        let own = Own {
            audit: audit.clone(),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            clock: time(),
            rng: random(),
            quiet: signals.quiet,
            looked_at: Mutex::default(),
        };
        let retention = Retention::new(store.clone(), config.audit_log.retention, time(), random());
        let fetcher = Fetcher::new(&fetch::Settings {
            networks: Networks::new(config.outbound.networks.clone()),
            ca_file: config.outbound.ca_file.clone(),
            ..fetch::Settings::default()
        })?;
        let back_channel = BackChannel {
            issuer: issuer.into(),
            live: Arc::clone(&live),
            store: store.clone(),
            fetcher: fetcher.clone(),
            clock: time(),
            rng: random(),
            settings: oauth::Settings::from_config(&config.oauth, &config.limits, &config.audit_log)?,
        };
        let after = config.oauth.registration.unused;
        let unused_clients = Unused { store: store.clone(), after, clock: time(), rng: random() };
        let parts = Arc::new(Parts {
            config,
            store,
            sealer,
            live,
            engine,
            audit,
            buckets,
            site,
            sessions,
            flows,
            fetcher,
            back_channel,
            unused_clients,
            hasher,
            anchors,
            retention,
            feeds,
            responder,
            own,
            metrics,
            prometheus,
            rotation,
            clock,
            rng,
        });
        let routes::Routes { public, ops, edges, draining } = routes::routes(&parts)?;
        let (stop, _) = watch::channel(false);
        Ok(Self { public, ops, edges, parts, worker, tree, stop, draining })
    }

    /// The audit log, for what a process says about itself.
    pub fn audit(&self) -> &AuditLog {
        &self.parts.audit
    }

    /// The state in memory.
    pub fn live(&self) -> &Arc<Live> {
        &self.parts.live
    }
}
