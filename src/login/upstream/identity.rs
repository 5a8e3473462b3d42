//! Who an ID token says somebody is (OpenID Connect Core 3.1.3.7), after its signature, issuer, audience and times were checked.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::base::Timestamp;
use crate::crypto::foreign::ForeignToken;
use crate::crypto::verify::TokenError;
use crate::crypto::{compare, id_token};

/// How old an ID token may be: it was made for an attempt that lives as long.
const OLDEST: Duration = Duration::from_secs(600);
/// Longest `amr` that is taken over, and how many of them.
const AMR: (usize, usize) = (16, 8);

/// Why an ID token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// There is none.
    Missing,
    /// It is no JWT, or a claim is missing or of the wrong type.
    Malformed,
    /// It is not signed by a key of the provider, with the algorithm of that key.
    Signature,
    /// It is of another issuer, or for another client.
    Issuer,
    /// It is too old, or of the future.
    Time,
    /// It was made for another attempt.
    Nonce,
    /// Another access token came with it.
    Hash,
}

impl Wrong {
    pub(super) const fn of(error: TokenError) -> Self {
        match error {
            TokenError::WrongIssuer => Self::Issuer,
            TokenError::Expired | TokenError::NotYetValid => Self::Time,
            TokenError::UnknownKey | TokenError::WrongAlgorithm | TokenError::BadSignature => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

/// Somebody, as a provider knows them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::login) struct Identity {
    /// Who: unique at the issuer, never reassigned.
    pub(in crate::login) subject: String,
    /// What the ID token says, all of it.
    pub(super) claims: Map<String, Value>,
    /// When they proved it there, if the provider says.
    pub(super) auth_time: Option<Timestamp>,
}

/// What is left to check of a token that verifies: that it is for `client_id` alone, for the attempt with `nonce`, and came
/// with `access_token`.
pub(super) fn checked(
    token: ForeignToken,
    (client_id, nonce, access_token): (&str, &str, &str),
    now: Timestamp,
) -> Result<Identity, Wrong> {
    // An audience that is not ours may be none that we trust (3.1.3.7, 3).
    let is_ours = token.aud.iter().all(|aud| aud == client_id) && token.azp.as_deref().is_none_or(|a| a == client_id);
    if !is_ours {
        return Err(Wrong::Issuer);
    }
    let iat = token.iat.ok_or(Wrong::Malformed)?;
    if iat.plus(OLDEST) <= now {
        return Err(Wrong::Time);
    }
    let told = token.nonce.as_deref().unwrap_or_default();
    if !compare::equal(told.as_bytes(), nonce.as_bytes()) {
        return Err(Wrong::Nonce);
    }
    match (token.claims.get("at_hash"), id_token::at_hash(token.alg, access_token)) {
        (Some(hash), Some(right)) if *hash != right => return Err(Wrong::Hash),
        _ => {}
    }
    Ok(Identity { subject: token.sub, claims: token.claims, auth_time: token.auth_time.map(|at| at.min(now)) })
}

impl Identity {
    /// The claim of this name, when it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// What a person would know this account by. For the eye; it proves nothing.
    pub(super) fn label(&self) -> String {
        let found = ["preferred_username", "email", "name"].into_iter().find_map(|name| self.text(name));
        found.unwrap_or(&self.subject).chars().filter(|c| !c.is_control()).take(128).collect()
    }

    /// By which methods the provider says they proved it, as far as those are names.
    pub(super) fn amr(&self) -> Vec<String> {
        let name = |text: &&str| {
            (1..=AMR.0).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let all = self.claims.get("amr").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).filter(name).take(AMR.1).map(str::to_owned).collect()
    }
}
