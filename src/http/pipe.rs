//! A bounded pipe from work that writes, on a thread of its own, to an answer that is sent as fast as its reader takes it.

use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;
/// Pieces on their way at most.
const PIECES: usize = 8;

/// The end that is written to. Writing waits for the reader: never do it on a thread that runs tasks.
#[derive(Debug)]
pub struct PipeWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

/// A pipe, and the body that comes out of it.
pub fn pipe() -> (PipeWriter, Body) {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let next = |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|piece| (piece, receiver)) };
    let body = Body::from_stream(futures_util::stream::unfold(receiver, next));
    (PipeWriter { pieces, buffer: Vec::with_capacity(PIECE) }, body)
}

impl PipeWriter {
    /// Ends the body before its end: whoever reads it sees that it broke off.
    pub fn break_off(self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        // Who left needs no telling.
        drop(wait(self.pieces.send(Err(io::Error::other(why)))));
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        wait(self.pieces.send(Ok(piece))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Wakes a thread.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread, inside or outside a runtime.
fn wait<T>(work: impl Future<Output = T>) -> T {
    // Without a budget: nothing gives this thread a new one while it waits.
    let mut work = pin!(tokio::task::unconstrained(work));
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_comes_out_whole_however_slow_its_reader_is() {
        let (mut writer, body) = pipe();
        let written: Vec<u8> = (0..PIECE * PIECES * 3).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let copy = written.clone();
        let handle = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || {
            handle.block_on(async {
                for part in copy.chunks(999) {
                    writer.write_all(part).unwrap();
                }
                writer.flush().unwrap();
            });
        });
        assert_eq!(body.collect().await.unwrap().to_bytes(), written);
        work.await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_broke_off_is_not_taken_for_whole() {
        let (mut writer, body) = pipe();
        let work = tokio::task::spawn_blocking(move || {
            writer.write_all(b"half").unwrap();
            writer.flush().unwrap();
            writer.break_off("it does not hold");
        });
        assert!(body.collect().await.is_err());
        work.await.unwrap();
    }

    #[tokio::test]
    async fn a_writer_whose_reader_has_left_stops() {
        let (mut writer, body) = pipe();
        drop(body);
        let work = tokio::task::spawn_blocking(move || writer.write_all(&[0; PIECE]).unwrap_err().kind());
        assert_eq!(work.await.unwrap(), io::ErrorKind::BrokenPipe);
    }
}
