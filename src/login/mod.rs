//! The pages a person meets: sign-in, the second step, consent, devices, the account. All of it works without JavaScript
//! but passkeys, which are JavaScript.
//!
//! ```text
//! GET  /login            entry: who is here already, what the flow needs      POST /login          password -> guess -> hasher
//! GET  /login/second     authenticator app or recovery code                   POST /login/second   second -> guess -> used up
//! POST /login/passkey    a passkey, without a name                            /login/logout        the end of a session
//! GET  /login/with/…     at another provider (upstream)                       /callback/…          and back
//! /consent               what a client asks for                               /device              RFC 8628
//! /account…              sessions, credentials, consents
//! ```
//!
//! This room proves who a person is and manages sessions; it issues nothing. An authorization request comes along as
//! `?flow=ID` ([`crate::http::flow`]) and goes back to `/oauth/authorize` when the person is done.
//!
//! A handler that takes a [`visit::Posted`] has a form that came from our own page in the same browser. What went wrong is a
//! [`trouble::Trouble`], which becomes a page on its way out.

mod account;
mod consent;
mod device;
mod entry;
mod guess;
mod held;
mod logout;
mod next;
mod pages;
mod passkey;
mod pending;
mod qr;
mod record;
mod second;
mod settings;
mod trouble;
mod upstream;
mod visit;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use settings::Settings;
pub use upstream::{ProviderError, Providers};

use crate::audit_log::AuditLog;
use crate::base::{Clock, Rng};
use crate::crypto::hasher::Hasher;
use crate::crypto::seal::Sealer;
use crate::http::Coarse;
use crate::http::browser::{Site, assets};
use crate::http::flow::Flows;
use crate::http::session::Sessions;
use crate::limits::Buckets;
use crate::live::Live;
use crate::policy::Engine;
use crate::store::Store;
use crate::telemetry::Metrics;

/// What the pages work with.
#[derive(Debug)]
pub struct Ctx {
    /// Issuer, cookies, form tokens.
    pub site: Site,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Authorization requests under way.
    pub flows: Flows,
    /// Clients and people.
    pub live: Arc<Live>,
    /// Everything else about them.
    pub store: Store,
    /// Seeds, passkeys, states of forms.
    pub sealer: Arc<Sealer>,
    /// Checks passwords.
    pub hasher: Arc<Hasher>,
    /// Where refusals go.
    pub audit: AuditLog,
    /// Counted before anything else.
    pub coarse: Coarse,
    /// Where else people may sign in.
    pub providers: Providers,
    /// Decides who comes in from there.
    pub engine: Arc<Engine>,
    /// Buckets of guesses.
    pub limits: Arc<Buckets>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// From the configuration.
    pub settings: Settings,
}

/// The context, and what is made of it once.
#[derive(Debug)]
struct Server {
    ctx: Ctx,
    passkeys: Option<passkey::Passkeys>,
}

type Shared = Arc<Server>;

/// The routes of the pages, below the path of the issuer when it has one.
pub fn router(ctx: Ctx) -> Router {
    let site = ctx.site.clone();
    let server = Arc::new(Server { passkeys: passkey::Passkeys::new(&ctx), ctx });
    let pages = Router::new()
        .route("/login", get(entry::show).post(entry::submit))
        .route("/login/second", get(second::show).post(second::submit))
        .route("/login/passkey", post(entry::passkey))
        .route("/login/logout", get(logout::show).post(logout::submit))
        .route("/login/out", get(logout::out))
        .route("/consent", get(consent::show).post(consent::submit))
        .route("/device", get(device::show).post(device::submit))
        .route("/device/allow", post(device::allow))
        .route("/device/refuse", get(device::refuse))
        .merge(account::router())
        .merge(upstream::router())
        .layer(middleware::from_fn_with_state(Arc::clone(&server), trouble::dress))
        .with_state(server);
    let pages = pages.merge(assets::router(""));
    match site.prefix() {
        "" => pages,
        prefix => Router::new().nest(prefix, pages),
    }
}
