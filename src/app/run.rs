//! Running: two listeners, the tasks beside them, and the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::{App, Parts, policies};
use crate::audit_log::anchor::AnchorError;
use crate::audit_log::disk::{self, Pressure};
use crate::config;
use crate::crypto::CryptoError;
use crate::findings::SyncError;
use crate::http::serve::{self, serve};
use crate::http::{Tls, TlsError};
use crate::live;
use crate::live::LiveError;
use crate::model::event::kind;
use crate::model::{Event, Outcome};
use crate::store::{self, StoreError};
use crate::telemetry::labels::{Ended, Label as _, Table, Tick};
use crate::telemetry::logs;
use crate::ticks::Ticks;

/// How many expired rows one sweep removes at a time.
const SWEEP: i64 = 500;

/// Why running ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is taken or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Keys.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// The listeners, bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    public: TcpListener,
    ops: TcpListener,
    public_tls: Option<Tls>,
    ops_tls: Option<Tls>,
}

impl Bound {
    /// Where the public listener is.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }
}

impl App {
    /// Takes both addresses and reads the certificate.
    ///
    /// # Errors
    /// When an address is not to be had or the certificate does not fit.
    pub async fn bind(&self) -> Result<Bound, RunError> {
        let config = &self.parts.config;
        let listen = async |addr: SocketAddr| TcpListener::bind(addr).await.map_err(|e| RunError::Listen(addr, e));
        Ok(Bound {
            public: listen(config.server.listen).await?,
            ops: listen(config.server.ops_listen).await?,
            public_tls: config.http.tls.as_ref().map(Tls::load).transpose()?,
            ops_tls: config.ops_tls().map(Tls::load).transpose()?,
        })
    }

    /// Serves until `shutdown` resolves, then drains: `/readyz` says no, requests in flight end, queues flush, the head of
    /// the log is signed.
    pub async fn run(self, bound: Bound, shutdown: impl Future<Output = ()>) {
        let Self { public, ops, edges: [public_edge, ops_edge], parts, worker, mut tree, stop, draining } = self;
        let worker = tokio::spawn(worker.run(stop.subscribe()));
        let follower = tokio::spawn({
            let (live, stopped) = (Arc::clone(&parts.live), stop.subscribe());
            async move { live.follow(stopped).await }
        });
        let tasks = tokio::spawn(tasks(Arc::clone(&parts), stop.subscribe()));
        let reload = Arc::new(Notify::new());
        let policies = tokio::spawn({
            let (reload, mut stopped) = (Arc::clone(&reload), stop.subscribe());
            async move {
                loop {
                    let again = tokio::select! {
                        _ = stopped.wait_for(|stop| *stop) => return,
                        () = reload.notified() => true,
                        () = tokio::time::sleep(Duration::from_millis(500)) => false,
                    };
                    if let Err(error) = tree.look(again).await {
                        tracing::warn!(
                            error = %crate::telemetry::chain(&error),
                            "a change of policy could not be recorded; not in force"
                        );
                    }
                }
            }
        });
        let hangup = tokio::spawn(policies::on_hangup(reload));
        let say = |kind| Event::new(kind, Outcome::Allowed, parts.clock.now(), &*parts.rng);
        parts.audit.queue(say(kind::SERVICE_STARTED).with("version", env!("CARGO_PKG_VERSION")));

        let settings = serve::Settings::from(&parts.config.http);
        let (down, up) = watch::channel(false);
        let gone = |mut up: watch::Receiver<bool>| async move {
            if up.wait_for(|down| *down).await.is_err() {
                tracing::debug!("the shutdown signal's sender is gone");
            }
        };
        let public =
            tokio::spawn(serve(bound.public, public, Some(public_edge), bound.public_tls, settings, gone(up.clone())));
        // The ops listener outlives the drain, so that probes see it happen.
        let (ops_down, ops_up) = watch::channel(false);
        let ops = tokio::spawn(serve(bound.ops, ops, Some(ops_edge), bound.ops_tls, settings, gone(ops_up)));
        shutdown.await;
        draining.store(true, Ordering::SeqCst);
        tracing::info!("stopping: requests in flight end first");
        down.send_replace(true);
        joined("public listener", public).await;
        parts.audit.queue(say(kind::SERVICE_STOPPED));
        stop.send_replace(true);
        hangup.abort();
        joined("policies", policies).await;
        joined("tasks", tasks).await;
        joined("follower", follower).await;
        joined("audit log", worker).await;
        if let Err(error) = anchors(&parts).await {
            tracing::warn!(error = %crate::telemetry::chain(&error), "the last head was not kept outside");
        }
        ops_down.send_replace(true);
        joined("ops listener", ops).await;
        parts.store.close().await;
    }
}

async fn joined<T>(what: &'static str, task: tokio::task::JoinHandle<T>) {
    if let Err(error) = task.await {
        tracing::error!(%error, what, "ended badly");
    }
}

/// Everything periodic that is not a loop of its own.
async fn tasks(parts: Arc<Parts>, stop: watch::Receiver<bool>) {
    let ticks = Ticks { metrics: Arc::clone(&parts.metrics), clock: Arc::clone(&parts.clock), stop };
    let keys = ticks.clone().every(Tick::Keys, Duration::from_secs(60), || keep_keys(&parts));
    let sweep = ticks.clone().every(Tick::Sweep, Duration::from_secs(30), || sweep(&parts));
    let sizes = ticks.clone().every(Tick::Sizes, Duration::from_secs(300), || sizes(&parts));
    let logouts = ticks.clone().every(Tick::Logouts, Duration::from_secs(1), || logouts(&parts));
    let findings = ticks.clone().every(Tick::Findings, parts.config.findings.poll, || findings(&parts));
    let every = parts.config.audit_log.anchors.every;
    let anchors = ticks.clone().every(Tick::Anchors, every, || anchors(&parts));
    let risk = ticks.clone().every(Tick::Risk, Duration::from_secs(1), || parts.responder.tick());
    let own = ticks.clone().every(Tick::Signals, Duration::from_secs(1), || parts.own.tick());
    let retention = ticks.clone().every(Tick::Retention, Duration::from_secs(60), || retention(&parts));
    let upkeep = ticks.every(Tick::Upkeep, Duration::from_secs(5), || upkeep(&parts));
    tokio::join!(keys, sweep, sizes, logouts, findings, risk, own, anchors, retention, upkeep);
}

async fn keep_keys(parts: &Parts) -> Result<Ended, LiveError> {
    let steps = live::keys::keep(&parts.store, &parts.sealer, &parts.rotation, &*parts.clock, &*parts.rng).await?;
    if steps > 0 {
        parts.live.refresh().await?;
    }
    Ok(Ended::Done)
}

/// Expired rows leave in small batches, so that no writer waits long.
async fn sweep(parts: &Parts) -> Result<Ended, StoreError> {
    store::retention::sweep(&parts.store, parts.clock.now(), SWEEP).await?;
    parts.unused_clients.forget().await?;
    crate::findings::end_expired(&parts.store, &*parts.clock, &*parts.rng).await?;
    Ok(Ended::Done)
}

/// Clients are told of the sessions that ended.
async fn logouts(parts: &Parts) -> Result<Ended, StoreError> {
    parts.back_channel.deliver().await?;
    Ok(Ended::Done)
}

/// GuardDuty and Security Hub are asked what changed.
async fn findings(parts: &Parts) -> Result<Ended, SyncError> {
    match &parts.feeds {
        Some(feeds) => feeds.tick().await,
        None => Ok(Ended::Skipped),
    }
}

/// How full the disk is decides what is still written.
fn watch_disk(parts: &Parts) {
    let Some(used) = parts.store.path().and_then(disk::used) else { return };
    let config::Disk { warn, shed, stop } = parts.config.audit_log.disk;
    let pressure = disk::Marks { warn, shed, stop }.at(used);
    parts.metrics.disk_used.set((), u64::from(used));
    parts.audit.press(pressure);
    parts.store.set_full(pressure == Pressure::Stop);
    match pressure {
        Pressure::None => {}
        Pressure::Warn => tracing::warn!(used, "the disk of the database fills up"),
        Pressure::Shed => {
            tracing::error!(used, "the disk of the database is nearly full: queued events are only counted")
        }
        Pressure::Stop => tracing::error!(used, "the disk of the database is full up to the mark: nothing is written"),
    }
}

/// The oldest of the audit log leaves, as long as it is kept no longer.
async fn retention(parts: &Parts) -> Result<Ended, StoreError> {
    if parts.config.audit_log.retention.is_zero() {
        return Ok(Ended::Skipped);
    }
    let entries = parts.retention.sweep().await?;
    if entries > 0 {
        tracing::info!(entries, "dropped what the audit log keeps no longer");
    }
    Ok(Ended::Done)
}

/// The newest signed head is kept outside the host.
async fn anchors(parts: &Parts) -> Result<Ended, AnchorError> {
    if parts.anchors.is_empty() {
        return Ok(Ended::Skipped);
    }
    if let Some(size) = parts.anchors.keep(&parts.store).await? {
        parts.metrics.audit_anchored.set((), u64::try_from(size).unwrap_or(0));
    }
    Ok(Ended::Done)
}

async fn sizes(parts: &Parts) -> Result<Ended, StoreError> {
    let sizes = store::retention::sizes(&mut parts.store.read().await?).await?;
    for table in Table::ALL {
        let rows = sizes.iter().find(|(name, _)| name == table.as_str()).map_or(0, |(_, rows)| *rows);
        parts.metrics.table_rows.set(*table, u64::try_from(rows).unwrap_or(0));
    }
    Ok(Ended::Done)
}

async fn upkeep(parts: &Parts) -> Result<Ended, StoreError> {
    let now = parts.clock.now();
    parts.prometheus.upkeep();
    parts.buckets.shrink(parts.clock.monotonic_ns());
    let stats = parts.buckets.stats(parts.clock.monotonic_ns());
    parts.metrics.limit_keys.set((), u64::try_from(stats.live).unwrap_or(u64::MAX));
    parts.metrics.limit_slots.set((), u64::try_from(stats.slots).unwrap_or(u64::MAX));
    let ring = parts.live.key_ring();
    for alg in crate::model::Algorithm::ALL {
        use crate::model::KeyState::{Active, Expired, Published, Retired};
        for state in [Published, Active, Retired, Expired] {
            let count = ring.stored().filter(|key| key.alg == alg && key.state(now) == state).count();
            parts.metrics.signing_keys.set((alg, state), u64::try_from(count).unwrap_or(0));
        }
    }
    parts.metrics.log_lines_dropped.with(()).absolute(logs::dropped());
    watch_disk(parts);
    let log = store::log::state(&mut parts.store.read_log().await?).await?;
    parts.metrics.audit_size.set((), u64::try_from(log.size).unwrap_or(0));
    Ok(Ended::Done)
}
