//! Log lines leave through a thread of their own, so a slow terminal or a full pipe never holds a request. When the queue is
//! full, lines are dropped and counted. Never the path of the audit log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const QUEUE: usize = 16_384;

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
    Stop,
}

/// Hands lines to the writing thread.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Ends the writing thread when dropped, after what is queued has been written.
pub(super) struct Writing {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread that writes to `out`.
pub(super) fn start(out: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> io::Result<(Lines, Writing)> {
    let (queue, waiting) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&waiting, out))?;
    Ok((Lines { queue: queue.clone(), dropped }, Writing { queue, thread: Some(thread) }))
}

/// How much is gathered for one write.
const GATHERED: usize = 64 * 1024;

fn write_all(waiting: &Receiver<Message>, mut out: impl Write) {
    let mut gathered = Vec::with_capacity(GATHERED);
    // Where stderr is gone there is nobody to tell: lines are taken and lost, so that nobody waits for them.
    let mut write = |gathered: &mut Vec<u8>, is_end: bool| {
        let _ = out.write_all(gathered);
        gathered.clear();
        if is_end {
            let _ = out.flush();
        }
    };
    while let Ok(first) = waiting.recv() {
        // What waits already leaves in one write: a system call a line costs more than the line.
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => gathered.extend_from_slice(&line),
                Message::Flush(done) => {
                    write(&mut gathered, true);
                    let _ = done.send(());
                }
                Message::Stop => return write(&mut gathered, true),
            }
            next = if gathered.len() < GATHERED { waiting.try_recv().ok() } else { None };
        }
        write(&mut gathered, false);
    }
    write(&mut gathered, true);
}

impl Writing {
    /// Returns when everything queued so far has been written.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        drop(self.queue.send(Message::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One line under way: handed over when it is dropped.
pub(super) struct Line {
    bytes: Vec<u8>,
    lines: Lines,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.lines.queue.try_send(Message::Line(line)).is_err() {
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { bytes: Vec::with_capacity(512), lines: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(lines: &Lines, text: &str) {
        lines.make_writer().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn what_was_queued_is_written_before_the_end() {
        let out = Slow::default();
        let (lines, writing) = start(out.clone(), Arc::default()).unwrap();
        for i in 0..100 {
            say(&lines, &format!("{i}\n"));
        }
        drop(writing);
        assert_eq!(out.0.lock().iter().filter(|b| **b == b'\n').count(), 100);
    }

    #[test]
    fn a_stuck_terminal_costs_lines_and_they_are_counted() {
        let out = Slow::default();
        let dropped = Arc::new(AtomicU64::new(0));
        let (lines, writing) = start(out.clone(), Arc::clone(&dropped)).unwrap();
        let stuck = out.0.lock();
        // What the thread has gathered, and QUEUE that wait; the rest is dropped.
        let said = QUEUE + GATHERED / 2 + 101;
        for _ in 0..said {
            say(&lines, "x\n");
        }
        assert!(dropped.load(Ordering::Relaxed) >= 100);
        drop(stuck);
        writing.flush();
        let written = out.0.lock().len() / 2;
        assert_eq!(written as u64 + dropped.load(Ordering::Relaxed), said as u64);
    }
}
