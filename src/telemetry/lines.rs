//! Log lines leave through a thread of their own, so a slow terminal or a full pipe never holds a request. When too many
//! wait, lines are dropped and counted. Never the path of the audit log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines may wait; more are dropped.
const WAITING: usize = 4 * 1024 * 1024;
/// How long a line may wait for others to leave with it: waking the thread for each costs more than the line.
const GATHER: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// How many flushes were asked for, and how many of them are done.
    asked: u64,
    done: u64,
    stop: bool,
}

impl State {
    const fn is_urgent(&self) -> bool {
        self.stop || self.asked > self.done
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The first line after a pause, a flush, the end.
    work: Condvar,
    flushed: Condvar,
}

/// Where lines are put. Clones share one thread.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    dropped: Arc<AtomicU64>,
}

/// The thread. Dropping it writes what waits.
pub(super) struct Writing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread that writes lines to `out`; `dropped` counts those that found no room.
pub(super) fn start(out: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> io::Result<(Lines, Writing)> {
    let shared = Arc::new(Shared::default());
    let its = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&its, out))?;
    Ok((Lines { shared: Arc::clone(&shared), dropped }, Writing { shared, thread: Some(thread) }))
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let mut lines = Vec::new();
    loop {
        let mut state = shared.state.lock();
        while state.lines.is_empty() && !state.is_urgent() {
            shared.work.wait(&mut state);
        }
        if !state.is_urgent() {
            shared.work.wait_for(&mut state, GATHER);
        }
        std::mem::swap(&mut lines, &mut state.lines);
        let (asked, stop) = (state.asked, state.stop);
        drop(state);
        // Where stderr is gone there is nobody to tell: lines are taken and lost, so that nobody waits for them.
        let _ = out.write_all(&lines);
        lines.clear();
        if stop || asked > 0 {
            let _ = out.flush();
        }
        shared.state.lock().done = asked;
        shared.flushed.notify_all();
        if stop {
            return;
        }
    }
}

impl Writing {
    /// Returns when everything put so far has been written.
    pub(super) fn flush(&self) {
        let mut state = self.shared.state.lock();
        state.asked += 1;
        let mine = state.asked;
        self.shared.work.notify_one();
        while state.done < mine && !state.stop {
            self.shared.flushed.wait(&mut state);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Takes whole lines: the formatter writes each with one call.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.state.lock();
        if state.lines.len() + line.len() > WAITING {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(line.len());
        }
        let is_first = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if is_first {
            self.shared.work.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
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
        // Once as much as the thread may have taken already, and once as much as may wait; the rest is dropped.
        let line = format!("{}\n", "x".repeat(1023));
        let said = 2 * WAITING / line.len() + 100;
        for _ in 0..said {
            say(&lines, &line);
        }
        assert!(dropped.load(Ordering::Relaxed) >= 100);
        drop(stuck);
        writing.flush();
        let written = out.0.lock().len() / line.len();
        assert_eq!(written as u64 + dropped.load(Ordering::Relaxed), said as u64);
    }
}
