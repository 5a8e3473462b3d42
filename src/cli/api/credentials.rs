//! How a client proves itself where no person sits: by its secret, or by an assertion it signs (RFC 7523).

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::super::failure::Failure;
use crate::base::{Clock as _, Secret, SystemClock, SystemRng, id};
use crate::config;

/// Variables that hold what the files would.
const SECRET: &str = "STOCKADE_CLIENT_SECRET";
const KEY: &str = "STOCKADE_CLIENT_KEY";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client's credential.
#[derive(Debug)]
pub(in crate::cli) enum Credential {
    /// A secret.
    Secret(Secret<String>),
    /// A private key, PEM.
    Key(Secret<String>),
}

/// Reads a credential file.
fn read(file: &Path) -> Result<Secret<String>, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage(format!("{} is empty", file.display())));
    }
    Ok(Secret::new(text.to_owned()))
}

impl Credential {
    /// From one of the two files, or from the environment, where CI systems put what is secret.
    pub(in crate::cli) fn read(secret: Option<&Path>, key: Option<&Path>) -> Result<Self, Failure> {
        match (secret, key) {
            (Some(file), None) => Ok(Self::Secret(read(file)?)),
            (None, Some(file)) => Ok(Self::Key(read(file)?)),
            (Some(_), Some(_)) => Err(Failure::usage("a client has a secret or a key: give one of the two files")),
            (None, None) => {
                let environment = config::environment();
                let given = |name: &str| environment.get(name).map(|text| Secret::new(text.trim().to_owned()));
                match (given(SECRET), given(KEY)) {
                    (Some(secret), None) => Ok(Self::Secret(secret)),
                    (None, Some(key)) => Ok(Self::Key(key)),
                    (Some(_), Some(_)) => Err(Failure::usage(format!("{SECRET} and {KEY} are both set: keep one"))),
                    (None, None) => Err(Failure::usage(format!(
                        "--client-id needs --client-secret-file or --client-key-file beside it, or {SECRET} or {KEY} set"
                    ))),
                }
            }
        }
    }

    /// Puts it into a token request (RFC 6749 2.3.1, RFC 7523 2.2).
    pub(in crate::cli) fn authenticate(
        &self,
        request: reqwest::RequestBuilder,
        form: &mut Vec<(&'static str, String)>,
        client_id: &str,
        issuer: &str,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        match self {
            Self::Secret(secret) => {
                let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                Ok(request.basic_auth(encode(client_id), Some(encode(secret.expose()))))
            }
            Self::Key(_) => {
                form.extend(self.parameters(client_id, issuer)?);
                Ok(request)
            }
        }
    }

    /// The form parameters that prove it: of a key an assertion, of a secret none, which goes in a header.
    pub(in crate::cli) fn parameters(
        &self,
        client_id: &str,
        issuer: &str,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let Self::Key(pem) = self else { return Ok(Vec::new()) };
        let assertion = assertion(pem.expose(), client_id, issuer)?;
        Ok(vec![("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion)])
    }
}

/// An assertion that lives a minute and is good for one request.
fn assertion(pem: &str, client_id: &str, issuer: &str) -> Result<String, Failure> {
    let pem = pem.as_bytes();
    let kinds = [
        (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
        (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
    ];
    let now = SystemClock.now();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer, "jti": id::new("ca", now, &SystemRng),
        "iat": now.as_secs(), "exp": now.as_secs() + 60,
    });
    let signed =
        kinds.into_iter().find_map(|(alg, key)| jsonwebtoken::encode(&Header::new(alg), &claims, &key.ok()?).ok());
    signed.ok_or_else(|| Failure::usage("the key is no private key in PEM (PKCS#8) of ES256, EdDSA or RS256"))
}
