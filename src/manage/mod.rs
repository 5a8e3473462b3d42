//! The management API: clients, people and signing keys. Every call is decided by Cedar; every change is one transaction with its
//! event, and, when the caller sent an `Idempotency-Key`, with its answer, so that the same call again is answered the same.
//!
//! ```text
//! GET POST               /api/v1/clients                       May<P> -> registry (rules) -> change (one Tx) -> answer
//! GET PUT PATCH DELETE   /api/v1/clients/{id}                  ETag, If-Match
//! POST                   /api/v1/clients/{id}/rotate-secret | disable | enable
//! GET POST               /api/v1/users     GET PATCH DELETE /api/v1/users/{id}
//! POST PUT               /api/v1/users/{id}/password | disable | enable | roles
//! GET DELETE             /api/v1/users/{id}/sessions     DELETE …/sessions/{session_id}
//! GET                    /api/v1/keys
//! POST                   /api/v1/keys/rotate, /api/v1/keys/{kid}/retire
//! POST                   /api/v1/tokens     POST /api/v1/tokens/introspect | revoke | explain
//! ```

mod change;
mod clients;
mod explain;
mod keys;
mod page;
mod permissions;
mod sent;
mod tokens;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{delete, get, post, put};
use tokio::sync::OnceCell;

use crate::config;
use crate::crypto::rotation;
use crate::crypto::seal::Sealer;
use crate::http::{Cursors, Guard, Kind, Problem};
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
    /// How tokens look and live.
    pub oauth: config::Oauth,
    /// What this process holds in memory; not yet loaded in a command.
    pub live: OnceCell<Arc<Live>>,
}

impl Ctx {
    /// What this process holds in memory, loaded when it is first needed.
    ///
    /// # Errors
    /// 503 when it cannot be loaded.
    async fn live(&self) -> Result<&Arc<Live>, Problem> {
        let load = async || {
            let (sealer, clock) = (Arc::clone(&self.sealer), Arc::clone(&self.guard.clock));
            Live::load(self.store.clone(), sealer, &self.site.issuer, clock).await.map(Arc::new)
        };
        self.live.get_or_try_init(load).await.map_err(|error| {
            tracing::warn!(error = %crate::telemetry::chain(&error), "keys and clients could not be loaded");
            Problem::new(Kind::Unavailable).detail("the database does not answer now: try again")
        })
    }
}

/// [`Ctx`] as the router's state.
#[derive(Clone)]
struct Shared(Arc<Ctx>);

impl FromRef<Shared> for Arc<Guard> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.0.guard)
    }
}

/// `/api/v1/clients…`, `/api/v1/users…`, `/api/v1/keys…`.
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
        .route("/api/v1/users", get(users::list).post(users::create))
        .route("/api/v1/users/{id}", get(users::show).patch(users::patch).delete(users::delete))
        .route("/api/v1/users/{id}/roles", put(users::roles))
        .route("/api/v1/users/{id}/password", post(users::set_password))
        .route("/api/v1/users/{id}/disable", post(users::disable))
        .route("/api/v1/users/{id}/enable", post(users::enable))
        .route("/api/v1/users/{id}/sessions", get(users::list_sessions).delete(users::end_sessions))
        .route("/api/v1/users/{id}/sessions/{session_id}", delete(users::end_session))
        .route("/api/v1/keys", get(keys::list))
        .route("/api/v1/keys/rotate", post(keys::rotate))
        .route("/api/v1/keys/{kid}/retire", post(keys::retire))
        .route("/api/v1/tokens", post(tokens::issue))
        .route("/api/v1/tokens/introspect", post(tokens::introspect))
        .route("/api/v1/tokens/revoke", post(tokens::revoke))
        .route("/api/v1/tokens/explain", post(explain::explain))
        .with_state(Shared(Arc::new(ctx)))
}
