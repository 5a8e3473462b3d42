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

mod clients;
mod explain;
mod keys;
mod page;
mod permissions;
mod tokens;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio::sync::OnceCell;

use crate::config;
use crate::crypto::rotation;
use crate::crypto::seal::Sealer;
use crate::http::change::Changes;
use crate::http::routes::{Call, Described, PAGE, Parameter, Routes};
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

impl Changes for Ctx {
    fn guard(&self) -> &Guard {
        &self.guard
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn live(&self) -> Option<&Live> {
        self.live.get().map(|live| &**live)
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

/// What can be asked of people: which page, or which of them.
const PEOPLE: [Parameter; 3] =
    [PAGE[0], PAGE[1], Parameter::new("username", "Only the one called so", r#"{"type": "string"}"#)];

fn routes() -> Routes<Shared> {
    let routes = Routes::default();
    tokens_and_keys(people(of_clients(routes)))
}

fn of_clients(routes: Routes<Shared>) -> Routes<Shared> {
    let (all, one) = ("/api/v1/clients", "/api/v1/clients/{id}");
    let [list, show, create] = [
        Call::reads("listClients", "Lists clients", "ClientPage").query(&PAGE),
        Call::reads("showClient", "Shows a client, with its `ETag`", "Client"),
        Call::acts("createClient", "Registers a client", "Client").takes("NewClient").creates(),
    ];
    let [replace, patch, delete] = [
        Call::acts("replaceClient", "Replaces what may be sent", "Client").takes("ClientMembers").tagged_always(),
        Call::acts("patchClient", "Changes the members sent", "Client").takes("ClientPatch").tagged(),
        Call::acts("deleteClient", "Removes a client; answers what it was", "Client").tagged(),
    ];
    let [rotate, disable, enable] = [
        Call::acts("rotateClientSecret", "Gives a client a new secret", "Client").takes("SecretRotation").tagged(),
        Call::acts("disableClient", "Shuts a client out with all it holds", "Client").tagged(),
        Call::acts("enableClient", "Lets a client in again", "Client").tagged(),
    ];
    routes
        .get(all, list, clients::list)
        .post(all, create, clients::create)
        .get(one, show, clients::show)
        .put(one, replace, clients::replace)
        .patch(one, patch, clients::patch)
        .delete(one, delete, clients::delete)
        .post("/api/v1/clients/{id}/rotate-secret", rotate, clients::rotate)
        .post("/api/v1/clients/{id}/disable", disable, clients::disable)
        .post("/api/v1/clients/{id}/enable", enable, clients::enable)
}

fn people(routes: Routes<Shared>) -> Routes<Shared> {
    let (all, one, sessions) = ("/api/v1/users", "/api/v1/users/{id}", "/api/v1/users/{id}/sessions");
    let [list, show, create] = [
        Call::reads("listUsers", "Lists people", "UserPage").query(&PEOPLE),
        Call::reads("showUser", "Shows a person, with the `ETag`", "User"),
        Call::acts("createUser", "Adds a person; roles need `user:assign-roles` too", "User")
            .takes("NewUser")
            .creates(),
    ];
    let [patch, delete, roles, password] = [
        Call::acts("patchUser", "Changes the members sent", "User").takes("UserPatch").tagged(),
        Call::acts("deleteUser", "Removes a person; answers what it was", "User").tagged(),
        Call::acts("setUserRoles", "Gives these roles and no others", "User").takes("Roles").tagged(),
        Call::acts("setUserPassword", "Sets or makes a password", "User").takes("NewPassword").tagged(),
    ];
    let [disable, enable] = [
        Call::acts("disableUser", "Shuts a person out with everything they have", "User").tagged(),
        Call::acts("enableUser", "Lets a person in again", "User").tagged(),
    ];
    let [list_sessions, end_all, end_one] = [
        Call::reads("listUserSessions", "Lists where a person is signed in", "SessionPage"),
        Call::acts("endUserSessions", "Ends all sessions of a person", "SessionsEnded"),
        Call::acts("endUserSession", "Ends one session", "SessionsEnded"),
    ];
    routes
        .get(all, list, users::list)
        .post(all, create, users::create)
        .get(one, show, users::show)
        .patch(one, patch, users::patch)
        .delete(one, delete, users::delete)
        .put("/api/v1/users/{id}/roles", roles, users::roles)
        .post("/api/v1/users/{id}/password", password, users::set_password)
        .post("/api/v1/users/{id}/disable", disable, users::disable)
        .post("/api/v1/users/{id}/enable", enable, users::enable)
        .get(sessions, list_sessions, users::list_sessions)
        .delete(sessions, end_all, users::end_sessions)
        .delete("/api/v1/users/{id}/sessions/{session_id}", end_one, users::end_session)
}

fn tokens_and_keys(routes: Routes<Shared>) -> Routes<Shared> {
    let [list, rotate, retire] = [
        Call::reads("listKeys", "Lists the signing keys", "KeyPage"),
        Call::acts("rotateKeys", "Publishes a successor", "KeyPage").takes("KeyRotation"),
        Call::acts("retireKey", "Ends a key's signing", "KeyPage").takes("KeyRetirement"),
    ];
    let [issue, revoke] = [
        Call::acts("issueToken", "Issues an access token to a client", "Token").takes("NewToken"),
        Call::acts("revokeToken", "Ends a token everywhere", "TokenRevoked").takes("TokenOrId"),
    ];
    let [introspect, explain] = [
        Call::reads("introspectToken", "Says what a token says", "TokenState").takes("TokenText"),
        Call::reads("explainToken", "Says why it was issued or refused", "Explanations").takes("TokenOrRequest"),
    ];
    routes
        .get("/api/v1/keys", list, keys::list)
        .post("/api/v1/keys/rotate", rotate, keys::rotate)
        .post("/api/v1/keys/{kid}/retire", retire, keys::retire)
        .post("/api/v1/tokens", issue, tokens::issue)
        .post("/api/v1/tokens/introspect", introspect, tokens::introspect)
        .post("/api/v1/tokens/revoke", revoke, tokens::revoke)
        .post("/api/v1/tokens/explain", explain, explain::explain)
}

/// `/api/v1/clients…`, `/api/v1/users…`, `/api/v1/keys…`, `/api/v1/tokens…`.
pub fn router(ctx: Ctx) -> Router {
    routes().router(Shared(Arc::new(ctx)))
}

/// The same, for the document.
pub fn described() -> Described {
    routes().described(include_str!("schemas.json"))
}
