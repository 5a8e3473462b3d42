//! Verification of JWT access tokens (RFC 9068 4), with a bounded cache of those already verified.
//!
//! The `kid` picks the key and the key's algorithm is the only one tried. Whom a token is for is not decided here: the
//! caller compares [`AccessToken::aud`] with itself. Neither is revocation.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::claims;
use super::jwk::{self, PublicKey};
use super::jws::{self, Parts, Unreadable};
use super::{CryptoError, sha256};
use crate::base::Timestamp;
use crate::model::{AccessToken, Acr, Actor, TokenDigest};

/// How many verified tokens are remembered unless told otherwise: about 30 MB when full.
const REMEMBERED: usize = 65_536;

/// Why a token does not count. Callers answer all of them alike (`invalid_token`); metrics and events tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a JWS at all, too long, or a header that is not plain.
    #[error("the token is not a well-formed JWT")]
    Malformed,
    /// Another kind of token: `typ` is not `at+jwt`.
    #[error("the token is not an access token")]
    WrongType,
    /// Its `crit` header asks for what nobody here understands.
    #[error("the token needs an extension that is not supported")]
    Critical,
    /// No key of that `kid`.
    #[error("the token names a key that is not known")]
    UnknownKey,
    /// `alg` is not the key's.
    #[error("the token uses another algorithm than its key")]
    WrongAlgorithm,
    /// The signature is not the key's.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// A required claim is missing, or one has the wrong type.
    #[error("the token's claims are incomplete or of the wrong type")]
    BadClaims,
    /// Another issuer.
    #[error("the token was issued by someone else")]
    WrongIssuer,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet; compare the clocks")]
    NotYetValid,
    /// Revoked, or its client is disabled.
    #[error("the token was revoked")]
    Revoked,
    /// An opaque token that nobody issued, or that is gone.
    #[error("the token is not known")]
    Unknown,
    /// It could not be looked up: not the token's fault, try again.
    #[error("the token cannot be checked at the moment; try again")]
    Unavailable,
}

impl TokenError {
    /// Every reason, for metrics that must stand at zero.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::WrongType,
        Self::Critical,
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::BadClaims,
        Self::WrongIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::Unknown,
        Self::Unavailable,
    ];

    /// The name in events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::Critical => "critical_extension",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::BadClaims => "bad_claims",
            Self::WrongIssuer => "wrong_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Unreadable> for TokenError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Malformed => Self::Malformed,
            Unreadable::Critical => Self::Critical,
        }
    }
}

/// The claims of an access token as they are written (RFC 9068 2.2).
#[derive(Debug, Serialize)]
pub struct AccessClaims<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// Who it speaks for.
    pub sub: &'a str,
    /// Whom it is for.
    pub aud: &'a str,
    /// Which client it was issued to.
    pub client_id: &'a str,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it dies, in seconds.
    pub exp: i64,
    /// Unique id.
    pub jti: &'a str,
    /// Granted scopes; absent when there are none.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub scope: &'a str,
    /// What stands in the tokens of people, and in bound ones.
    #[serde(flatten)]
    pub person: PersonClaims<'a>,
}

/// The claims that a client's own token does not have.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PersonClaims<'a> {
    /// The family, a claim of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<&'a str>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// How strongly the person had authenticated (RFC 9068 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<&'a str>,
    /// When, in seconds (RFC 9068 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// The key that the token is bound to (RFC 7800, RFC 9449 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation<'a>>,
    /// Who acts (RFC 8693 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<&'a Actor>,
}

/// `cnf` (RFC 7800 3.1) with the thumbprint of a DPoP key (RFC 9449 6.1).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Confirmation<'a> {
    /// RFC 7638 thumbprint.
    pub jkt: &'a str,
}

impl<'a> AccessClaims<'a> {
    /// What `token` says, for its first audience.
    pub fn of(iss: &'a str, token: &'a AccessToken) -> Self {
        Self {
            iss,
            sub: &token.sub,
            aud: token.aud.first().map_or("", String::as_str),
            client_id: &token.client_id,
            iat: token.iat.as_secs(),
            exp: token.exp.as_secs(),
            jti: &token.jti,
            scope: &token.scope,
            person: PersonClaims {
                gid: token.gid.as_deref(),
                sid: token.sid.as_deref(),
                acr: token.acr.and_then(|level| Acr::try_from(level).ok()).map(Acr::as_str),
                auth_time: token.auth_time.map(Timestamp::as_secs),
                cnf: token.cnf_jkt.as_deref().map(|jkt| Confirmation { jkt }),
                act: token.act.as_ref(),
            },
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "claims::audience")]
    aud: Vec<String>,
    client_id: String,
    #[serde(deserialize_with = "claims::numeric_date")]
    iat: Timestamp,
    #[serde(deserialize_with = "claims::numeric_date")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "claims::optional_date")]
    nbf: Option<Timestamp>,
    jti: String,
    #[serde(default)]
    scope: String,
    #[serde(default, deserialize_with = "claims::optional_text")]
    gid: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    acr: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_date")]
    auth_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "claims::confirmation")]
    cnf: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_actor")]
    act: Option<Actor>,
}

struct State {
    keys: Vec<Arc<PublicKey>>,
    /// Lives and dies with the keys: what an old key verified is not found under a new set.
    seen: Bounded<TokenDigest, Arc<AccessToken>>,
}

/// Verifies access tokens of one issuer.
pub struct Verifier {
    issuer: Arc<str>,
    remembered: usize,
    state: ArcSwap<State>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("issuer", &self.issuer).field("keys", &self.state.load().keys).finish()
    }
}

impl Verifier {
    /// For tokens of `issuer`, with these keys; those without a `kid` are of no use and left out.
    pub fn new(issuer: impl Into<Arc<str>>, keys: Vec<Arc<PublicKey>>) -> Self {
        Self::with_capacity(issuer, keys, REMEMBERED)
    }

    /// The same, remembering at most `remembered` verified tokens.
    pub fn with_capacity(issuer: impl Into<Arc<str>>, keys: Vec<Arc<PublicKey>>, remembered: usize) -> Self {
        let state = State { keys, seen: Bounded::new(remembered) };
        Self { issuer: issuer.into(), remembered, state: ArcSwap::from_pointee(state) }
    }

    /// From the issuer's published JWK Set.
    ///
    /// # Errors
    /// When the set is not usable.
    pub fn from_jwks(issuer: impl Into<Arc<str>>, jwks: &serde_json::Value) -> Result<Self, CryptoError> {
        Ok(Self::new(issuer, jwk::read_set(jwks)?.into_iter().map(Arc::new).collect()))
    }

    /// Replaces the keys. What was verified is forgotten unless every key it may rest on stays.
    pub fn set_keys(&self, keys: Vec<Arc<PublicKey>>) {
        let before = self.state.load();
        let same = |a: &PublicKey, b: &PublicKey| a.kid() == b.kid() && a.thumbprint() == b.thumbprint();
        let unchanged =
            before.keys.len() == keys.len() && before.keys.iter().all(|old| keys.iter().any(|new| same(old, new)));
        if !unchanged {
            self.state.store(Arc::new(State { keys, seen: Bounded::new(self.remembered) }));
        }
    }

    /// Replaces the keys by those of a JWK Set.
    ///
    /// # Errors
    /// When the set is not usable; the keys stay as they are.
    pub fn set_jwks(&self, jwks: &serde_json::Value) -> Result<(), CryptoError> {
        self.set_keys(jwk::read_set(jwks)?.into_iter().map(Arc::new).collect());
        Ok(())
    }

    /// The issuer whose tokens it verifies.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What `token` says, if it is an access token of the issuer and alive at `now`.
    ///
    /// # Errors
    /// Why it does not count. Never [`TokenError::Revoked`], [`TokenError::Unknown`] or [`TokenError::Unavailable`]:
    /// those belong to callers that look further.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        self.verify_digest(token, &sha256(token.as_bytes()), now)
    }

    /// The same for a caller that has the token's digest already.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_digest(
        &self,
        token: &str,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let state = self.state.load();
        if let Some(seen) = state.seen.get(digest) {
            if seen.exp > now {
                return Ok(seen);
            }
            state.seen.remove(digest);
            return Err(TokenError::Expired);
        }
        let token = Arc::new(self.check(&state.keys, token, now)?);
        state.seen.insert(*digest, Arc::clone(&token));
        Ok(token)
    }

    fn check(&self, keys: &[Arc<PublicKey>], token: &str, now: Timestamp) -> Result<AccessToken, TokenError> {
        let parts = Parts::read(token)?;
        if !parts.header.is(jws::ACCESS_TOKEN) {
            return Err(TokenError::WrongType);
        }
        let kid = parts.header.kid.as_deref().ok_or(TokenError::UnknownKey)?;
        let key = keys.iter().find(|k| k.kid() == Some(kid)).ok_or(TokenError::UnknownKey)?;
        if parts.header.alg != key.alg().as_str() {
            return Err(TokenError::WrongAlgorithm);
        }
        if !key.verifies(parts.message, &parts.signature) {
            return Err(TokenError::BadSignature);
        }
        let bytes = parts.claims().ok_or(TokenError::Malformed)?;
        let claims: Claims = claims::object(&bytes).ok_or(TokenError::BadClaims)?;
        if claims.iss != *self.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if [&claims.sub, &claims.client_id, &claims.jti].iter().any(|text| text.is_empty()) {
            return Err(TokenError::BadClaims);
        }
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        let latest = now.plus(claims::SKEW);
        if claims.iat > latest || claims.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(TokenError::NotYetValid);
        }
        Ok(AccessToken {
            jti: claims.jti,
            sub: claims.sub,
            client_id: claims.client_id,
            aud: claims.aud,
            scope: claims.scope,
            iat: claims.iat,
            exp: claims.exp,
            gid: claims.gid,
            sid: claims.sid,
            // Another issuer's levels are names of its own: unknown here, which is the weakest.
            acr: claims.acr.as_deref().and_then(Acr::parse).map(Acr::level),
            auth_time: claims.auth_time,
            cnf_jkt: claims.cnf,
            act: claims.act,
        })
    }
}
