//! One provider: its metadata (OpenID Connect Discovery), the way there, and the exchange of a code.

use std::pin::Pin;
use std::sync::Arc;

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::identity::{self, Identity, Wrong};
use crate::base::{Clock, Secret, Timestamp};
use crate::config::LoginProvider;
use crate::crypto::foreign::{self, Expected};
use crate::http::browser::Site;
use crate::http::fetch::{FetchError, Fetcher};
use crate::http::fetched::Fetched;
use crate::http::foreign_keys::ForeignKeys;
use crate::limits::LimitError;
use crate::model::Algorithm;
use crate::policy::Resource;

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What comes beside the access token (OpenID Connect Core 3.1.3.3).
#[derive(Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdToken([redacted])")
    }
}

impl ExtraTokenFields for IdToken {}

/// Why a provider cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its issuer, or a URL made of ours.
    #[error("`[[login.providers]]` `{0}`: {1}")]
    Url(String, String),
    /// Never: fetching has fixed limits.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Why its metadata do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    #[error("they are not metadata of an OpenID provider")]
    Malformed,
    #[error("they name another issuer")]
    Issuer,
    #[error("an endpoint is not https")]
    Endpoint,
    #[error("it takes neither client_secret_basic nor client_secret_post")]
    Authentication,
    #[error("it signs ID tokens with none of RS256, ES256, EdDSA")]
    Algorithm,
}

/// What is read of the metadata (Discovery 3).
#[derive(Deserialize)]
struct Wire {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Where everything is, checked.
#[derive(Debug)]
struct Metadata {
    authorization: AuthUrl,
    token: TokenUrl,
    auth: AuthType,
    algs: Vec<Algorithm>,
    keys: ForeignKeys,
    says_iss: bool,
}

/// Why there is nobody to be known by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The provider, or its metadata or keys, are not to be had.
    Unavailable,
    /// It did not take the code.
    Code,
    /// Its ID token does not count.
    Token(Wrong),
}

/// A provider that people may sign in with.
#[derive(Debug)]
pub(in crate::login) struct Provider {
    pub(in crate::login) id: String,
    /// Its name on pages.
    pub(in crate::login) name: String,
    pub(in crate::login) issuer: String,
    /// Whether somebody whom nobody knows becomes a person here.
    pub(super) create: bool,
    /// The claim that becomes the username.
    pub(super) username: String,
    /// The Cedar entity.
    pub(super) resource: Resource,
    client_id: String,
    client_secret: Option<Secret<String>>,
    scopes: Vec<String>,
    redirect: RedirectUrl,
    metadata: Fetched<Metadata, Unfit>,
    outbound: Outbound,
}

/// How the `oauth2` library makes its requests: as everything here that goes out.
#[derive(Debug)]
struct Outbound(Fetcher);

impl<'c> AsyncHttpClient<'c> for Outbound {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async { self.0.send(request).await.map(|response| response.map(|body| body.to_vec())) })
    }
}

/// Every provider, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Providers(Arc<[Provider]>);

impl Providers {
    /// As configured, for the site whose callbacks they lead back to.
    ///
    /// # Errors
    /// When an issuer is one that is not asked: see [`Fetcher::checked`].
    pub fn new(
        configured: &[LoginProvider],
        site: &Site,
        fetcher: &Fetcher,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let each = configured.iter().map(|one| Provider::new(one, site, fetcher, clock));
        Ok(Self(each.collect::<Result<_, _>>()?))
    }

    /// The provider of this id.
    pub(in crate::login) fn get(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.id == id)
    }

    /// The provider with this issuer.
    pub(in crate::login) fn by_issuer(&self, issuer: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.issuer == issuer)
    }

    /// All of them.
    pub(in crate::login) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.0.iter()
    }
}

impl Provider {
    fn new(
        configured: &LoginProvider,
        site: &Site,
        fetcher: &Fetcher,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let bad = |why: String| ProviderError::Url(configured.id.clone(), why);
        let issuer = configured.issuer.clone();
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        fetcher.checked(&place).map_err(|error| bad(format!("`issuer`: {error}")))?;
        let redirect = format!("{}{}", site.origin(), site.path(&format!("/callback/{}", configured.id)));
        let (keys, time, expected) = (fetcher.clone(), Arc::clone(clock), issuer.clone());
        let read = move |body: &[u8]| Metadata::read(body, &expected, &keys, &time);
        Ok(Self {
            metadata: Fetched::new(place, "application/json", fetcher.clone(), Arc::clone(clock), read)?,
            redirect: RedirectUrl::new(redirect).map_err(|error| bad(error.to_string()))?,
            resource: Resource::login_provider(&configured.id),
            outbound: Outbound(fetcher.clone()),
            id: configured.id.clone(),
            name: configured.name.clone(),
            create: configured.create,
            username: configured.username.clone(),
            client_id: configured.client_id.clone(),
            client_secret: configured.client_secret.clone(),
            scopes: configured.scopes.clone(),
            issuer,
        })
    }

    fn client(&self, metadata: &Metadata) -> Client {
        let client = oauth2::Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(metadata.authorization.clone())
            .set_token_uri(metadata.token.clone())
            .set_redirect_uri(self.redirect.clone())
            .set_auth_type(metadata.auth.clone());
        match &self.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().clone())),
            None => client,
        }
    }

    /// Where the browser goes. Whoever must prove themselves anew is told so.
    pub(super) async fn way(&self, attempt: &Attempt) -> Result<String, Failure> {
        let metadata = self.metadata.find(|_| true).await.map_err(|_| Failure::Unavailable)?;
        let client = self.client(&metadata);
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let mut request = client
            .authorize_url(|| CsrfToken::new(attempt.state.clone()))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", attempt.nonce.clone());
        if let Some(since) = attempt.since {
            let age = attempt.at.since(since).as_secs();
            request = request.add_extra_param("max_age", age.to_string());
            if age == 0 {
                request = request.add_extra_param("prompt", "login");
            }
        }
        Ok(request.url().0.into())
    }

    /// Whether an answer comes from this provider, as far as its `iss` says (RFC 9207 2.4): that must be ours to the byte, and
    /// there when the provider always sends it.
    pub(super) async fn sent(&self, iss: Option<&str>) -> Result<bool, Failure> {
        match iss {
            Some(iss) => Ok(iss == self.issuer),
            None => Ok(!self.metadata.find(|_| true).await.map_err(|_| Failure::Unavailable)?.says_iss),
        }
    }

    /// Who the code stands for.
    pub(super) async fn identify(&self, attempt: &Attempt, code: &str, now: Timestamp) -> Result<Identity, Failure> {
        let metadata = self.metadata.find(|_| true).await.map_err(|_| Failure::Unavailable)?;
        let client = self.client(&metadata);
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        let tokens = exchange.request_async(&self.outbound).await.map_err(|error| self.no_tokens(&error))?;
        let jwt = tokens.extra_fields().id_token.as_deref().ok_or(Failure::Token(Wrong::Missing))?;
        let (_, kid) = foreign::claimed(jwt).ok_or(Failure::Token(Wrong::Malformed))?;
        let keys = metadata.keys.find(kid.as_deref()).await.map_err(|_| Failure::Unavailable)?;
        let expected = Expected { issuer: &self.issuer, audience: &self.client_id, algs: &metadata.algs };
        let token = foreign::verify(jwt, &keys, &expected, now).map_err(|error| {
            tracing::info!(provider = self.id, %error, "an ID token does not verify");
            Failure::Token(Wrong::of(error))
        })?;
        let access_token = tokens.access_token().secret();
        let checked = identity::checked(token, (&self.client_id, &attempt.nonce, access_token), now);
        checked.map_err(Failure::Token)
    }

    /// Nothing of what came is told: it may hold a token.
    fn no_tokens(&self, error: &RequestTokenError<FetchError, BasicErrorResponse>) -> Failure {
        let (what, failure) = match error {
            RequestTokenError::ServerResponse(_) => ("it answered with an error", Failure::Code),
            RequestTokenError::Request(error) => {
                tracing::warn!(provider = self.id, %error, "a code could not be exchanged");
                return Failure::Unavailable;
            }
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => ("the answer is no token", Failure::Code),
        };
        tracing::info!(provider = self.id, what, "a code was not exchanged");
        failure
    }
}

impl Metadata {
    fn read(body: &[u8], issuer: &str, fetcher: &Fetcher, clock: &Arc<dyn Clock>) -> Result<Self, Unfit> {
        let wire: Wire = serde_json::from_slice(body).map_err(|_| Unfit::Malformed)?;
        if wire.issuer != issuer {
            return Err(Unfit::Issuer);
        }
        for endpoint in [&wire.authorization_endpoint, &wire.token_endpoint, &wire.jwks_uri] {
            fetcher.checked(endpoint).map_err(|_| Unfit::Endpoint)?;
        }
        let takes = |method: &str| match &wire.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|known| known == method),
            // Discovery 3: the default.
            None => method == "client_secret_basic",
        };
        let auth = match (takes("client_secret_basic"), takes("client_secret_post"), takes("none")) {
            (true, ..) => AuthType::BasicAuth,
            (false, true, _) | (false, false, true) => AuthType::RequestBody,
            (false, false, false) => return Err(Unfit::Authentication),
        };
        let named = wire.id_token_signing_alg_values_supported.iter();
        let algs: Vec<Algorithm> = named.filter_map(|alg| Algorithm::parse(alg)).collect();
        if algs.is_empty() {
            return Err(Unfit::Algorithm);
        }
        let keys = ForeignKeys::fetched(wire.jwks_uri, fetcher.clone(), Arc::clone(clock));
        Ok(Self {
            authorization: AuthUrl::new(wire.authorization_endpoint).map_err(|_| Unfit::Endpoint)?,
            token: TokenUrl::new(wire.token_endpoint).map_err(|_| Unfit::Endpoint)?,
            auth,
            algs,
            keys: keys.map_err(|_| Unfit::Malformed)?,
            says_iss: wire.authorization_response_iss_parameter_supported,
        })
    }
}
