//! Client authentication (RFC 6749 2.3): one method a request, the one that the client registered, and one answer for
//! every way to fail, in the same time, so that nobody learns which clients exist.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::documents;
use super::error::Error;
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use crate::base::Timestamp;
use crate::crypto::assertion::{self, Assertion, ClientKeys};
use crate::crypto::verify::TokenError;
use crate::crypto::{b64url, compare, sha256};
use crate::live::LiveClient;
use crate::model::client::ClientSecret;
use crate::model::{AuthMethod, ClientKind, Outcome};
use crate::store::{StoreError, assertions};

/// RFC 7523 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Whose keys: a client that is deleted and made again is another.
pub(super) type KeysOf = (String, i64, Timestamp);

/// How a request claims to be authenticated.
enum Claim<'a> {
    Secret { client_id: String, secret: String, method: AuthMethod },
    Assertion { client_id: String, jwt: &'a str },
    Nothing { client_id: &'a str },
}

/// The client that sent the request, public ones included: those are only identified.
pub(super) async fn identify(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    form: &Form<'_>,
) -> Result<Arc<LiveClient>, Refusal> {
    let (client, proven, method) = match claim(headers, form)? {
        Claim::Secret { client_id, secret, method } => {
            let client = documents::client(asked, &client_id).await;
            let proven = check_secret(client.as_deref(), &secret, asked.now);
            (client, proven, method)
        }
        Claim::Assertion { client_id, jwt } => {
            let client = documents::client(asked, &client_id).await;
            let proven = check_assertion(asked, client.as_ref(), jwt).await?;
            (client, proven, AuthMethod::PrivateKeyJwt)
        }
        Claim::Nothing { client_id } => {
            let client = documents::client(asked, client_id).await;
            let public = client.as_ref().is_some_and(|c| c.client.auth_method == AuthMethod::None);
            (client, public, AuthMethod::None)
        }
    };
    let counts = &asked.server.ctx.metrics.client_authentications;
    match client {
        Some(client) if proven && !client.client.disabled => {
            counts.add((method, Outcome::Allowed));
            Ok(Arc::clone(asked.client.get_or_init(|| client)))
        }
        client => {
            counts.add((method, Outcome::Denied));
            Err(Refusal { client, ..Error::InvalidClient.into() })
        }
    }
}

/// The client that sent the request, proven.
pub(super) async fn authenticate(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    form: &Form<'_>,
) -> Result<Arc<LiveClient>, Refusal> {
    let client = identify(asked, headers, form).await?;
    if client.client.kind == ClientKind::Public || client.client.auth_method == AuthMethod::None {
        return Err(Refusal { client: Some(client), ..Error::InvalidClient.into() });
    }
    Ok(client)
}

/// What the request brings along: from one place, or it is refused.
fn claim<'a>(headers: &HeaderMap, form: &'a Form<'_>) -> Result<Claim<'a>, Error> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = lines.next();
    if lines.next().is_some() {
        return Err(Error::InvalidRequest("there is more than one Authorization header"));
    }
    let client_id = form.get("client_id");
    let secret = form.get("client_secret");
    let (jwt, jwt_type) = (form.get("client_assertion"), form.get("client_assertion_type"));
    let by_assertion = jwt.is_some() || jwt_type.is_some();
    if [authorization.is_some(), secret.is_some(), by_assertion].into_iter().filter(|used| *used).count() > 1 {
        return Err(Error::InvalidRequest("use one way of client authentication"));
    }
    if let Some(line) = authorization {
        let (id, secret) = basic(line.as_bytes())?;
        if client_id.is_some_and(|other| other != id) {
            return Err(Error::InvalidRequest("client_id differs from the Authorization header"));
        }
        return Ok(Claim::Secret { client_id: id, secret, method: AuthMethod::ClientSecretBasic });
    }
    if by_assertion {
        let (Some(jwt), Some(jwt_type)) = (jwt, jwt_type) else {
            return Err(Error::InvalidRequest("client_assertion and client_assertion_type belong together"));
        };
        if jwt_type != ASSERTION_TYPE {
            return Err(Error::InvalidClient);
        }
        let client_id = match client_id {
            Some(id) => id.to_owned(),
            None => assertion::claimed_client(jwt).ok_or(Error::InvalidClient)?,
        };
        return Ok(Claim::Assertion { client_id, jwt });
    }
    let client_id = client_id.ok_or(Error::InvalidClient)?;
    Ok(match secret {
        Some(secret) => Claim::Secret {
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            method: AuthMethod::ClientSecretPost,
        },
        None => Claim::Nothing { client_id },
    })
}

/// `Basic`, strictly: base64 with its padding (RFC 7617 2), a colon, both halves form-encoded (RFC 6749 2.3.1).
fn basic(line: &[u8]) -> Result<(String, String), Error> {
    let (scheme, rest) =
        line.iter().position(|b| *b == b' ').and_then(|at| line.split_at_checked(at)).unwrap_or((line, b""));
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Error::InvalidToken);
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(Error::InvalidClient);
    }
    let encoded = rest.trim_ascii_start();
    let decoded = STANDARD.decode(encoded).map_err(|_| Error::InvalidClient)?;
    let text = String::from_utf8(decoded).map_err(|_| Error::InvalidClient)?;
    let (id, secret) = text.split_once(':').ok_or(Error::InvalidClient)?;
    let plain = |text| form::decode(text).map(std::borrow::Cow::into_owned).ok_or(Error::InvalidClient);
    Ok((plain(id)?, plain(secret)?))
}

/// Compares digests, all of them to the end; an unknown client costs as much as a known one.
fn check_secret(client: Option<&LiveClient>, secret: &str, now: Timestamp) -> bool {
    let presented = b64url::encode(&sha256(secret.as_bytes()));
    let alive = |s: &ClientSecret| s.expires_at.is_none_or(|end| end > now);
    let Some(client) = client else {
        std::hint::black_box(compare::equal(presented.as_bytes(), b"0000000000000000000000000000000000000000000"));
        return false;
    };
    let by_secret = matches!(client.client.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
    let known = client.client.secrets.iter().fold(false, |found, known| {
        found | (compare::equal(presented.as_bytes(), known.digest.as_bytes()) & alive(known))
    });
    known & by_secret
}

/// Verifies the assertion, then uses it up: the second of two that bring the same one is refused, however close.
async fn check_assertion(asked: &Asked<'_>, client: Option<&Arc<LiveClient>>, jwt: &str) -> Result<bool, Refusal> {
    let server = asked.server;
    let keys = client.filter(|c| c.client.auth_method == AuthMethod::PrivateKeyJwt).and_then(|c| keys_of(asked, c));
    let (Some(client), Some(keys)) = (client, keys) else {
        server.decoy.burn(jwt);
        return Ok(false);
    };
    let client_id = &client.client.client_id;
    let assertion = match keys.verify(jwt, &server.ctx.issuer, client_id, asked.now) {
        Ok(assertion) => assertion,
        Err(why) => {
            // Refused before any signature was looked at: spend what the others spend.
            if matches!(why, TokenError::UnknownKey | TokenError::WrongAlgorithm | TokenError::WrongType) {
                server.decoy.burn(jwt);
            }
            return Ok(false);
        }
    };
    if client.client.disabled {
        return Ok(false);
    }
    use_up(asked, client_id, &assertion).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "an assertion could not be claimed");
        Refusal { client: Some(Arc::clone(client)), ..Error::Unavailable.into() }
    })
}

async fn use_up(asked: &Asked<'_>, client_id: &str, assertion: &Assertion) -> Result<bool, StoreError> {
    let mut tx = asked.server.ctx.store.begin().await?;
    let first = assertions::claim(&mut tx, client_id, &assertion.jti, assertion.exp).await?;
    tx.commit().await?;
    Ok(first)
}

/// The client's keys, parsed once for each version of it.
fn keys_of(asked: &Asked<'_>, client: &LiveClient) -> Option<Arc<ClientKeys>> {
    let cache = &asked.server.client_keys;
    let key = (client.client.client_id.clone(), client.version, client.client.created_at);
    if let Some(keys) = cache.get(&key) {
        return Some(keys);
    }
    let keys = Arc::new(ClientKeys::parse(client.client.jwks.as_ref()?).ok()?);
    cache.insert(key, Arc::clone(&keys));
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_basic_credentials_have_one_spelling() {
        let line = |text: &str| format!("Basic {}", STANDARD.encode(text)).into_bytes();
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(basic(&line("app:se:cret")), pair("app", "se:cret"));
        assert_eq!(basic(&line("a%20b+c:%3A%2B")), pair("a b c", ":+"));
        assert_eq!(basic(b"bAsIc  YTpi"), pair("a", "b"));
        for bad in [
            "Basic YTpi=",
            "Basic YTpiY",
            "Basic YTpiYw",
            "Basic YTpiYx==",
            "Basic YTp_",
            "Basic YT pi",
            "Basic",
            "Basic ",
        ] {
            assert_eq!(basic(bad.as_bytes()), Err(Error::InvalidClient), "{bad}");
        }
        for bad in ["app", "a%:b", "a:%zz", "a:%ff"] {
            assert_eq!(basic(&line(bad)), Err(Error::InvalidClient), "{bad}");
        }
        assert_eq!(basic(b"Bearer abc"), Err(Error::InvalidToken));
        assert_eq!(basic(b"Digest abc"), Err(Error::InvalidClient));
    }
}
