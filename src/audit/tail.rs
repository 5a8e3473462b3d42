//! `GET /api/v1/audit/events/tail`: events as they are recorded, as server-sent events. Each has its number as `id`; a reader
//! that comes again with `Last-Event-ID` misses nothing. There are so many readers and no more, and none waits for another:
//! one that does not read is let go. Why a stream ends is its last event, `end`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::asked::{MOST_READ, asked, unavailable};
use super::events::item;
use super::permissions::Search;
use super::{Ctx, Shared, TAIL};
use crate::base::Timestamp;
use crate::http::query::Query;
use crate::http::{Kind, May, Problem};
use crate::store::StoreError;
use crate::store::log::{self, Filter, Order, Walk};

/// Pieces on their way to one reader.
const PIECES: usize = 8;
/// Events of a piece.
const PIECE: usize = 64;
/// How long a stream lasts: whoever goes on shows its token again.
const LONGEST: Duration = Duration::from_secs(300);
/// A reader hears something as often.
const BEAT: Duration = Duration::from_secs(15);

/// Who reads along, and how.
#[derive(Debug)]
pub struct Tails {
    places: Arc<Semaphore>,
    /// How long a reader may read nothing.
    pub patience: Duration,
    /// How often the log is looked at.
    pub poll: Duration,
    /// Turns true when the process stops.
    pub ending: Arc<AtomicBool>,
}

impl Tails {
    /// For `readers` at most, until `ending`.
    pub fn new(readers: usize, ending: Arc<AtomicBool>) -> Self {
        let places = Arc::new(Semaphore::new(readers));
        Self { places, patience: Duration::from_secs(10), poll: Duration::from_millis(250), ending }
    }
}

/// `text/event-stream`.
pub(super) async fn tail(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut q = Query::read(query.as_deref(), &TAIL.map(|parameter| parameter.name));
    let asked = asked(&mut q, ctx.guard.clock.now());
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => match id.to_str().ok().and_then(|id| id.parse::<i64>().ok()).filter(|seq| *seq >= -1) {
            Some(seq) => Some(seq),
            None => {
                q.wrong("Last-Event-ID", "write the `id` of the last event that you have");
                None
            }
        },
    };
    q.finish()?;
    ctx.rows(&may)?;
    let full = |_| Problem::new(Kind::Unavailable).detail("as many read along as may: try again later");
    let place = Arc::clone(&ctx.tails.places).try_acquire_owned().map_err(full)?;
    let at = match last {
        Some(seq) => seq,
        None => {
            let mut reader = ctx.store.read_log().await.map_err(unavailable(&may))?;
            log::last_seq(&mut reader).await.map_err(unavailable(&may))?
        }
    };
    ctx.guard.audit.queue(ctx.read_event(&may, asked.names).with("by", "tail").with("after", at));
    let (pieces, body) = mpsc::channel(PIECES + 1);
    let expires = may.caller.token.as_ref().map(|token| token.exp);
    let ends = ctx.guard.clock.now().plus(LONGEST);
    let ends = expires.map_or(ends, |expires| ends.min(expires));
    tokio::spawn(Tail { ctx, may, filter: asked.filter, at, ends, pieces, _place: place }.run());
    let next = |mut body: mpsc::Receiver<Bytes>| async move {
        body.recv().await.map(|piece| (Ok::<_, std::convert::Infallible>(piece), body))
    };
    let body = Body::from_stream(futures_util::stream::unfold(body, next));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response())
}

/// One stream.
struct Tail {
    ctx: Arc<Ctx>,
    may: May<Search>,
    filter: Filter,
    /// The last entry that was looked at.
    at: i64,
    ends: Timestamp,
    pieces: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The process stops.
    Stopping,
    /// It lasted long enough, or as long as its token.
    Renew,
    /// The caller may no longer.
    Denied,
    /// The log cannot be read.
    Unavailable,
    /// Its reader does not read.
    Slow,
    /// Its reader has left.
    Left,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Renew => "renew",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Slow => "slow",
            Self::Left => "left",
        }
    }
}

impl Tail {
    async fn run(mut self) {
        // A place for the last word is kept free: also who does not read is told, should it read again.
        let Ok(last) = self.pieces.clone().reserve_owned().await else { return };
        let why = match self.follow().await {
            Ok(never) => match never {},
            Err(why) => why,
        };
        let text = format!("id: {}\nevent: end\ndata: {{\"reason\":\"{}\"}}\n\n", self.at, why.as_str());
        last.send(text.into());
        let read = self.ctx.read_event(&self.may, self.filter.names());
        self.ctx.guard.audit.queue(read.with("by", "tail").with("until", self.at).with("ended", why.as_str()));
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, End> {
        let mut beat = self.ctx.guard.clock.now().plus(BEAT);
        self.send(b": these are events as they are recorded\n\n".to_vec()).await?;
        loop {
            let now = self.ctx.guard.clock.now();
            if self.ctx.tails.ending.load(Ordering::SeqCst) {
                return Err(End::Stopping);
            }
            if now >= self.ends {
                return Err(End::Renew);
            }
            let (piece, more) = self.look().await?;
            if !piece.is_empty() {
                self.send(piece).await?;
            } else if now >= beat {
                self.send(format!("id: {}\n\n", self.at).into_bytes()).await?;
            }
            if now >= beat {
                beat = now.plus(BEAT);
            }
            if more {
                continue;
            }
            tokio::select! {
                () = self.pieces.closed() => return Err(End::Left),
                () = tokio::time::sleep(self.ctx.tails.poll) => {}
            }
        }
    }

    /// What is new, and whether there may be more at once.
    async fn look(&mut self) -> Result<(Vec<u8>, bool), End> {
        let unread = |error: StoreError| {
            tracing::warn!(error = %crate::telemetry::chain(&error), "the audit log could not be read along");
            End::Unavailable
        };
        let mut reader = self.ctx.store.read_log().await.map_err(unread)?;
        let end = log::last_seq(&mut reader).await.map_err(unread)?;
        if end <= self.at {
            return Ok((Vec::new(), false));
        }
        // Who may search, and see what, is decided by the policies as they are now.
        let (ctx, may) = (&self.ctx, &self.may);
        ctx.guard.decide::<Search>(&may.caller, &may.info).await.map_err(|_| End::Denied)?;
        let mut rows = ctx.rows(may).map_err(|_| End::Denied)?;
        let within = rows.within();
        let order = Order::After(self.at);
        let walk = Walk { filter: &self.filter, within: within.as_ref(), order, most: MOST_READ };
        let found = log::pages(&mut reader, &walk, PIECE, |row| rows.allow(row)).await.map_err(unread)?;
        let mut piece = Vec::new();
        for numbered in &found.items {
            piece.extend_from_slice(format!("id: {}\ndata: ", numbered.seq).as_bytes());
            item(&mut piece, numbered);
            piece.extend_from_slice(b"\n\n");
        }
        let newest = found.items.last().map_or(end, |last| last.seq.max(end));
        self.at = found.next.unwrap_or(newest);
        Ok((piece, found.next.is_some()))
    }

    async fn send(&self, piece: Vec<u8>) -> Result<(), End> {
        match tokio::time::timeout(self.ctx.tails.patience, self.pieces.reserve()).await {
            Ok(Ok(place)) => {
                place.send(piece.into());
                Ok(())
            }
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }
}
