//! The authorization server over HTTP, in process. Tests are named after the rules of the conformance list: B are those
//! of the token endpoint, C those of introspection, revocation, metadata and keys.

mod assertions;
mod client_auth;
mod cors;
mod counts;
mod dpop;
pub(crate) mod fence;
mod introspection;
mod issuance;
mod jwt_bearer;
mod limits;
mod metadata;
mod requests;
mod revocation;
mod token_exchange;
