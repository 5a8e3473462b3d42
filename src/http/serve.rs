//! A listener and its connections: plain or TLS, HTTP/1.1 and HTTP/2, limits that `axum::serve` does not set, and an end
//! that lets requests in flight finish. `app` calls it, once for each listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use super::edge::Edge;
use super::tls::Tls;
use super::unparsed::Shaped;
use crate::config;

/// How long to wait after the operating system refused to accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener's connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a new connection may take to its first request, the TLS handshake included.
    pub header_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// How long requests in flight may take to end.
    pub drain: Duration,
}

impl From<&config::Http> for Settings {
    fn from(http: &config::Http) -> Self {
        Self {
            header_timeout: http.header_timeout,
            idle_timeout: http.idle_timeout,
            connections: http.connections,
            drain: http.drain,
        }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was answered.
    All,
    /// The drain's time was over; so many connections were cut.
    Cut(usize),
}

/// Serves `router` on `listener` until `shutdown` resolves, then drains: nothing new is accepted, requests in flight end,
/// at most `settings.drain` long. Each request carries the peer as [`ConnectInfo<SocketAddr>`]. `edge` shapes the answers
/// to what never becomes a request; it is the one that `router` stands behind.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    edge: Option<Edge>,
    tls: Option<Tls>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let connection = Connection { router, edge, tls: tls.clone(), builder: builder(&settings), settings };
    let room = Arc::new(Semaphore::new(settings.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut open = JoinSet::new();
    let follow = async {
        match &tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(shutdown, follow);
    loop {
        let accept = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = &mut shutdown => break,
            never = &mut follow => match never {},
            Some(_) = open.join_next(), if !open.is_empty() => {}
            (accepted, permit) = accept => match accepted {
                Ok((stream, peer)) => {
                    let (connection, watcher) = (connection.clone(), graceful.watcher());
                    open.spawn(async move {
                        connection.run(stream, peer, watcher).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    if is_ours(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
        }
    }
    drop(listener);
    drain(graceful, open, settings.drain).await
}

async fn drain(graceful: GracefulShutdown, mut open: JoinSet<()>, limit: Duration) -> Drained {
    let all = async {
        graceful.shutdown().await;
        while open.join_next().await.is_some() {}
    };
    if tokio::time::timeout(limit, all).await.is_ok() {
        return Drained::All;
    }
    while open.try_join_next().is_some() {}
    let cut = open.len();
    open.shutdown().await;
    tracing::warn!(connections = cut, "the drain's time is over, connections were cut");
    if cut == 0 { Drained::All } else { Drained::Cut(cut) }
}

/// Whether accepting failed for want of our own resources rather than through the peer.
fn is_ours(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn builder(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.idle_timeout).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.idle_timeout)
        .keep_alive_timeout(settings.header_timeout)
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024);
    builder
}

#[derive(Clone)]
struct Connection {
    router: Router,
    edge: Option<Edge>,
    tls: Option<Tls>,
    builder: auto::Builder<TokioExecutor>,
    settings: Settings,
}

impl Connection {
    async fn run(self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let limit = tokio::time::sleep(self.settings.header_timeout);
        tokio::pin!(limit);
        let Some(tls) = &self.tls else { return self.speak(stream, peer, watcher, limit).await };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        tokio::select! {
            () = &mut limit => tracing::debug!(%peer, "the TLS handshake took too long"),
            done = handshake => match done {
                Ok(stream) => self.speak(stream, peer, watcher, limit).await,
                Err(error) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            },
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        watcher: Watcher,
        mut first: std::pin::Pin<&mut tokio::time::Sleep>,
    ) {
        // hyper limits the head of a request, but not the time before it knows which HTTP is spoken.
        let has_asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            self.router.clone().call(request)
        });
        let io = TokioIo::new(Shaped::new(stream, self.edge.clone(), peer));
        let serving = watcher.watch(self.builder.serve_connection(io, service));
        tokio::pin!(serving);
        loop {
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection ended early");
                    }
                    return;
                }
                () = &mut first, if !has_asked.load(Ordering::Relaxed) => {
                    if !has_asked.load(Ordering::Relaxed) {
                        tracing::debug!(%peer, "no request came in time");
                        return;
                    }
                }
            }
        }
    }
}
