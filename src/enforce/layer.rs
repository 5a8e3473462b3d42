//! The tower layer: the pipeline in front of any HTTP service.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use tower::{Layer, Service};

use super::fence::Fence;
use super::pipeline::Ask;
use crate::http::{Info, RequestInfo, bearer};
use crate::telemetry::labels::Point;

/// Where the peer's address is found in a request.
type Peer = fn(&Extensions) -> Option<IpAddr>;

/// Guards a service. Made by [`Fence::layer`].
#[derive(Clone, Debug)]
pub struct FenceLayer {
    fence: Fence,
    peer: Peer,
    metadata: Option<Arc<str>>,
}

impl FenceLayer {
    pub(super) fn new(fence: Fence) -> Self {
        Self { fence, peer: known_peer, metadata: None }
    }

    /// Says where the peer's address is found. Unless told otherwise: in the extension `SocketAddr`, or (with axum) in
    /// `ConnectInfo<SocketAddr>`. Requests without an address share one address bucket.
    #[must_use]
    pub fn peer(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// Names the document that describes the guarded API (RFC 9728) in every challenge, so that clients find out where its
    /// tokens come from.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<Arc<str>>) -> Self {
        self.metadata = Some(url.into());
        self
    }
}

fn known_peer(extensions: &Extensions) -> Option<IpAddr> {
    #[cfg(feature = "server")]
    if let Some(peer) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(peer.0.ip());
    }
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

impl<S> Layer<S> for FenceLayer {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced { inner, layer: self.clone() }
    }
}

/// A service behind a fence.
#[derive(Clone, Debug)]
pub struct Fenced<S> {
    inner: S,
    layer: FenceLayer,
}

impl<S, B, R> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was made ready must be the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move {
            let pipeline = &layer.fence.pipeline;
            let (mut parts, body) = request.into_parts();
            let info = match parts.extensions.get::<Info>() {
                Some(info) => Arc::clone(&info.0),
                None => {
                    let peer = (layer.peer)(&parts.extensions);
                    let (clock, rng) = (&*pipeline.clock, &*pipeline.rng);
                    Arc::new(RequestInfo::read(&parts.headers, peer, &layer.fence.trusted, clock, rng))
                }
            };
            let ask = Ask {
                point: Point::Layer,
                method: parts.method.as_str(),
                uri: &parts.uri,
                headers: &parts.headers,
                info: &info,
            };
            let admitted = match pipeline.admit(&ask).await {
                Ok(admitted) => admitted,
                Err(refused) => {
                    let mut response = refused.problem().response(Some(&info.request_id)).map(R::from);
                    if let Some(url) = &layer.metadata {
                        bearer::name_metadata(response.headers_mut(), url);
                    }
                    return Ok(response);
                }
            };
            let answer = admitted.answer();
            parts.extensions.insert(admitted);
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            answer.apply(response.headers_mut());
            Ok(response)
        })
    }
}
