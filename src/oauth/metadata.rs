//! What clients read before they begin: authorization server metadata (RFC 8414), the same for OpenID Connect Discovery,
//! protected resource metadata (RFC 9728) and the JWK Set (RFC 7517). The documents are rendered once; they say nothing that a request's `Host` could change.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Settings;
use super::error::Error;
use crate::crypto::{b64url, dpop, sha256};
use crate::model::{Acr, Algorithm, GrantType};

/// A document with its validator.
#[derive(Clone, Debug)]
pub(super) struct Document {
    body: Bytes,
    etag: HeaderValue,
    cache_control: HeaderValue,
}

impl Document {
    fn new(body: Bytes, cache_control: HeaderValue) -> Self {
        let digest = sha256(&body);
        let tag = b64url::encode(digest.first_chunk::<12>().map_or(&digest[..], |short| short.as_slice()));
        let etag = HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, etag, cache_control }
    }

    /// Answers `GET` and `HEAD`, and with 304 whoever has it already (RFC 9110 13.1.2).
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Result<Response, Error> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Error::Method("GET, HEAD"));
        }
        let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|list| self.matches(list));
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            // A HEAD answer loses its body where it is written, and keeps its length.
            Response::new(Body::from(self.body.clone()))
        };
        let headers = response.headers_mut();
        if !known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        headers.insert(header::ETAG, self.etag.clone());
        // Whether a page may read it depends on the page: a shared cache must not mix them.
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        Ok(response)
    }

    fn matches(&self, list: &HeaderValue) -> bool {
        let ours = self.etag.as_bytes();
        list.as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii)
            .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == ours)
    }
}

fn cache_for(secs: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("public, max-age={secs}")).unwrap_or(HeaderValue::from_static("no-cache"))
}

/// The metadata document.
pub(super) fn document(issuer: &str, settings: &Settings, trusts_others: bool) -> Document {
    let body = body(issuer, settings, trusts_others);
    Document::new(Bytes::from(body.to_string()), cache_for(settings.jwks_max_age.as_secs()))
}

/// What the metadata document says.
pub(super) fn body(issuer: &str, settings: &Settings, trusts_others: bool) -> Value {
    let mut grants = vec![
        GrantType::AuthorizationCode,
        GrantType::ClientCredentials,
        GrantType::DeviceCode,
        GrantType::RefreshToken,
        GrantType::TokenExchange,
    ];
    grants.extend(trusts_others.then_some(GrantType::JwtBearer));
    let methods = json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    let with_none = json!(["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]);
    let algs = json!(Algorithm::ALL.map(Algorithm::as_str));
    let signing: Vec<_> = settings.signing_algs.iter().map(|alg| alg.as_str()).collect();
    let mut body = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
        "device_authorization_endpoint": format!("{issuer}/oauth/device_authorization"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "userinfo_endpoint": format!("{issuer}/oauth/userinfo"),
        "end_session_endpoint": format!("{issuer}/oauth/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "registration_endpoint": settings.registration.endpoint.then(|| format!("{issuer}/oauth/register")),
        "client_id_metadata_document_supported": settings.registration.documents.then_some(true),
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "grant_types_supported": grants.iter().map(|grant| grant.as_str()).collect::<Vec<_>>(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "require_pushed_authorization_requests": false,
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "name",
            "preferred_username", "updated_at", "email", "email_verified",
        ],
        "acr_values_supported": Acr::ALL.map(Acr::as_str),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": signing,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "token_endpoint_auth_methods_supported": with_none,
        "token_endpoint_auth_signing_alg_values_supported": algs,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algs,
        "revocation_endpoint_auth_methods_supported": with_none,
        "revocation_endpoint_auth_signing_alg_values_supported": algs,
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS,
    });
    // What is not there is not said.
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
}

/// The issuer as a protected resource (RFC 9728): its own APIs take its own tokens, in the header alone.
pub(super) fn protected_resource(issuer: &str, settings: &Settings) -> Document {
    let body = json!({
        "resource": issuer,
        "scopes_supported": [
            "openid", "profile", "email", "admin", "audit:read", "findings:read", "pdp", "client:register",
        ],
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS,
    });
    Document::new(Bytes::from(body.to_string()), cache_for(settings.jwks_max_age.as_secs()))
}

/// The JWK Set as a document, made anew only when its bytes are others.
#[derive(Debug)]
pub(super) struct Jwks {
    cache_control: HeaderValue,
    last: ArcSwapOption<Document>,
}

impl Jwks {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { cache_control: cache_for(settings.jwks_max_age.as_secs()), last: ArcSwapOption::empty() }
    }

    pub(super) fn document(&self, body: &Bytes) -> Arc<Document> {
        // The last body is held, so bytes at the same place are the same bytes.
        let same = |d: &Arc<Document>| d.body.as_ptr() == body.as_ptr() && d.body.len() == body.len();
        if let Some(last) = self.last.load_full().filter(same) {
            return last;
        }
        let made = Arc::new(Document::new(body.clone(), self.cache_control.clone()));
        self.last.store(Some(Arc::clone(&made)));
        made
    }
}
