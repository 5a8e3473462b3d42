//! `[oauth]`: tokens, keys, and the APIs that tokens are for.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Fields, Reader};
use super::registration::Registration;
use super::{server, text};
use crate::model::Algorithm;

/// `[oauth]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Oauth {
    /// Lifetime of access tokens, unless the client or the resource has its own.
    pub access_token_ttl: Duration,
    /// How long a refresh token may lie unused.
    pub refresh_token_ttl: Duration,
    /// How long what a person granted can be refreshed at most.
    pub grant_lifetime: Duration,
    /// How long after its use the refresh token of a public client is still taken when the answer was lost.
    pub refresh_grace: Duration,
    /// What access tokens may be signed with, the default first. Never empty.
    pub signing_algs: Vec<Algorithm>,
    /// `max-age` of the key set, and how long a key is published before it signs.
    pub jwks_max_age: Duration,
    /// How long a key signs.
    pub key_lifetime: Duration,
    /// Whether DPoP proofs must carry a nonce of ours.
    pub dpop_nonces: bool,
    /// APIs beside the issuer itself.
    pub resources: Vec<ResourceServer>,
    /// The API of clients that are registered without one; `None`: the issuer.
    pub default_resource: Option<String>,
    /// Issuers whose tokens count as assertions.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Clients that nobody of this house registered.
    pub registration: Registration,
}

/// An issuer whose tokens workloads show as assertions (RFC 7523 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Its `iss`, byte for byte.
    pub issuer: String,
    /// Where its keys are.
    pub keys: IssuerKeys,
    /// What must be in `aud`; `None`: the issuer of this server.
    pub audience: Option<String>,
    /// What its tokens may be signed with.
    pub algs: Vec<Algorithm>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKeys {
    /// Fetched when needed.
    Uri(String),
    /// A JWK Set in a file, read at the start.
    File(PathBuf),
}

/// An API that tokens are issued for (RFC 8707).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceServer {
    /// The `aud` of its tokens.
    pub id: String,
    /// What its tokens look like.
    pub tokens: TokenFormat,
    /// Signature of its tokens, unless the client has its own.
    pub alg: Option<Algorithm>,
    /// Lifetime of its tokens, unless the client has its own.
    pub ttl: Option<Duration>,
}

/// What an access token looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// Self-contained (RFC 9068).
    Jwt,
    /// Looked up by introspection (RFC 7662).
    Opaque,
}

impl Default for Oauth {
    fn default() -> Self {
        Self {
            access_token_ttl: Duration::from_secs(600),
            refresh_token_ttl: Duration::from_secs(14 * 86_400),
            grant_lifetime: Duration::from_secs(90 * 86_400),
            refresh_grace: Duration::from_secs(60),
            signing_algs: Algorithm::ALL.to_vec(),
            jwks_max_age: Duration::from_secs(300),
            key_lifetime: Duration::from_secs(90 * 86_400),
            dpop_nonces: true,
            resources: Vec::new(),
            default_resource: None,
            trusted_issuers: Vec::new(),
            registration: Registration::default(),
        }
    }
}

impl Oauth {
    /// The algorithm of tokens whose client and resource name none.
    pub fn default_alg(&self) -> Algorithm {
        self.signing_algs.first().copied().unwrap_or(Algorithm::ES256)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let mut oauth = Self {
            access_token_ttl: r.parsed("oauth.access_token_ttl", d.access_token_ttl, ttl),
            refresh_token_ttl: r.parsed("oauth.refresh_token_ttl", d.refresh_token_ttl, text::duration),
            grant_lifetime: r.parsed("oauth.grant_lifetime", d.grant_lifetime, text::duration),
            refresh_grace: r.parsed("oauth.refresh_grace", d.refresh_grace, text::duration),
            signing_algs: r.list("oauth.signing_algs", d.signing_algs.clone(), alg),
            jwks_max_age: r.parsed("oauth.jwks_max_age", d.jwks_max_age, text::duration),
            key_lifetime: r.parsed("oauth.key_lifetime", d.key_lifetime, text::duration),
            dpop_nonces: r.flag("oauth.dpop_nonces", d.dpop_nonces),
            resources: r
                .tables("oauth.resources", |f| {
                    Some(ResourceServer {
                        tokens: f.optional("tokens", format).unwrap_or(TokenFormat::Jwt),
                        alg: f.optional("alg", alg),
                        ttl: f.optional("ttl", ttl),
                        id: f.required("id", server::resource_uri)?,
                    })
                })
                .into_iter()
                .flatten()
                .collect(),
            default_resource: r.parsed("oauth.default_resource", None, default_resource),
            trusted_issuers: r.tables("oauth.trusted_issuers", trusted_issuer).into_iter().flatten().collect(),
            registration: Registration::read(r),
        };
        if oauth.signing_algs.is_empty() {
            r.wrong("oauth.signing_algs", "name at least one of ES256, EdDSA, RS256");
            oauth.signing_algs = d.signing_algs;
        }
        if oauth.refresh_token_ttl > oauth.grant_lifetime {
            r.wrong("oauth.refresh_token_ttl", "must not be longer than `oauth.grant_lifetime`");
        }
        if oauth.refresh_grace > Duration::from_secs(600) {
            r.wrong("oauth.refresh_grace", "choose at most \"10m\": a stolen token is worth something that long");
        }
        if oauth.key_lifetime < oauth.jwks_max_age.saturating_mul(2) {
            r.wrong("oauth.key_lifetime", "must be at least twice `oauth.jwks_max_age`, or keys overtake each other");
        }
        for (i, trusted) in oauth.trusted_issuers.iter().enumerate() {
            if oauth.trusted_issuers.iter().take(i).any(|other| other.issuer == trusted.issuer) {
                r.wrong("oauth.trusted_issuers", format!("`{}` is there twice: keep one", trusted.issuer));
            }
        }
        for (i, resource) in oauth.resources.iter().enumerate() {
            if oauth.resources.iter().take(i).any(|other| other.id == resource.id) {
                r.wrong("oauth.resources", format!("`{}` is there twice: keep one", resource.id));
            }
            if let Some(alg) = resource.alg.filter(|alg| !oauth.signing_algs.contains(alg)) {
                let name = alg.as_str();
                r.wrong(
                    "oauth.resources",
                    format!("`{}` asks for {name}: add it to `oauth.signing_algs`", resource.id),
                );
            }
        }
        oauth
    }
}

/// Empty: the issuer.
fn default_resource(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() { Ok(None) } else { server::resource_uri(text).map(Some) }
}

fn trusted_issuer(f: &mut Fields<'_>) -> Option<TrustedIssuer> {
    let text = |text: &str| Ok(text.to_owned());
    let (uri, file) = (f.optional("jwks_uri", https), f.path("jwks"));
    let audience = f.optional("audience", text);
    let algs = f.optional("algs", algs).unwrap_or_else(|| Algorithm::ALL.to_vec());
    let issuer = f.required("issuer", text)?;
    let keys = match (uri, file) {
        (Some(uri), None) => IssuerKeys::Uri(uri),
        (None, Some(file)) => IssuerKeys::File(file),
        _ => {
            f.wrong("name its keys: `jwks_uri`, or `jwks`, a file; one of the two");
            return None;
        }
    };
    Some(TrustedIssuer { issuer, keys, audience, algs })
}

/// Algorithms with spaces between them.
fn algs(text: &str) -> Result<Vec<Algorithm>, String> {
    let algs: Vec<Algorithm> = text.split_whitespace().map(alg).collect::<Result<_, _>>()?;
    if algs.is_empty() { Err("name at least one of ES256, EdDSA, RS256".to_owned()) } else { Ok(algs) }
}

fn https(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.scheme() == "https" || url.scheme() == "http" => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no URL: write \"https://issuer.example.com/keys\"")),
    }
}

fn alg(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| format!("`{text}` is not an algorithm: choose ES256, EdDSA or RS256"))
}

fn format(text: &str) -> Result<TokenFormat, String> {
    match text {
        "jwt" => Ok(TokenFormat::Jwt),
        "opaque" => Ok(TokenFormat::Opaque),
        _ => Err(format!("`{text}` is not a kind of token: choose \"jwt\" or \"opaque\"")),
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = text::duration(text)?;
    if (Duration::from_secs(5)..=Duration::from_secs(86_400)).contains(&ttl) {
        Ok(ttl)
    } else {
        Err(format!("`{text}` is outside \"5s\" to \"24h\""))
    }
}
