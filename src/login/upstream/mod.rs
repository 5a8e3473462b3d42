//! Signing in elsewhere: at an OpenID provider that the configuration names (OpenID Connect Core 3.1, RFC 9700).
//!
//! ```text
//! GET /login/with/{provider}      start: state, nonce, PKCE S256, sealed into a cookie     -> the provider
//! GET /callback/{provider}        callback: the attempt, once -> code -> ID token -> who   -> session, or an offer to link
//! /account/elsewhere              room account: what is linked
//! ```
//!
//! Who somebody is, is issuer and `sub` of an ID token that a key of the provider signed for us and for this very attempt; a
//! mail address, a name, or anything that came beside that token never is. Each provider has a callback of its own, so that
//! an answer cannot be taken for another's (RFC 9700 4.4.2.2). What may come in, and as how strong it counts, policies decide.
//! The provider's tokens are read and dropped: nothing of them is kept.

mod attempt;
mod callback;
mod enter;
mod identity;
mod link;
mod provider;
mod refusal;
mod start;

use axum::Router;
use axum::routing::get;

pub(super) use attempt::Purpose;
pub(super) use link::Offer;

pub use provider::{ProviderError, Providers};
pub(super) use start::begin;

use super::Shared;

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/login/with/{provider}", get(start::show)).route("/callback/{provider}", get(callback::show))
}
