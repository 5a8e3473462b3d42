//! The authorization server over HTTP, in process. Tests are named after the rules of the conformance list: A are those
//! of the authorization endpoint, B of the token endpoint, C those of introspection, revocation, metadata and keys.

mod assertions;
mod authorize;
mod backchannel;
mod client_auth;
mod codes;
mod cors;
mod cost;
mod counts;
mod device;
mod documents;
mod dpop;
pub(crate) mod fence;
mod garbage;
mod introspection;
mod issuance;
mod jwt_bearer;
mod limits;
mod logout;
mod metadata;
mod par;
pub(crate) mod people;
mod refresh;
mod register;
mod requests;
mod restart;
mod revocation;
mod token_exchange;
mod userinfo;
