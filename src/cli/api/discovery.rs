//! What a server says about itself (RFC 8414).

use serde::Deserialize;

use super::super::failure::Failure;

/// The part of authorization server metadata that the command line needs.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Metadata {
    pub(in crate::cli) issuer: String,
    pub(in crate::cli) token_endpoint: String,
    #[serde(default)]
    pub(in crate::cli) device_authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) revocation_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) pushed_authorization_request_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) introspection_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::cli) jwks_uri: Option<String>,
    #[serde(default)]
    pub(in crate::cli) authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(in crate::cli) id_token_signing_alg_values_supported: Vec<String>,
}

impl Metadata {
    /// Fetches it; whoever answers must be the issuer that was asked (RFC 8414 3.3).
    pub(in crate::cli) async fn fetch(http: &reqwest::Client, issuer: &str) -> Result<Self, Failure> {
        let place = place(issuer);
        let unreachable = |e: reqwest::Error| Failure::usage(format!("{issuer} cannot be asked: {}", plain(&e)));
        let response = http.get(&place).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::usage(format!("{place} answered {}: is {issuer} the issuer?", status.as_u16())));
        }
        let metadata: Self = response.json().await.map_err(|e| {
            Failure::usage(format!("{place} is no authorization server metadata (RFC 8414): {}", plain(&e)))
        })?;
        if metadata.issuer != issuer {
            return Err(Failure::usage(format!("{place} speaks for `{}`: give that to --server", metadata.issuer)));
        }
        Ok(metadata)
    }
}

/// Where RFC 8414 3.1 puts it: between the host and the path of the issuer.
pub(in crate::cli) fn place(issuer: &str) -> String {
    const KNOWN: &str = "/.well-known/oauth-authorization-server";
    let host_at = issuer.find("://").map_or(0, |at| at + 3);
    let (front, path) = match issuer.get(host_at..).and_then(|rest| rest.find('/')) {
        Some(at) => issuer.split_at_checked(host_at + at).unwrap_or((issuer, "")),
        None => (issuer, ""),
    };
    format!("{front}{KNOWN}{}", path.trim_end_matches('/'))
}

/// A transport error without its URL, which the message has already.
pub(in crate::cli) fn plain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn metadata_stands_between_host_and_path() {
        for (issuer, expected) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            ("http://localhost:8080", "http://localhost:8080/.well-known/oauth-authorization-server"),
            ("https://a.example/auth/eu", "https://a.example/.well-known/oauth-authorization-server/auth/eu"),
        ] {
            assert_eq!(place(issuer), expected);
        }
    }
}
