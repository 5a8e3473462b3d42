//! The management API without a network: what the command line asks when it opens the store itself. The same handlers, rules,
//! decisions and events as over the wire; the caller is an operator, and events go to the intake.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

use super::StartError;
use crate::audit_log::checkpoint;
use crate::base::{Clock, Rng};
use crate::config::Config;
use crate::http::dpop::Proofs;
use crate::http::{Callers, Coarse, Cursors, Edge, Guard, Record, edge};
use crate::limits::{self, Buckets, Limit};
use crate::policy::{Engine, Principal, Snapshot};
use crate::registry::Site;
use crate::store::{Store, StoreError};
use crate::telemetry::Prometheus;
use crate::{audit, findings, live, manage};

/// The API, in this process.
#[derive(Debug)]
pub struct Inside {
    router: Router,
    record: Record,
}

impl Inside {
    /// Over this store, decided by these policies, for this operator.
    ///
    /// # Errors
    /// When the seal keys are not usable.
    pub fn new(
        config: &Config,
        store: Store,
        policies: Arc<Snapshot>,
        operator: Principal,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Prometheus::new().1);
        let engine = Arc::new(Engine::new());
        engine.install(policies);
        let record = Record::intake(store.clone());
        // Nobody is counted here; a guard has a bucket all the same.
        let buckets = Arc::new(Buckets::new(limits::Settings { capacity: 16, ..limits::Settings::default() }, &*rng));
        let plenty = Limit::new(1_000_000, Duration::from_secs(1), 1_000_000)?;
        let guard = Arc::new(Guard {
            callers: Callers::Operator(operator),
            engine,
            audit: record.clone(),
            coarse: Coarse::new(buckets, plenty, Arc::clone(&metrics), Arc::clone(&clock)),
            proofs: Arc::new(Proofs::new(None)),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
        });
        let cursors = || config.crypto.seal_keys.first().map_or_else(|| Cursors::random(&*rng), Cursors::derived);
        let manage = manage::router(manage::Ctx {
            guard: Arc::clone(&guard),
            store: store.clone(),
            sealer: live::sealer(&config.crypto.seal_keys)?,
            cursors: cursors(),
            site: Site::of(config),
            rotation: live::keys::settings_of(&config.oauth),
            oauth: config.oauth.clone(),
            live: OnceCell::new(),
        });
        let findings = findings::Ctx {
            guard: Arc::clone(&guard),
            store: store.clone(),
            cursors: cursors(),
            sealer: live::sealer(&config.crypto.seal_keys)?,
            live: None,
        };
        let audit = audit::Ctx {
            guard,
            store,
            cursors: cursors(),
            sealer: live::sealer(&config.crypto.seal_keys)?,
            origin: checkpoint::origin(&config.server.issuer),
            tails: audit::Tails::new(1, Arc::default()),
        };
        let router = manage.merge(audit::router(audit)).merge(findings::router(findings));
        let settings =
            edge::Settings { timeout: None, body_limit: config.http.body_limit, ..edge::Settings::default() };
        let router = Edge::new(settings, metrics, clock, Arc::clone(&rng)).wrap(router);
        Ok(Self { router, record })
    }

    /// Asks; the answer comes as it is made.
    pub async fn open(&self, request: Request<Bytes>) -> Response<axum::body::Body> {
        match self.router.clone().oneshot(request.map(Full::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Asks.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = self.open(request).await.into_parts();
        match body.collect().await {
            Ok(whole) => Response::from_parts(parts, whole.to_bytes()),
            Err(error) => {
                tracing::error!(%error, "an answer broke off inside the process");
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    /// Writes the events that were to follow their answers. Call it before the process ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(&self) -> Result<(), StoreError> {
        self.record.flush().await
    }
}
