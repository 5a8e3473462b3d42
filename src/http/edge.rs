//! The outermost layer of both listeners: request id, trace, client address, deadline, security headers, metrics, one log
//! line, and an answer of the right shape whatever happens inside, a panic included.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tower::{Layer, Service};

use super::client_address::TrustedProxies;
use super::info::{Info, RequestInfo};
use super::problem::{Kind, Problem};
use super::request_id::REQUEST_ID;
use super::trace::TRACEPARENT;
use super::unread::Unread;
use crate::base::{Clock, Rng};
use crate::limits::Ceiling;
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Bucket, Endpoint, Limited, StatusClass};

/// What every answer carries unless its handler said otherwise.
const DEFAULTS: [(HeaderName, HeaderValue); 7] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("permissions-policy"), HeaderValue::from_static("interest-cohort=()")),
];
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How the edge behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether to say `Strict-Transport-Security`: the issuer is https.
    pub hsts: bool,
    /// How long a handler may take to answer; `None` for as long as it likes.
    pub timeout: Option<Duration>,
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// A limit that all requests share; `None` for none. Beyond it the answer is 503, without any work.
    pub ceiling: Option<Arc<Ceiling>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            hsts: false,
            timeout: Some(Duration::from_secs(30)),
            body_limit: 65_536,
            ceiling: None,
        }
    }
}

#[derive(Debug)]
struct Parts {
    settings: Settings,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// The outermost layer.
#[derive(Clone, Debug)]
pub struct Edge(Arc<Parts>);

impl Edge {
    /// An edge for one listener or both.
    pub fn new(settings: Settings, metrics: Arc<Metrics>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self(Arc::new(Parts { settings, metrics, clock, rng }))
    }

    /// `router`, whole, behind this edge; what it has no route or no method for is a problem.
    pub fn wrap(&self, router: Router) -> Router {
        router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(self.clone())
    }

    /// The answer to a head of `peer`'s that never became a request, and its body.
    pub(super) fn refuse(&self, problem: Problem, peer: SocketAddr) -> (Response, Bytes) {
        let parts = &self.0;
        let trusted = &parts.settings.trusted_proxies;
        let info = RequestInfo::read(&HeaderMap::new(), Some(peer.ip()), trusted, &*parts.clock, &*parts.rng);
        let body = problem.body(Some(&info.request_id));
        let mut response = problem.into_response();
        // The method is part of what could not be read.
        parts.finish(&mut response, &info, &Method::from_bytes(b"-").unwrap_or_default(), None);
        (response, body)
    }
}

async fn not_found() -> Problem {
    Problem::new(Kind::NotFound).detail("no route has this path: check its spelling")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed).detail("this path does not take this method: `Allow` lists those it takes")
}

impl<S> Layer<S> for Edge {
    type Service = EdgeService<S>;

    fn layer(&self, inner: S) -> EdgeService<S> {
        EdgeService { inner, parts: Arc::clone(&self.0) }
    }
}

/// [`Edge`] around a service.
#[derive(Clone, Debug)]
pub struct EdgeService<S> {
    inner: S,
    parts: Arc<Parts>,
}

impl<S> Service<Request> for EdgeService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let parts = Arc::clone(&self.parts);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
        let trusted = &parts.settings.trusted_proxies;
        let info = RequestInfo::read(request.headers(), peer, trusted, &*parts.clock, &*parts.rng);
        let info = Arc::new(info);
        request.extensions_mut().insert(Info(Arc::clone(&info)));
        // Here, and not as a layer of its own: axum boxes what passes each layer of a router.
        DefaultBodyLimit::max(parts.settings.body_limit).apply(&mut request);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let unread = Unread::watch(&mut request);
        if let Some(mut refusal) = parts.over_the_ceiling() {
            parts.finish(&mut refusal, &info, &method, route.as_ref());
            unread.announce(refusal.headers_mut());
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let in_flight = InFlight::enter(&parts.metrics);
            let answer = AssertUnwindSafe(answer).catch_unwind();
            let answered = match parts.settings.timeout {
                Some(limit) => tokio::time::timeout(limit, answer).await,
                None => Ok(answer.await),
            };
            drop(in_flight);
            let mut response = match answered {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(_)) => {
                    parts.metrics.http_panics.add(());
                    tracing::error!(request_id = &*info.request_id, "a handler panicked");
                    internal().into_response()
                }
                Err(_) if unread.is_awaited() => body_timeout().into_response(),
                Err(_) => Problem::new(Kind::Timeout).detail("try again later").into_response(),
            };
            unread.announce(response.headers_mut());
            parts.finish(&mut response, &info, &method, route.as_ref());
            Ok(response)
        })
    }
}

fn internal() -> Problem {
    Problem::new(Kind::Internal).detail("try again later, and quote `request_id` if it stays")
}

/// The member `error` is what an OAuth library reads.
fn body_timeout() -> Problem {
    let problem =
        Problem::new(Kind::BodyTimeout).detail("the body was still coming when the time was over: send it faster");
    problem.with("error", "invalid_request")
}

impl Parts {
    /// The refusal, when too many requests come at once. The member `error` is what an OAuth library reads.
    fn over_the_ceiling(&self) -> Option<Response> {
        let checked = self.settings.ceiling.as_ref()?.check(1);
        let result = if checked.is_ok() { Limited::Allowed } else { Limited::Refused };
        self.metrics.limit_checks.add((Bucket::Ceiling, result));
        let wait = checked.err()?.retry_after_secs();
        let problem =
            Problem::new(Kind::Unavailable).detail("too many requests at once: try again after `Retry-After`");
        let problem = problem.with("error", "temporarily_unavailable");
        Some(problem.header(header::RETRY_AFTER, HeaderValue::from(wait)).into_response())
    }

    fn finish(&self, response: &mut Response, info: &RequestInfo, method: &Method, route: Option<&MatchedPath>) {
        if response.status().is_client_error() || response.status().is_server_error() {
            shape(response, &info.request_id);
        }
        let status = response.status();
        let headers = response.headers_mut();
        headers.reserve(DEFAULTS.len() + 3);
        for (name, value) in &DEFAULTS {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if self.settings.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if let Ok(id) = HeaderValue::from_str(&info.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(TRACEPARENT, info.trace.header());

        let elapsed_ns = info.elapsed_ns(&*self.clock);
        let endpoint = Endpoint::of(route.map(MatchedPath::as_str));
        self.metrics.http_requests.add((endpoint, StatusClass::of(status.as_u16())));
        self.metrics.http_seconds.record_ns(endpoint, elapsed_ns);
        log(info, method, route, endpoint, status, elapsed_ns);
    }
}

/// The request's one log line. The path is the route's, never the caller's: that may hold anything.
fn log(
    info: &RequestInfo,
    method: &Method,
    route: Option<&MatchedPath>,
    endpoint: Endpoint,
    status: StatusCode,
    elapsed_ns: u64,
) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "stockade::access",
                request_id = &*info.request_id,
                trace_id = &*info.trace.trace_hex(),
                address = info.address.map(tracing::field::display),
                method = method.as_str(),
                route = route.map_or("-", MatchedPath::as_str),
                status = status.as_u16(),
                latency_us = elapsed_ns / 1000,
                "answered"
            )
        };
    }
    if status.is_server_error() {
        line!(warn);
    } else if endpoint == Endpoint::Ops {
        line!(debug);
    } else {
        line!(info);
    }
}

/// Gives a problem its `request_id`, and an error that a library wrote as text the shape of a problem.
fn shape(response: &mut Response, request_id: &str) {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_text(response) => match kind_of(response.status()) {
            Some(kind) => Problem::new(kind),
            None => return,
        },
        None => return,
    };
    *response.status_mut() = problem.kind().status();
    *response.body_mut() = Body::from(problem.body(Some(request_id)));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, super::problem::CONTENT_TYPE);
}

fn is_text(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

fn kind_of(status: StatusCode) -> Option<Kind> {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Some(Kind::BadRequest),
        StatusCode::NOT_FOUND => Some(Kind::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => Some(Kind::MethodNotAllowed),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Kind::BodyTooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Kind::UnsupportedMediaType),
        StatusCode::INTERNAL_SERVER_ERROR => Some(Kind::Internal),
        _ => None,
    }
}

/// Counts a request while it is being answered, also when its client leaves.
struct InFlight(metrics::Gauge);

impl InFlight {
    fn enter(metrics: &Metrics) -> Self {
        let gauge = metrics.http_in_flight.with(()).clone();
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
