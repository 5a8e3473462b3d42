//! Issuers whose tokens count as assertions (RFC 7523 2.1): clusters, CI systems, other authorization servers.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::base::Timestamp;
use crate::crypto::foreign::{self, Expected, ForeignToken};
use crate::crypto::verify::TokenError;
use crate::http::foreign_keys::ForeignKeys;
use crate::model::Algorithm;
use crate::policy::Resource;

/// Most texts that are made of an assertion's claims.
const MOST_CLAIMS: usize = 128;
/// A longer one is left out.
const LONGEST_CLAIM: usize = 512;

/// One of them.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Its `iss`.
    pub issuer: Arc<str>,
    /// What must be in `aud`.
    pub audience: Arc<str>,
    /// What its tokens may be signed with.
    pub algs: Vec<Algorithm>,
    /// Its keys.
    pub keys: ForeignKeys,
}

impl TrustedIssuer {
    /// What `jwt` says, if it is alive and meant for us.
    ///
    /// # Errors
    /// Why it does not count; [`TokenError::Unavailable`] when the keys are not to be had.
    pub(super) async fn verify(
        &self,
        jwt: &str,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<ForeignToken, TokenError> {
        let keys = self.keys.find(kid).await.map_err(|_| TokenError::Unavailable)?;
        let expected = Expected { issuer: &self.issuer, audience: &self.audience, algs: &self.algs };
        foreign::verify(jwt, &keys, &expected, now)
    }

    /// The Cedar entity.
    pub(super) fn entity(&self) -> Resource {
        Resource::trusted_issuer(&self.issuer)
    }
}

/// What policies see of an assertion beside the facts: its subject, and its claims as texts.
pub(super) fn context(token: &ForeignToken) -> Map<String, Value> {
    let mut claims = Vec::new();
    for (name, value) in &token.claims {
        flatten(name, value, 0, &mut claims);
    }
    Map::from_iter([("subject".to_owned(), token.sub.as_str().into()), ("claims".to_owned(), claims.into())])
}

fn flatten(name: &str, value: &Value, depth: usize, out: &mut Vec<Value>) {
    let text = match value {
        Value::String(text) => format!("{name}={text}"),
        Value::Number(number) => format!("{name}={number}"),
        Value::Bool(flag) => format!("{name}={flag}"),
        Value::Array(items) if depth < 4 => return items.iter().for_each(|item| flatten(name, item, depth + 1, out)),
        Value::Object(members) if depth < 4 => {
            return members
                .iter()
                .for_each(|(inner, value)| flatten(&format!("{name}.{inner}"), value, depth + 1, out));
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return,
    };
    if out.len() < MOST_CLAIMS && text.len() <= LONGEST_CLAIM {
        out.push(text.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_become_texts_however_deep_they_stand_and_however_many_there_are() {
        let claims = json!({
            "sub": "repo:acme/api", "ref_protected": true, "run": 7, "none": null, "groups": ["a", "b"],
            "kubernetes.io": { "namespace": "prod", "pod": { "name": "x" } }, "long": "x".repeat(600),
        });
        let Value::Object(claims) = claims else { panic!("an object") };
        let exp = Timestamp::from_secs(1);
        let token =
            ForeignToken { sub: "s".to_owned(), aud: Vec::new(), exp, iat: None, nonce: None, azp: None, claims };
        let context = context(&token);
        let mut said: Vec<&str> = context["claims"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                "groups=a",
                "groups=b",
                "kubernetes.io.namespace=prod",
                "kubernetes.io.pod.name=x",
                "ref_protected=true",
                "run=7",
                "sub=repo:acme/api"
            ]
        );
        let many = Map::from_iter((0..1000).map(|i| (format!("c{i}"), json!(i))));
        let many = super::context(&ForeignToken { claims: many, ..token });
        assert_eq!(many["claims"].as_array().unwrap().len(), MOST_CLAIMS);
    }
}
