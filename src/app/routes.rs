//! Which room answers what.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use tokio::sync::OnceCell;

use super::{Parts, StartError, openapi};
use crate::audit_log::checkpoint;
use crate::config::{IssuerKeys, RateLimit};
use crate::crypto::nonce::Nonces;
use crate::enforce::assertion::Assertions;
use crate::enforce::{Fence, Tokens, demo, nginx};
use crate::http::dpop::{self, Proofs};
use crate::http::foreign_keys::ForeignKeys;
use crate::http::health::Ops;
use crate::http::{Callers, Coarse, Cursors, Edge, Guard, TrustedProxies, edge};
use crate::limits::{Ceiling, Limit, LimitError};
use crate::oauth::trusted::TrustedIssuer;
use crate::registry::Site;
use crate::{access, audit, findings, login, manage, oauth};

/// How many may read along in the audit log at once.
const TAILS: usize = 64;

/// Both listeners' routes.
pub(super) struct Routes {
    pub(super) public: Router,
    pub(super) ops: Router,
    /// Of the public listener and of the other.
    pub(super) edges: [Edge; 2],
    pub(super) draining: Arc<AtomicBool>,
}

pub(super) fn routes(parts: &Arc<Parts>) -> Result<Routes, StartError> {
    let config = &parts.config;
    let ceiling = limit(&config.limits.ceiling)?;
    let public = edge::Settings {
        trusted_proxies: TrustedProxies::new(config.server.trusted_proxies.clone()),
        hsts: config.server.issuer.starts_with("https:"),
        timeout: Some(config.http.request_timeout),
        body_limit: config.http.body_limit,
        ceiling: Some(Arc::new(Ceiling::new(ceiling, Arc::clone(&parts.clock)))),
    };
    // Probes and scrapes are answered while the public listener is at its ceiling.
    let ops_edge = edge(parts, edge::Settings { ceiling: None, ..public.clone() });
    let public_edge = edge(parts, public);
    let ops = ops(parts);
    let draining = ops.draining();
    let proofs = Arc::new(Proofs::new(nonces(parts, "resource")));
    let guard = Arc::new(guard(parts, Arc::clone(&proofs))?);
    let fence = fence(parts, proofs)?;
    let issuer = &config.server.issuer;
    let guarded = audit(parts, Arc::clone(&guard), Arc::clone(&draining))
        .merge(findings(parts, Arc::clone(&guard)))
        .merge(manage(parts, Arc::clone(&guard)))
        .merge(access::router(issuer, Arc::clone(&guard), limit(&config.limits.access_client)?))
        .merge(oauth(parts, guard)?);
    let mut public = guarded
        .merge(openapi::router(issuer))
        .merge(login(parts)?)
        .merge(nginx::router(fence.clone(), assertions(parts)));
    if config.demo {
        public = public.merge(demo::described(&fence));
    }
    let (public, ops) = (public_edge.wrap(public), ops_edge.wrap(ops.router()));
    Ok(Routes { public, ops, edges: [public_edge, ops_edge], draining })
}

/// Where the issuer's own APIs are described (RFC 9728 3.1).
fn metadata(issuer: &str) -> Arc<str> {
    let origin = dpop::origin(issuer).unwrap_or_default();
    format!("{origin}/.well-known/oauth-protected-resource{}", dpop::path(issuer)).into()
}

fn limit(configured: &RateLimit) -> Result<Limit, LimitError> {
    Limit::new(configured.count.get(), configured.per, configured.burst.get())
}

fn edge(parts: &Parts, settings: edge::Settings) -> Edge {
    Edge::new(settings, Arc::clone(&parts.metrics), Arc::clone(&parts.clock), Arc::clone(&parts.rng))
}

fn oauth(parts: &Parts, guard: Arc<Guard>) -> Result<Router, StartError> {
    let config = &parts.config;
    let ctx = oauth::Ctx {
        issuer: config.server.issuer.as_str().into(),
        live: Arc::clone(&parts.live),
        store: parts.store.clone(),
        engine: Arc::clone(&parts.engine),
        audit: parts.audit.clone(),
        limits: Arc::clone(&parts.buckets),
        metrics: Arc::clone(&parts.metrics),
        clock: Arc::clone(&parts.clock),
        rng: Arc::clone(&parts.rng),
        issuers: issuers(parts)?,
        nonces: nonces(parts, "token"),
        site: parts.site.clone(),
        sessions: parts.sessions.clone(),
        flows: parts.flows.clone(),
        guard,
        fetcher: parts.fetcher.clone(),
        registry: Site::of(config),
        settings: oauth::Settings::from_config(&config.oauth, &config.limits, &config.audit_log)?,
    };
    Ok(oauth::router(ctx)?)
}

/// Whose tokens count as assertions.
fn issuers(parts: &Parts) -> Result<HashMap<Box<str>, TrustedIssuer>, StartError> {
    let trusted = &parts.config.oauth.trusted_issuers;
    let mut issuers = HashMap::with_capacity(trusted.len());
    if trusted.is_empty() {
        return Ok(issuers);
    }
    let fetcher = &parts.fetcher;
    for one in trusted {
        let bad = |why: String| StartError::TrustedIssuer(one.issuer.clone(), why);
        let clock = Arc::clone(&parts.clock);
        let keys = match &one.keys {
            IssuerKeys::Uri(uri) => {
                fetcher.checked(uri).map_err(|e| bad(format!("`jwks_uri`: {e}")))?;
                ForeignKeys::fetched(uri.clone(), fetcher.clone(), clock)?
            }
            IssuerKeys::File(file) => {
                let text = std::fs::read(file).map_err(|e| bad(format!("{}: {e}", file.display())))?;
                let set = serde_json::from_slice(&text).map_err(|e| bad(format!("{}: {e}", file.display())))?;
                ForeignKeys::fixed(&set).map_err(|e| bad(format!("{}: {e}", file.display())))?
            }
        };
        let audience = one.audience.as_ref().unwrap_or(&parts.config.server.issuer).as_str().into();
        let issuer = TrustedIssuer { issuer: one.issuer.as_str().into(), audience, algs: one.algs.clone(), keys };
        issuers.insert(one.issuer.as_str().into(), issuer);
    }
    Ok(issuers)
}

/// Nonces that proofs must carry at `place`. From the first key, as for sealing: every process takes those of the others.
fn nonces(parts: &Parts, place: &str) -> Option<Nonces> {
    let derived = parts.config.crypto.seal_keys.first().map(|key| Nonces::derived(key, place));
    parts.config.oauth.dpop_nonces.then(|| derived.unwrap_or_else(|| Nonces::random(&*parts.rng)))
}

fn login(parts: &Parts) -> Result<Router, StartError> {
    let config = &parts.config;
    let (metrics, clock) = (Arc::clone(&parts.metrics), Arc::clone(&parts.clock));
    let address = limit(&config.limits.address)?;
    Ok(login::router(login::Ctx {
        site: parts.site.clone(),
        sessions: parts.sessions.clone(),
        flows: parts.flows.clone(),
        live: Arc::clone(&parts.live),
        store: parts.store.clone(),
        sealer: Arc::clone(&parts.sealer),
        hasher: Arc::clone(&parts.hasher),
        audit: parts.audit.clone(),
        coarse: Coarse::new(Arc::clone(&parts.buckets), address, metrics, clock),
        providers: login::Providers::new(&config.login.providers, &parts.site, &parts.fetcher, &parts.clock)?,
        engine: Arc::clone(&parts.engine),
        limits: Arc::clone(&parts.buckets),
        metrics: Arc::clone(&parts.metrics),
        clock: Arc::clone(&parts.clock),
        rng: Arc::clone(&parts.rng),
        settings: login::Settings::from_config(&config.login, config.oauth.grant_lifetime)?,
    }))
}

/// Who may what on the management API.
fn guard(parts: &Parts, proofs: Arc<Proofs>) -> Result<Guard, StartError> {
    let address = limit(&parts.config.limits.address)?;
    let (metrics, clock) = (Arc::clone(&parts.metrics), Arc::clone(&parts.clock));
    Ok(Guard {
        callers: Callers::Tokens {
            audience: parts.config.server.issuer.as_str().into(),
            live: Arc::clone(&parts.live),
            metadata: Some(metadata(&parts.config.server.issuer)),
        },
        engine: Arc::clone(&parts.engine),
        audit: parts.audit.clone().into(),
        proofs,
        coarse: Coarse::new(Arc::clone(&parts.buckets), address, metrics, clock),
        metrics: Arc::clone(&parts.metrics),
        clock: Arc::clone(&parts.clock),
        rng: Arc::clone(&parts.rng),
    })
}

/// The first key, as for sealing: cursors live minutes, so a rotation costs at most a page begun again.
fn cursors(parts: &Parts) -> Cursors {
    parts.config.crypto.seal_keys.first().map_or_else(|| Cursors::random(&*parts.rng), Cursors::derived)
}

fn audit(parts: &Parts, guard: Arc<Guard>, draining: Arc<AtomicBool>) -> Router {
    audit::router(audit::Ctx {
        guard,
        store: parts.store.clone(),
        cursors: cursors(parts),
        sealer: Arc::clone(&parts.sealer),
        origin: checkpoint::origin(&parts.config.server.issuer),
        tails: audit::Tails::new(TAILS, draining),
    })
}

fn findings(parts: &Parts, guard: Arc<Guard>) -> Router {
    findings::router(findings::Ctx {
        guard,
        store: parts.store.clone(),
        cursors: cursors(parts),
        sealer: Arc::clone(&parts.sealer),
        live: Some(Arc::clone(&parts.live)),
    })
}

fn manage(parts: &Parts, guard: Arc<Guard>) -> Router {
    manage::router(manage::Ctx {
        guard,
        store: parts.store.clone(),
        sealer: Arc::clone(&parts.sealer),
        cursors: cursors(parts),
        site: Site::of(&parts.config),
        rotation: parts.rotation.clone(),
        oauth: parts.config.oauth.clone(),
        live: OnceCell::new_with(Some(Arc::clone(&parts.live))),
    })
}

/// The pipeline of every enforcement point of this process.
fn fence(parts: &Parts, proofs: Arc<Proofs>) -> Result<Fence, StartError> {
    let config = &parts.config;
    let fence = Fence::builder(config.server.issuer.as_str())
        .tokens(Arc::clone(&parts.live) as Arc<dyn Tokens>)
        .engine(Arc::clone(&parts.engine))
        .address_limit(limit(&config.limits.address)?)
        .buckets(Arc::clone(&parts.buckets))
        .trusted_proxies(TrustedProxies::new(config.server.trusted_proxies.clone()))
        .proofs(proofs)
        .recorder(Arc::new(parts.audit.clone()))
        .metrics(Arc::clone(&parts.metrics))
        .clock_and_rng(Arc::clone(&parts.clock), Arc::clone(&parts.rng))
        .build()?;
    Ok(fence)
}

/// Who signs for what passes a proxy.
fn assertions(parts: &Parts) -> Assertions {
    let live = Arc::clone(&parts.live);
    Assertions::new(parts.config.oauth.default_alg(), move || live.key_ring())
}

/// What `/readyz` asks.
fn ops(parts: &Arc<Parts>) -> Ops {
    let ops = Ops::new(parts.prometheus.clone())
        .check("store", {
            let parts = Arc::clone(parts);
            move || {
                let store = parts.store.clone();
                async move { store.ping().await.map_err(|_| "the database does not answer".to_owned()) }
            }
        })
        .check("policies", {
            let engine = Arc::clone(&parts.engine);
            move || std::future::ready(engine.snapshot().map(drop).ok_or_else(|| "no snapshot is loaded".to_owned()))
        })
        .check("keys", {
            let live = Arc::clone(&parts.live);
            move || std::future::ready(live.can_sign().then_some(()).ok_or_else(|| "no key signs".to_owned()))
        });
    if parts.store.is_shared() { ops.note("limits", "per process") } else { ops }
}
