//! What hyper answers by itself, before there is a request: 400 to a head that is none, 414 and 431 to one that is too
//! long. The stream is watched for such an answer on its way out, and it leaves in the shape that every answer of ours has.
//! Over HTTP/2 the framing layer refuses a head (a reset stream, or 431) without a word that could be shaped.
//!
//! An answer of hyper's own is a write of its own, and nothing else that is written looks like it: every other head has
//! more lines. What it costs the others is one comparison a write.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::edge::Edge;
use super::problem::{Kind, Problem};

/// How such an answer begins, and what it means.
const HEADS: [(&[u8], StatusCode); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", StatusCode::BAD_REQUEST),
    (b"HTTP/1.1 414 URI Too Long\r\n", StatusCode::URI_TOO_LONG),
    (b"HTTP/1.1 431 Request Header Fields Too Large\r\n", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
];
/// Such an answer is no longer than this.
const LONGEST: usize = 160;

/// A connection's stream.
#[derive(Debug)]
pub(super) struct Shaped<S> {
    inner: S,
    /// Who shapes; `None`: nobody.
    edge: Option<Edge>,
    peer: SocketAddr,
    /// What is left to write in place of an answer of hyper's.
    ours: Option<Bytes>,
}

impl<S> Shaped<S> {
    pub(super) fn new(inner: S, edge: Option<Edge>, peer: SocketAddr) -> Self {
        Self { inner, edge, peer, ours: None }
    }

    /// Ours in place of `written`, when that is an answer of hyper's own.
    fn instead_of(&self, written: &[u8]) -> Option<Bytes> {
        let status = of_hyper(written)?;
        Some(shaped(self.edge.as_ref()?, status, self.peer, date(written)))
    }
}

/// The whole answer as HTTP/1.1 writes it.
fn shaped(edge: &Edge, status: StatusCode, peer: SocketAddr, date: &[u8]) -> Bytes {
    let problem = match status {
        StatusCode::URI_TOO_LONG => Problem::new(Kind::UriTooLong).detail("shorten the URI"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(Kind::HeadTooLarge)
            .detail("the first line and the header fields are too long, or too many: send less"),
        _ => {
            Problem::new(Kind::BadRequest).detail("this is no HTTP request: check its first line and its header fields")
        }
    };
    let (response, body) = edge.refuse(problem, peer);
    let mut out = Vec::with_capacity(1024);
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    line(&[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason.as_bytes()]);
    for (name, value) in response.headers() {
        line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
    }
    line(&[b"content-length: ", body.len().to_string().as_bytes()]);
    line(&[b"connection: close"]);
    if !date.is_empty() {
        line(&[date]);
    }
    line(&[]);
    out.extend_from_slice(&body);
    out.into()
}

/// The line that says when, which hyper has at hand.
fn date(written: &[u8]) -> &[u8] {
    let mut lines = written.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| is_date(line)).unwrap_or_default()
}

fn is_date(line: &[u8]) -> bool {
    line.get(..6).is_some_and(|name| name.eq_ignore_ascii_case(b"date: "))
}

/// The status of an answer of hyper's own.
fn of_hyper(written: &[u8]) -> Option<StatusCode> {
    if written.len() > LONGEST {
        return None;
    }
    let (rest, status) = HEADS.iter().find_map(|(head, status)| Some((written.strip_prefix(*head)?, *status)))?;
    let lines = rest.strip_suffix(b"\r\n\r\n")?.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    let known = |line: &[u8]| {
        line.eq_ignore_ascii_case(b"content-length: 0")
            || line.eq_ignore_ascii_case(b"connection: close")
            || is_date(line)
    };
    lines.into_iter().all(known).then_some(status)
}

impl<S: AsyncWrite + Unpin> Shaped<S> {
    /// Writes ours until nothing is left; `len` bytes of hyper's are done then.
    fn poll_ours(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        while let Some(left) = self.ours.as_mut().filter(|left| left.has_remaining()) {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.advance(written);
        }
        self.ours = None;
        Poll::Ready(Ok(len))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Shaped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shaped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.ours.is_none() {
            self.ours = self.instead_of(buf);
        }
        match self.ours {
            Some(_) => self.poll_ours(cx, buf.len()),
            None => Pin::new(&mut self.inner).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [one] => self.poll_write(cx, one),
            _ => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_hyper_s_own_is_taken_for_one() {
        let date = "date: Tue, 24 Nov 2026 10:00:00 GMT\r\n";
        for (head, status) in [("400 Bad Request", 400), ("431 Request Header Fields Too Large", 431)] {
            let written = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n{date}\r\n");
            assert_eq!(of_hyper(written.as_bytes()).map(|s| s.as_u16()), Some(status), "{written}");
        }
        for other in [
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n{date}\r\n"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n{date}\r\n"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}\r\nbody"),
            format!("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n{date}\r\n"),
            String::new(),
        ] {
            assert_eq!(of_hyper(other.as_bytes()), None, "{other}");
        }
    }
}
