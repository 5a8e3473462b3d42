//! Access tokens in requests (RFC 6750, RFC 9449 7): how one is read, and the challenge that answers when it will not do.

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::dpop;
use super::problem::{Kind, Problem};
use crate::crypto::verify::TokenError;
use crate::model::AccessToken;
use crate::policy::StepUp;
use crate::telemetry::labels::Verification;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 8192;

/// Why a request with, or without, a bearer token goes no further (RFC 6750 3.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token: 401 with a bare challenge, because the caller may not know that it needs one.
    #[error("this needs an access token: send it as `Authorization: Bearer …`")]
    Missing,
    /// More than one token, or one where none belongs: 400 `invalid_request`.
    #[error("{0}")]
    Request(&'static str),
    /// A token that is malformed, expired, revoked, or for someone else: 401 `invalid_token`. Which of these, the caller is
    /// not told.
    #[error("the access token is malformed, expired, revoked or for another audience: get a new one")]
    Token,
    /// The same of a token that came as one bound to a key: 401 `invalid_token`.
    #[error(
        "the access token is malformed, expired, revoked, for another audience or not bound to this key: get a new one"
    )]
    BoundToken,
    /// A proof that does not count: 401 `invalid_dpop_proof` (RFC 9449 7.1).
    #[error("{0}")]
    Proof(&'static str),
    /// A proof without a nonce of ours, and the one to use: 401 `use_dpop_nonce` (RFC 9449 9).
    #[error("make the DPoP proof again with the nonce of `DPoP-Nonce`")]
    Nonce(String),
    /// A good token of a person who must authenticate more strongly or again: 401 `insufficient_user_authentication`
    /// (RFC 9470 3).
    #[error("this needs a stronger or fresher sign-in: ask for a token with these `acr_values` or this `max_age`")]
    StepUp(StepUp, Scheme),
    /// A good token without the scope: 403 `insufficient_scope`.
    #[error("the access token lacks scope `{0}`: get one that has it")]
    Scope(String),
}

impl Refusal {
    /// The status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Token | Self::BoundToken | Self::Proof(_) | Self::Nonce(_) | Self::StepUp(..) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Scope(_) => StatusCode::FORBIDDEN,
        }
    }

    /// The `error` of the challenge; `None` for a bare one.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Request(_) => Some("invalid_request"),
            Self::Token | Self::BoundToken => Some("invalid_token"),
            Self::Proof(_) => Some("invalid_dpop_proof"),
            Self::Nonce(_) => Some("use_dpop_nonce"),
            Self::StepUp(..) => Some("insufficient_user_authentication"),
            Self::Scope(_) => Some("insufficient_scope"),
        }
    }

    /// The value of `WWW-Authenticate`.
    pub fn challenge(&self) -> HeaderValue {
        let text = match self {
            Self::Missing => "Bearer".to_owned(),
            Self::Request(_) => r#"Bearer error="invalid_request""#.to_owned(),
            Self::Token => r#"Bearer error="invalid_token""#.to_owned(),
            Self::BoundToken => dpop_challenge("invalid_token"),
            Self::Proof(_) => dpop_challenge("invalid_dpop_proof"),
            Self::Nonce(_) => dpop_challenge("use_dpop_nonce"),
            Self::StepUp(wanted, scheme) => step_up_challenge(*wanted, *scheme),
            // Scope characters are those that a quoted string takes as they are (RFC 6749 3.3); anything else goes.
            Self::Scope(scope) => {
                let scope: String =
                    scope.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect();
                format!(r#"Bearer error="insufficient_scope", scope="{scope}""#)
            }
        };
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }

    /// The whole answer.
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::Missing => Kind::Unauthenticated,
            Self::Request(_) => Kind::BadRequest,
            Self::Token | Self::BoundToken | Self::Proof(_) | Self::Nonce(_) => Kind::InvalidToken,
            Self::StepUp(..) => Kind::InsufficientAuthentication,
            Self::Scope(_) => Kind::InsufficientScope,
        };
        let problem = Problem::new(kind).detail(self.to_string()).header(header::WWW_AUTHENTICATE, self.challenge());
        match self.nonce() {
            Some(nonce) => problem.header(dpop::NONCE, nonce),
            None => problem,
        }
    }

    /// The value of `DPoP-Nonce`.
    pub fn nonce(&self) -> Option<HeaderValue> {
        match self {
            Self::Nonce(nonce) => HeaderValue::from_str(nonce).ok(),
            _ => None,
        }
    }

    /// The challenge to authenticate as `wanted`, in the words of the scheme that `token` comes with; `None` of a token that no
    /// person stands behind.
    pub fn step_up(token: &AccessToken, wanted: StepUp) -> Option<Self> {
        let scheme = if token.cnf_jkt.is_some() { Scheme::Dpop } else { Scheme::Bearer };
        (!token.is_client()).then_some(Self::StepUp(wanted, scheme))
    }

    /// The same refusal, in the words of the scheme that the token came with.
    #[must_use]
    pub fn of_scheme(self, scheme: Scheme) -> Self {
        match (self, scheme) {
            (Self::Token, Scheme::Dpop) => Self::BoundToken,
            (Self::StepUp(wanted, _), scheme) => Self::StepUp(wanted, scheme),
            (refusal, _) => refusal,
        }
    }
}

/// Says in each challenge of an answer where the metadata of the resource are (RFC 9728 5.1).
pub fn name_metadata(headers: &mut HeaderMap, url: &str) {
    for value in headers.get_all(header::WWW_AUTHENTICATE).iter().cloned().collect::<Vec<_>>() {
        let challenge = value.to_str().unwrap_or_default();
        let separator = match challenge {
            "Bearer" => " ",
            _ if challenge.starts_with("Bearer ") || challenge.starts_with("DPoP ") => ", ",
            _ => continue,
        };
        if let Ok(named) = HeaderValue::from_str(&format!("{challenge}{separator}resource_metadata=\"{url}\"")) {
            headers.insert(header::WWW_AUTHENTICATE, named);
        }
    }
}

/// RFC 9449 7.1: what proofs may be signed with stands beside what went wrong.
fn dpop_challenge(error: &str) -> String {
    let algs = crate::crypto::dpop::ALGORITHMS.join(" ");
    format!(r#"DPoP error="{error}", algs="{algs}""#)
}

/// RFC 9470 3: what a new authorization request must ask for.
fn step_up_challenge(wanted: StepUp, scheme: Scheme) -> String {
    let mut challenge = match scheme {
        Scheme::Bearer => r#"Bearer error="insufficient_user_authentication""#.to_owned(),
        Scheme::Dpop => dpop_challenge("insufficient_user_authentication"),
    };
    if let Some(acr) = wanted.acr {
        challenge.push_str(&format!(r#", acr_values="{}""#, acr.as_str()));
    }
    if let Some(secs) = wanted.max_age {
        challenge.push_str(&format!(r#", max_age="{secs}""#));
    }
    challenge
}

/// How a token was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: DPoP …`.
    Dpop,
}

/// The token of a request, and how it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented<'a> {
    /// How.
    pub scheme: Scheme,
    /// Its text.
    pub token: &'a str,
}

/// The one access token of a request.
///
/// # Errors
/// [`Refusal::Missing`] without an `Authorization` header of one of the schemes; [`Refusal::Request`] when the header is repeated, holds no
/// token or more than one, or a token is in the query string (RFC 9700 2.6: never accepted there); [`Refusal::Token`] when it
/// is not of the characters of a token (RFC 6750 2.1).
pub fn presented<'a>(headers: &'a HeaderMap, uri: &Uri) -> Result<Presented<'a>, Refusal> {
    if uri.query().is_some_and(|q| q.split('&').any(|p| p.split('=').next() == Some("access_token"))) {
        return Err(Refusal::Request(
            "an access token in the query string is not accepted: send it as `Authorization: Bearer …`",
        ));
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Refusal::Missing) };
    if values.next().is_some() {
        return Err(Refusal::Request("there is more than one `Authorization` header: send one"));
    }
    let Ok(text) = value.to_str() else {
        return Err(Refusal::Request("the `Authorization` header has characters outside ASCII"));
    };
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return Err(Refusal::Missing);
    };
    let token = rest.trim_matches(' ');
    if token.is_empty() {
        return Err(Refusal::Request("the `Authorization` header names a scheme but holds no token"));
    }
    if token.contains([' ', ',', '\t']) {
        return Err(Refusal::Request("the `Authorization` header holds more than one token"));
    }
    let body = token.trim_end_matches('=');
    let is_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if body.is_empty() || token.len() > LONGEST || !body.bytes().all(is_token) {
        return Err(Refusal::Token.of_scheme(scheme));
    }
    Ok(Presented { scheme, token })
}

/// What a failed verification counts as.
pub const fn verification(error: TokenError) -> Verification {
    match error {
        TokenError::Expired => Verification::Expired,
        TokenError::Revoked => Verification::Revoked,
        TokenError::Unavailable => Verification::Unavailable,
        TokenError::Malformed
        | TokenError::WrongType
        | TokenError::Critical
        | TokenError::UnknownKey
        | TokenError::WrongAlgorithm
        | TokenError::BadSignature
        | TokenError::BadClaims
        | TokenError::WrongIssuer
        | TokenError::NotYetValid
        | TokenError::Unknown => Verification::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Option<&'static str>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        presented(&headers, &Uri::from_static("/x")).map(|p| p.token.to_owned()).map_err(|r| r.code())
    }

    #[test]
    fn one_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for value in ["Bearer abc.d-e_f~+/==", "bearer abc.d-e_f~+/==", "BEARER   abc.d-e_f~+/== "] {
            assert_eq!(read(&[value]), Ok("abc.d-e_f~+/==".to_owned()), "{value}");
        }
    }

    #[test]
    fn a_token_is_shown_under_one_of_two_schemes() {
        for (value, scheme) in [("Bearer a", Scheme::Bearer), ("DPoP a", Scheme::Dpop), ("dpop a", Scheme::Dpop)] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(presented(&headers, &Uri::from_static("/x")), Ok(Presented { scheme, token: "a" }));
        }
    }

    #[test]
    fn what_is_no_single_token_is_refused_as_rfc_6750_says() {
        let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
        for (values, code) in [
            (&[][..], None),
            (&["Basic YTpi"], None),
            (&["Bearer"], Some("invalid_request")),
            (&["Bearer "], Some("invalid_request")),
            (&["Bearer a", "Bearer a"], Some("invalid_request")),
            (&["Basic YTpi", "Bearer a"], Some("invalid_request")),
            (&["Bearer a, Bearer b"], Some("invalid_request")),
            (&["Bearer a b"], Some("invalid_request")),
            (&["Bearer a\"b"], Some("invalid_token")),
            (&["Bearer =="], Some("invalid_token")),
            (&["Bearer a=b"], Some("invalid_token")),
            (&[long.as_str()], Some("invalid_token")),
        ] {
            assert_eq!(read(values), Err(code), "{values:?}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_refused_even_beside_a_good_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        for (uri, good) in
            [("/x?access_token=abc", false), ("/x?a=1&access_token", false), ("/x?my_access_token=1", true)]
        {
            assert_eq!(presented(&headers, &uri.parse().unwrap()).is_ok(), good, "{uri}");
        }
    }

    #[test]
    fn a_challenge_names_the_metadata_beside_what_it_says() {
        for (challenge, named) in [
            ("Bearer", r#"Bearer resource_metadata="https://a.example/m""#),
            (r#"Bearer error="x""#, r#"Bearer error="x", resource_metadata="https://a.example/m""#),
            (r#"DPoP error="x", algs="y""#, r#"DPoP error="x", algs="y", resource_metadata="https://a.example/m""#),
            (r#"Basic realm="x""#, r#"Basic realm="x""#),
        ] {
            let mut headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))]);
            name_metadata(&mut headers, "https://a.example/m");
            assert_eq!(headers[header::WWW_AUTHENTICATE], named);
        }
    }

    #[test]
    fn a_challenge_says_no_more_than_the_caller_may_know() {
        for (refusal, status, challenge) in [
            (Refusal::Missing, 401, "Bearer"),
            (Refusal::Request("twice"), 400, r#"Bearer error="invalid_request""#),
            (Refusal::Token, 401, r#"Bearer error="invalid_token""#),
            (Refusal::BoundToken, 401, r#"DPoP error="invalid_token", algs="ES256 EdDSA Ed25519 RS256""#),
            (Refusal::Proof("old"), 401, r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA Ed25519 RS256""#),
            (Refusal::Nonce("n".to_owned()), 401, r#"DPoP error="use_dpop_nonce", algs="ES256 EdDSA Ed25519 RS256""#),
            (
                Refusal::Scope("audit:read\"\r\n".to_owned()),
                403,
                r#"Bearer error="insufficient_scope", scope="audit:read""#,
            ),
        ] {
            assert_eq!(refusal.status(), status);
            assert_eq!(refusal.challenge(), challenge);
        }
    }
}
