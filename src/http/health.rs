//! The ops listener: `/healthz` (the process answers), `/readyz` (what it needs is there), `/metrics`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::problem::{Kind, Problem};
use crate::telemetry::Prometheus;

/// How long one check may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Box<dyn Fn() -> Answer + Send + Sync>;

/// What the ops listener shows.
#[derive(Default)]
pub struct Ops {
    prometheus: Option<Prometheus>,
    checks: Vec<(&'static str, Check)>,
    notes: Vec<(&'static str, &'static str)>,
    draining: Arc<AtomicBool>,
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops")
            .field("checks", &self.checks.iter().map(|(n, _)| n).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Ops {
    /// Shows the metrics of `prometheus`.
    pub fn new(prometheus: Prometheus) -> Self {
        Self { prometheus: Some(prometheus), ..Self::default() }
    }

    /// Adds something without which `/readyz` answers 503. The text of an error is shown to whoever reaches the ops listener:
    /// no secrets, no inner errors.
    #[must_use]
    pub fn check<F: Future<Output = Result<(), String>> + Send + 'static>(
        mut self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name, Box::new(move || Box::pin(check()))));
        self
    }

    /// Adds a fact that `/readyz` states beside its checks.
    #[must_use]
    pub fn note(mut self, name: &'static str, fact: &'static str) -> Self {
        self.notes.push((name, fact));
        self
    }

    /// Set it when the process begins to stop: from then on `/readyz` answers 503, so that no new traffic comes.
    pub fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// The three routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(State(ops): State<Arc<Ops>>) -> Response {
    let answers = join_all(ops.checks.iter().map(|(name, check)| async move {
        let answer = tokio::time::timeout(PATIENCE, check()).await;
        (*name, answer.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())))
    }))
    .await;
    let draining = ops.draining.load(Ordering::Relaxed);
    let ready = !draining && answers.iter().all(|(_, answer)| answer.is_ok());
    let checks: Map<String, Value> =
        answers.into_iter().map(|(name, a)| (name.to_owned(), a.map_or_else(Value::from, |()| "ok".into()))).collect();
    let status = if draining {
        "draining"
    } else if ready {
        "ready"
    } else {
        "not ready"
    };
    let mut body = Map::from_iter([("status".to_owned(), status.into()), ("checks".to_owned(), checks.into())]);
    body.extend(ops.notes.iter().map(|(name, fact)| ((*name).to_owned(), Value::from(*fact))));
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body)).into_response()
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Result<Response, Problem> {
    let Some(prometheus) = ops.prometheus.clone() else { return Err(Problem::new(Kind::NotFound)) };
    let text = tokio::task::spawn_blocking(move || prometheus.render()).await;
    let text = text.map_err(|_| Problem::new(Kind::Internal))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(Prometheus::CONTENT_TYPE))], text).into_response())
}
