//! Where the pipeline learns what a token says and whom it speaks for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::base::Timestamp;
use crate::crypto::bounded::Bounded;
use crate::crypto::verify::{TokenError, Verifier};
use crate::model::AccessToken;
use crate::policy::Principal;

/// The answer to one token: what it says, and the Cedar entity that it speaks for.
pub type Verified<'a> = Pin<Box<dyn Future<Output = Result<(Arc<AccessToken>, Principal), TokenError>> + Send + 'a>>;

/// A source of verified tokens. Whom they are for is compared by the pipeline.
pub trait Tokens: Send + Sync + std::fmt::Debug {
    /// What `token` says and for whom, if it is alive at `now`.
    fn verify<'a>(&'a self, token: &'a str, now: Timestamp) -> Verified<'a>;
}

/// Principals remembered by [`Jwks`].
const REMEMBERED: usize = 16_384;

/// Tokens of one issuer, verified against its published keys alone: what an embedded guard has. Clients are known from
/// their tokens, enabled and without roles; revocation reaches such a guard when the token expires.
#[derive(Debug)]
pub struct Jwks {
    verifier: Arc<Verifier>,
    principals: Bounded<(bool, Box<str>), Principal>,
}

impl Jwks {
    /// Tokens that `verifier` verifies.
    pub fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, principals: Bounded::new(REMEMBERED) }
    }
}

impl Jwks {
    fn principal(&self, token: &AccessToken) -> Principal {
        let key = (token.speaks_for_client(), Box::from(token.sub.as_str()));
        if let Some(known) = self.principals.get(&key) {
            return known;
        }
        let principal = match key.0 {
            true => Principal::token_client(&token.sub),
            false => Principal::user(&token.sub, &[], false),
        };
        self.principals.insert(key, principal.clone());
        principal
    }
}

impl Tokens for Jwks {
    fn verify<'a>(&'a self, token: &'a str, now: Timestamp) -> Verified<'a> {
        let known = self.verifier.verify(token, now).map(|token| {
            let principal = self.principal(&token);
            (token, principal)
        });
        Box::pin(std::future::ready(known))
    }
}

/// Tokens of this very service: JWTs and opaque ones, with revocation, clients and people with their roles.
#[cfg(feature = "server")]
impl Tokens for crate::live::Live {
    fn verify<'a>(&'a self, token: &'a str, now: Timestamp) -> Verified<'a> {
        Box::pin(self.known(token, now))
    }
}
