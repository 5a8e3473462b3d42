//! The management API: clients and signing keys. Every call is decided by Cedar; every change is one transaction with its
//! event, and, when the caller sent an `Idempotency-Key`, with its answer, so that the same call again is answered the same.
//!
//! ```text
//! GET POST               /api/v1/clients                       May<P> -> registry (rules) -> change (one Tx) -> answer
//! GET PUT PATCH DELETE   /api/v1/clients/{id}                  ETag, If-Match
//! POST                   /api/v1/clients/{id}/rotate-secret | disable | enable
//! GET                    /api/v1/keys
//! POST                   /api/v1/keys/rotate, /api/v1/keys/{kid}/retire
//! ```

mod change;
mod clients;
mod keys;
mod page;
mod permissions;
mod sent;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use tokio::sync::OnceCell;

use crate::crypto::rotation;
use crate::crypto::seal::Sealer;
use crate::http::{Cursors, Guard};
use crate::live::Live;
use crate::registry::Site;
use crate::store::Store;

/// What the management API needs.
#[derive(Debug)]
pub struct Ctx {
    /// Who may.
    pub guard: Arc<Guard>,
    /// Where everything is.
    pub store: Store,
    /// Seals signing keys, and answers that are kept.
    pub sealer: Arc<Sealer>,
    /// Where pages begin; the same in every process of a deployment.
    pub cursors: Cursors,
    /// What clients are checked against.
    pub site: Site,
    /// How signing keys live.
    pub rotation: rotation::Settings,
    /// What this process holds in memory; not yet loaded in a command.
    pub live: OnceCell<Arc<Live>>,
}

/// [`Ctx`] as the router's state.
#[derive(Clone)]
struct Shared(Arc<Ctx>);

impl FromRef<Shared> for Arc<Guard> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.0.guard)
    }
}

/// `/api/v1/clients…`, `/api/v1/keys…`.
pub fn router(ctx: Ctx) -> Router {
    Router::new()
        .route("/api/v1/clients", get(clients::list).post(clients::create))
        .route(
            "/api/v1/clients/{id}",
            get(clients::show).put(clients::replace).patch(clients::patch).delete(clients::delete),
        )
        .route("/api/v1/clients/{id}/rotate-secret", post(clients::rotate))
        .route("/api/v1/clients/{id}/disable", post(clients::disable))
        .route("/api/v1/clients/{id}/enable", post(clients::enable))
        .route("/api/v1/keys", get(keys::list))
        .route("/api/v1/keys/rotate", post(keys::rotate))
        .route("/api/v1/keys/{kid}/retire", post(keys::retire))
        .with_state(Shared(Arc::new(ctx)))
}
