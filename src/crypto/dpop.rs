//! DPoP proofs (RFC 9449 4): whoever asks proves, for this one request, that it holds a key.
//!
//! The key comes along in the proof, and that is all it is good for: its thumbprint is compared with what a token or a
//! grant is bound to. Whether a proof came before is not decided here (see [`super::seen`]), nor whether its nonce is one
//! of ours ([`super::nonce`]).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::jws::{Parts, Unreadable};
use super::{b64url, claims, compare, jwk, sha256};
use crate::base::Timestamp;

/// The `typ` of a proof.
pub const TYPE: &str = "dpop+jwt";
/// How far `iat` may lie from our clock, either way.
pub const WINDOW: Duration = Duration::from_secs(60);
/// What proofs may be signed with, as metadata and challenges list it.
pub const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "Ed25519", "RS256"];
/// Longer texts are not read.
const LONGEST: usize = 8192;
/// A `jti` may not be longer, in bytes.
const LONGEST_ID: usize = 256;

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// `POST`, `GET`, ….
    pub method: &'a str,
    /// Its absolute URI as callers know it; query and fragment do not count.
    pub uri: &'a str,
    /// The access token beside it; `None` at the token endpoint.
    pub token: Option<&'a str>,
}

/// A proof that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// RFC 7638 thumbprint of its key, base64url.
    pub jkt: String,
    /// Unique id: to be accepted once.
    pub jti: String,
    /// When it was made.
    pub iat: Timestamp,
    /// The server's nonce that it carries.
    pub nonce: Option<String>,
}

impl Proof {
    /// When it no longer counts by itself: until then its `jti` must be remembered.
    pub fn dies_at(&self) -> Timestamp {
        self.iat.plus(WINDOW)
    }
}

/// Why a proof does not count. All of them are answered `invalid_dpop_proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofError {
    /// Not a JWS, too long, or a header that is not plain.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    WrongType,
    /// No public key in `jwk`, a private one, or one of a kind that is not used here.
    BadKey,
    /// `alg` is not the key's.
    WrongAlgorithm,
    /// The signature is not the key's.
    BadSignature,
    /// A claim is missing or has the wrong type.
    BadClaims,
    /// Another `htm`.
    WrongMethod,
    /// Another `htu`.
    WrongUri,
    /// `iat` is too far from now.
    NotNow,
    /// `ath` is missing, or of another token.
    WrongToken,
}

impl ProofError {
    /// What is wrong, for whoever made the proof: it is the caller's own text that is judged, so nothing is given away.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "the DPoP proof is not a well-formed JWT",
            Self::WrongType => "the DPoP proof has another typ than dpop+jwt",
            Self::BadKey => "the DPoP proof has no public key of a supported kind in its header",
            Self::WrongAlgorithm => "the DPoP proof uses another algorithm than its key",
            Self::BadSignature => "the signature of the DPoP proof does not verify",
            Self::BadClaims => "the claims of the DPoP proof are incomplete or of the wrong type",
            Self::WrongMethod => "the DPoP proof is for another method",
            Self::WrongUri => "the DPoP proof is for another URI",
            Self::NotNow => "the DPoP proof was not made just now; compare the clocks",
            Self::WrongToken => "the DPoP proof is for another access token",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    jwk: Value,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    #[serde(deserialize_with = "claims::numeric_date")]
    iat: Timestamp,
    #[serde(default, deserialize_with = "claims::optional_text")]
    ath: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    nonce: Option<String>,
}

/// Verifies a proof for one request at `now` (RFC 9449 4.3).
///
/// # Errors
/// Why it does not count.
pub fn verify(proof: &str, wanted: &Wanted<'_>, now: Timestamp) -> Result<Proof, ProofError> {
    if proof.len() > LONGEST {
        return Err(ProofError::Malformed);
    }
    let parts = Parts::read(proof).map_err(|why| match why {
        Unreadable::Malformed | Unreadable::Critical => ProofError::Malformed,
    })?;
    if !parts.header.is(TYPE) {
        return Err(ProofError::WrongType);
    }
    let header = proof.split('.').next().and_then(b64url::decode_strict).ok_or(ProofError::Malformed)?;
    let header: Header = claims::object(&header).ok_or(ProofError::BadKey)?;
    let key = jwk::read(&header.jwk).ok().flatten().ok_or(ProofError::BadKey)?;
    if !key.alg().is_called(&parts.header.alg) {
        return Err(ProofError::WrongAlgorithm);
    }
    if !key.verifies(parts.message, &parts.signature) {
        return Err(ProofError::BadSignature);
    }
    let bytes = parts.claims().ok_or(ProofError::Malformed)?;
    let claims: Claims = claims::object(&bytes).ok_or(ProofError::BadClaims)?;
    if !(1..=LONGEST_ID).contains(&claims.jti.len()) {
        return Err(ProofError::BadClaims);
    }
    if claims.htm != wanted.method {
        return Err(ProofError::WrongMethod);
    }
    if Target::of(&claims.htu).is_none_or(|asked| Target::of(wanted.uri).as_ref() != Some(&asked)) {
        return Err(ProofError::WrongUri);
    }
    if claims.iat.since(now) > WINDOW || now.since(claims.iat) > WINDOW {
        return Err(ProofError::NotNow);
    }
    if let Some(token) = wanted.token {
        let expected = b64url::encode(&sha256(token.as_bytes()));
        if !claims.ath.is_some_and(|ath| compare::equal(ath.as_bytes(), expected.as_bytes())) {
            return Err(ProofError::WrongToken);
        }
    }
    Ok(Proof { jkt: key.thumbprint().to_owned(), jti: claims.jti, iat: claims.iat, nonce: claims.nonce })
}

/// What of a URI is compared, in its normal form (RFC 3986 6.2.2, 6.2.3): scheme and host in lower case, no default
/// port, no escapes that need none. Dots in the path are not resolved: no path of ours has any.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    https: bool,
    authority: String,
    path: String,
}

impl Target {
    fn of(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let https = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return None;
        };
        let rest = rest.split(['?', '#']).next()?;
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at)?;
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'\\');
        if authority.is_empty() || !authority.bytes().all(plain) {
            return None;
        }
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(if https { ":443" } else { ":80" }).unwrap_or(&authority).to_owned();
        let path = if path.is_empty() { "/".to_owned() } else { unescaped(path)? };
        Some(Self { https, authority, path })
    }
}

/// `path` with unreserved characters as themselves, and every other escape in upper case.
fn unescaped(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, escape)) = rest.split_once('%') {
        out.push_str(before);
        let (digits, after) = escape.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') => out.push(c),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_is_compared_in_its_normal_form_and_without_its_query() {
        let ours = Target::of("https://api.example/a/b~c").unwrap();
        for same in [
            "https://api.example:443/a/b~c",
            "HTTPS://API.example/a/b~c",
            "https://api.example/a/b%7Ec",
            "https://api.example/%61/b%7ec?x=1#y",
        ] {
            assert_eq!(Target::of(same).as_ref(), Some(&ours), "{same}");
        }
        for other in [
            "http://api.example/a/b~c",
            "https://api.example:8443/a/b~c",
            "https://api.example/a/b~c/",
            "https://api.example/A/b~c",
            "https://api.example/a%2Fb~c",
            "https://api.example.evil/a/b~c",
        ] {
            assert_ne!(Target::of(other).as_ref(), Some(&ours), "{other}");
        }
        for none in [
            "/a",
            "api.example/a",
            "https:///a",
            "https://user@api.example/a",
            "ftp://api.example/a",
            "https://a/%zz",
            "https://a/%4",
        ] {
            assert_eq!(Target::of(none), None, "{none}");
        }
        assert_eq!(Target::of("https://a"), Target::of("https://a/"));
        assert_eq!(Target::of("https://a/%c3%a4"), Target::of("https://a/%C3%A4"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(proof in "\\PC{0,80}", uri in "\\PC{0,40}") {
            let wanted = Wanted { method: "POST", uri: &uri, token: None };
            prop_assert!(verify(&proof, &wanted, Timestamp::from_secs(1)).is_err());
            let _ = Target::of(&uri);
        }
    }
}
