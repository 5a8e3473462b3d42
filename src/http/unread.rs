//! How far a handler read its request's body. When it did not read it to the end, the connection cannot carry another
//! request: hyper closes it, and a client that was not told so loses the next request it sends on it (RFC 9112 9.6). When
//! it was waiting for more as its time ran out, the sender was too slow, not the handler.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderValue, Version, header};
use http_body::{Body as _, Frame, SizeHint};

/// The handler has what came so far, or never asked.
const LEFT: u8 = 0;
/// The handler waits for more.
const AWAITED: u8 = 1;
/// There is no more.
const ENDED: u8 = 2;

/// What is known about the body of one request.
#[derive(Debug)]
pub(super) struct Unread {
    state: Option<Arc<AtomicU8>>,
    /// Whether other requests would follow on the connection, one after the other.
    in_turn: bool,
}

impl Unread {
    /// Watches the body of `request`, when it has one.
    pub(super) fn watch(request: &mut Request) -> Self {
        let in_turn = request.version() <= Version::HTTP_11;
        if request.body().is_end_stream() {
            return Self { state: None, in_turn };
        }
        let state = Arc::new(AtomicU8::new(LEFT));
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Watched { body, state: Arc::clone(&state) });
        Self { state: Some(state), in_turn }
    }

    /// Says `Connection: close` when the body was left unread.
    pub(super) fn announce(&self, headers: &mut http::HeaderMap) {
        if self.in_turn && self.is(|state| state != ENDED) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether the handler was last seen waiting for more of the body.
    pub(super) fn is_awaited(&self) -> bool {
        self.is(|state| state == AWAITED)
    }

    fn is(&self, wanted: impl Fn(u8) -> bool) -> bool {
        self.state.as_ref().is_some_and(|state| wanted(state.load(Ordering::Relaxed)))
    }
}

struct Watched {
    body: Body,
    state: Arc<AtomicU8>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let state = match &polled {
            Poll::Pending => AWAITED,
            Poll::Ready(None) => ENDED,
            Poll::Ready(Some(_)) if self.body.is_end_stream() => ENDED,
            Poll::Ready(Some(_)) => LEFT,
        };
        self.state.store(state, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
