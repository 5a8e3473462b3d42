//! The public door: a builder, and the fence it builds.

use std::path::Path;
use std::sync::Arc;

use super::layer::FenceLayer;
use super::pipeline::Pipeline;
use super::recorder::{Recorder, Traced};
use super::tokens::{Jwks, Tokens};
use crate::base::{Clock, Rng, SystemClock, SystemRng};
use crate::crypto::CryptoError;
use crate::crypto::nonce::Nonces;
use crate::crypto::verify::Verifier;
use crate::http::dpop::Proofs;
use crate::http::{Coarse, TrustedProxies};
use crate::limits::{self, Buckets, Limit, LimitError};
use crate::policy::{Engine, Problem, Snapshot};
use crate::telemetry::Metrics;

/// A guard for APIs: bearer tokens, policies, rate tiers, events. Cheap to clone; clones share their buckets.
#[derive(Clone, Debug)]
pub struct Fence {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) trusted: TrustedProxies,
    verifier: Option<Arc<Verifier>>,
}

/// Why a fence cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Neither [`FenceBuilder::jwks`] nor [`FenceBuilder::tokens`].
    #[error("a fence needs the issuer's keys: give `jwks`, or `tokens` of your own")]
    NoTokens,
    /// The JWK Set is not usable.
    #[error(transparent)]
    Jwks(#[from] CryptoError),
    /// The policies have mistakes.
    #[error("the policies cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Policies(Vec<Problem>),
    /// The address limit is none that a bucket can count.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Builds a [`Fence`]. Only the keys must be given; everything else has a safe default, and without policies everything
/// is denied.
#[derive(Debug)]
pub struct FenceBuilder {
    issuer: Arc<str>,
    audience: Option<Arc<str>>,
    origin: Option<Arc<str>>,
    proofs: Option<Arc<Proofs>>,
    jwks: Option<serde_json::Value>,
    tokens: Option<Arc<dyn Tokens>>,
    engine: Option<Arc<Engine>>,
    files: Option<Result<Arc<Snapshot>, Vec<Problem>>>,
    buckets: Option<Arc<Buckets>>,
    address: Option<Limit>,
    recorder: Arc<dyn Recorder>,
    metrics: Option<Arc<Metrics>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    trusted: TrustedProxies,
}

impl Fence {
    /// A fence for tokens of `issuer`, compared with `iss` as it is.
    pub fn builder(issuer: impl Into<Arc<str>>) -> FenceBuilder {
        FenceBuilder {
            issuer: issuer.into(),
            audience: None,
            origin: None,
            proofs: None,
            jwks: None,
            tokens: None,
            engine: None,
            files: None,
            buckets: None,
            address: None,
            recorder: Arc::new(Traced),
            metrics: None,
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            trusted: TrustedProxies::default(),
        }
    }

    /// The tower layer. It guards every route of the service under it; what it lets through finds an
    /// [`super::Admitted`] in the request's extensions.
    pub fn layer(&self) -> FenceLayer {
        FenceLayer::new(self.clone())
    }

    /// Replaces the keys given with [`FenceBuilder::jwks`], when the issuer has rotated them.
    ///
    /// # Errors
    /// When the set is not usable, or the fence has tokens of its own; the keys stay as they are.
    pub fn set_jwks(&self, jwks: &serde_json::Value) -> Result<(), FenceError> {
        self.verifier.as_ref().ok_or(FenceError::NoTokens)?.set_jwks(jwks).map_err(FenceError::Jwks)
    }

    /// The engine, to load policies again.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.pipeline.engine
    }
}

impl FenceBuilder {
    /// The issuer's published JWK Set (RFC 7517): access tokens (RFC 9068) are verified with it alone.
    #[must_use]
    pub fn jwks(mut self, jwks: serde_json::Value) -> Self {
        self.jwks = Some(jwks);
        self
    }

    /// Another source of tokens, such as one that introspects.
    #[must_use]
    pub fn tokens(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// The `aud` that tokens must have (RFC 8707, RFC 9068 4). Without it, what `routes.toml` says of each route's API.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Arc<str>>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Where callers reach the guarded API: scheme, host and port, such as `https://api.example.com`. DPoP proofs (RFC 9449)
    /// name it. Without it, where the audience is, if that is a URL, or else the issuer.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Proofs checked together with others. Default: of its own, and they must carry a nonce (RFC 9449 9) that dies with this
    /// process.
    #[must_use]
    pub fn proofs(mut self, proofs: Arc<Proofs>) -> Self {
        self.proofs = Some(proofs);
        self
    }

    /// Policies, routes and tiers of a directory.
    #[must_use]
    pub fn policies(mut self, dir: impl AsRef<Path>) -> Self {
        self.files = Some(Snapshot::load(dir.as_ref()));
        self
    }

    /// Policies, routes and tiers that are loaded already.
    #[must_use]
    pub fn snapshot(mut self, snapshot: Arc<Snapshot>) -> Self {
        self.files = Some(Ok(snapshot));
        self
    }

    /// An engine that someone else keeps loaded.
    #[must_use]
    pub fn engine(mut self, engine: Arc<Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// How often one address may ask at all, before anything is verified. Default 200 a second, 400 at once.
    #[must_use]
    pub fn address_limit(mut self, limit: Limit) -> Self {
        self.address = Some(limit);
        self
    }

    /// Buckets shared with others.
    #[must_use]
    pub fn buckets(mut self, buckets: Arc<Buckets>) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// The proxies whose `X-Forwarded-For` is believed. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> Self {
        self.trusted = trusted;
        self
    }

    /// Where events go. Default: refusals are logged through `tracing`.
    #[must_use]
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Metrics shared with others.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Another clock and another source of randomness, for tests.
    #[must_use]
    pub fn clock_and_rng(mut self, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        self.clock = clock;
        self.rng = rng;
        self
    }

    /// The fence.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn build(self) -> Result<Fence, FenceError> {
        let engine = self.engine.unwrap_or_default();
        if let Some(files) = self.files {
            engine.install(files.map_err(FenceError::Policies)?);
        }
        let (tokens, verifier): (Arc<dyn Tokens>, _) = match (self.tokens, self.jwks) {
            (Some(tokens), _) => (tokens, None),
            (None, Some(jwks)) => {
                let verifier = Arc::new(Verifier::from_jwks(Arc::clone(&self.issuer), &jwks)?);
                (Arc::new(Jwks::new(Arc::clone(&verifier))), Some(verifier))
            }
            (None, None) => return Err(FenceError::NoTokens),
        };
        let address = match self.address {
            Some(limit) => limit,
            None => Limit::per_second(200, 400)?,
        };
        let rng = self.rng;
        let buckets = self.buckets.unwrap_or_else(|| Arc::new(Buckets::new(limits::Settings::default(), &*rng)));
        let metrics = self.metrics.unwrap_or_else(|| Arc::new(Metrics::register()));
        let coarse = Coarse::new(Arc::clone(&buckets), address, Arc::clone(&metrics), Arc::clone(&self.clock));
        let proofs = self.proofs.unwrap_or_else(|| Arc::new(Proofs::new(Some(Nonces::random(&*rng)))));
        let pipeline = Pipeline {
            issuer: self.issuer,
            audience: self.audience,
            origin: self.origin,
            tokens,
            proofs,
            engine,
            buckets,
            coarse,
            recorder: self.recorder,
            metrics,
            clock: self.clock,
            rng,
        };
        Ok(Fence { pipeline: Arc::new(pipeline), trusted: self.trusted, verifier })
    }
}
