//! Tokens that should verify, and every kind that should not.

mod access_tokens;
mod assertions;
pub(crate) mod forge;
mod own_tokens;
