//! The authorization server: authorization, tokens, introspection, revocation, userinfo, metadata.
//!
//! ```text
//! GET  /oauth/authorize   address bucket -> request -> signed in, policy, consent -> code; else a page of room login
//! POST /oauth/device_authorization   as token: a code for a device to poll with, one for a person to type at /device
//! POST /oauth/par         address bucket -> form -> client_auth -> the same check -> request_uri
//! POST /oauth/token       address bucket -> form -> client_auth -> client bucket -> token/<grant>
//! POST /oauth/introspect  address bucket -> form -> client_auth -> live token, if the caller may know
//! POST /oauth/revoke      address bucket -> form -> client_auth -> denylist + event, one transaction
//! GET  /oauth/userinfo    bearer token or proof (http::Guard) -> claims by scope
//! GET  /oauth/logout      hint, question, end of the session -> back; clients are told from a tick (backchannel)
//! POST /oauth/register    where configured: who -> metadata (registry) -> policy -> client
//! GET  /.well-known/…     rendered once (metadata)
//! ```
//!
//! Issuing a self-contained token reads memory and writes its audit event, nothing else. Errors are in [`error`], one enum
//! with the status and code of each; every refusal is recorded, those of strangers folded.

mod authorize;
mod backchannel;
mod client_auth;
mod cors;
mod device;
mod documents;
mod dpop;
mod error;
mod form;
mod introspect;
mod issuance;
mod issue;
mod limit;
mod logout;
mod metadata;
mod par;
mod record;
mod register;
mod revoke;
mod scope;
mod settings;
mod token;
pub mod trusted;
mod userinfo;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use self::cors::Origin;
use crate::audit_log::AuditLog;
use crate::base::{Clock, Rng};
use crate::config::Config;
use crate::crypto::CryptoError;
use crate::crypto::assertion::{ClientKeys, Decoy};
use crate::crypto::bounded::Bounded;
use crate::crypto::nonce::Nonces;
use crate::http::browser::Site;
use crate::http::fetch::Fetcher;
use crate::http::{Flows, Guard, Sessions};
use crate::limits::{Buckets, LimitError};
use crate::live::Live;
use crate::policy::Engine;
use crate::registry;
use crate::store::Store;
use crate::telemetry::Metrics;
pub use backchannel::BackChannel;
pub use register::Unused;
pub use settings::Settings;

/// What the endpoints work with.
#[derive(Debug)]
pub struct Ctx {
    /// The issuer, byte for byte as configured: no final slash.
    pub issuer: Arc<str>,
    /// Clients, keys, revocations.
    pub live: Arc<Live>,
    /// For opaque tokens, revocations and used assertions.
    pub store: Store,
    /// Decides issuances.
    pub engine: Arc<Engine>,
    /// Records them.
    pub audit: AuditLog,
    /// Buckets of addresses and clients.
    pub limits: Arc<Buckets>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness of tokens and ids.
    pub rng: Arc<dyn Rng>,
    /// Whose tokens count as assertions, by `iss`.
    pub issuers: HashMap<Box<str>, trusted::TrustedIssuer>,
    /// Nonces that DPoP proofs must carry; `None`: they need none.
    pub nonces: Option<Nonces>,
    /// Cookies and pages.
    pub site: Site,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Authorizations under way.
    pub flows: Flows,
    /// Checks the tokens that userinfo is shown.
    pub guard: Arc<Guard>,
    /// Fetches the documents of clients that describe themselves.
    pub fetcher: Fetcher,
    /// What clients that describe themselves are checked against.
    pub registry: registry::Site,
    /// From the configuration.
    pub settings: Settings,
}

/// How many parsed client keys are remembered.
const REMEMBERED: usize = 65_536;

/// How many clients are remembered that were given something.
const USED: usize = 16_384;

/// The context, and what is computed from it once.
#[derive(Debug)]
struct Server {
    ctx: Ctx,
    /// What may be asked for by name: the issuer and the configured resources.
    apis: HashMap<Box<str>, Arc<issuance::Target>>,
    /// Keys of clients that sign their assertions.
    client_keys: Bounded<client_auth::KeysOf, Arc<ClientKeys>>,
    decoy: Decoy,
    /// Clients that their documents describe, where the configuration lets them.
    documents: Option<documents::Documents>,
    /// Clients that registered themselves and are known to be in use.
    used: Bounded<String, ()>,
    metadata: metadata::Document,
    protected: metadata::Document,
    jwks: metadata::Jwks,
}

type Shared = Arc<Server>;

/// The routes of the authorization server. Beside `/oauth/…` and `/.well-known/…` they stand under the path of the issuer,
/// when it has one, and the metadata also at the places that RFC 8414 3.1 and RFC 9728 3.1 make of it.
///
/// # Errors
/// When the machine has no randomness.
pub fn router(ctx: Ctx) -> Result<Router, CryptoError> {
    let path = crate::http::dpop::path(&ctx.issuer).to_owned();
    let registers = ctx.settings.registration.endpoint;
    let documents = ctx.settings.registration.documents.then(|| documents::Documents::new(ctx.fetcher.clone()));
    let server = Arc::new(Server {
        apis: issuance::targets(&ctx.issuer, &ctx.settings),
        client_keys: Bounded::new(REMEMBERED),
        decoy: Decoy::new()?,
        documents: documents.flatten(),
        used: Bounded::new(USED),
        metadata: metadata::document(&ctx.issuer, &ctx.settings, !ctx.issuers.is_empty()),
        protected: metadata::protected_resource(&ctx.issuer, &ctx.settings),
        jwks: metadata::Jwks::new(&ctx.settings),
        ctx,
    });
    let mut prefixes = vec![""];
    if !path.is_empty() {
        prefixes.push(&path);
    }
    let mut router = Router::new();
    for prefix in &prefixes {
        router = router
            .route(&format!("{prefix}/oauth/authorize"), any(authorize::endpoint))
            .route(&format!("{prefix}/oauth/logout"), any(logout::endpoint))
            .route(&format!("{prefix}/oauth/par"), any(par::endpoint))
            .route(&format!("{prefix}/oauth/device_authorization"), any(device::endpoint))
            .route(&format!("{prefix}/oauth/userinfo"), any(userinfo::endpoint))
            .route(&format!("{prefix}/oauth/token"), any(token::endpoint))
            .route(&format!("{prefix}/oauth/introspect"), any(introspect::endpoint))
            .route(&format!("{prefix}/oauth/revoke"), any(revoke::endpoint))
            .route(&format!("{prefix}/.well-known/jwks.json"), any(jwks))
            .route(&format!("{prefix}/.well-known/oauth-protected-resource"), any(protect))
            .route(&format!("{prefix}/.well-known/openid-configuration"), any(describe))
            .route(&format!("{prefix}/.well-known/oauth-authorization-server"), any(describe));
    }
    if registers {
        for prefix in &prefixes {
            router = router
                .route(&format!("{prefix}/oauth/register"), any(register::endpoint))
                .route(&format!("{prefix}/oauth/register/{{client_id}}"), any(register::own_endpoint));
        }
    }
    if !path.is_empty() {
        router = router
            .route(&format!("/.well-known/openid-configuration{path}"), any(describe))
            .route(&format!("/.well-known/oauth-protected-resource{path}"), any(protect))
            .route(&format!("/.well-known/oauth-authorization-server{path}"), any(describe));
    }
    Ok(router.with_state(server))
}

/// The authorization server metadata (RFC 8414) that a configuration publishes.
///
/// # Errors
/// When a limit lies outside what a bucket can count.
pub fn published(config: &Config) -> Result<serde_json::Value, LimitError> {
    let settings = Settings::from_config(&config.oauth, &config.limits, &config.audit_log)?;
    Ok(metadata::body(&config.server.issuer, &settings, !config.oauth.trusted_issuers.is_empty()))
}

async fn describe(State(server): State<Shared>, request: Request) -> Response {
    read(&server, &server.metadata, &request)
}

async fn protect(State(server): State<Shared>, request: Request) -> Response {
    read(&server, &server.protected, &request)
}

async fn jwks(State(server): State<Shared>, request: Request) -> Response {
    read(&server, &server.jwks.document(&server.ctx.live.jwks()), &request)
}

/// A document that anyone may read, pages of registered origins included.
fn read(server: &Server, document: &metadata::Document, request: &Request) -> Response {
    let (method, headers) = (request.method(), request.headers());
    if let Some(preflight) = Origin::preflight(server, method, headers, "GET, HEAD") {
        return preflight;
    }
    let mut response = document.answer(method, headers).unwrap_or_else(error::Error::into_response);
    Origin::of(headers).admit(server, None, &mut response);
    response
}
