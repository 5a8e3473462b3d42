//! Long work says how far it is: one line that changes on a terminal, a line every ten seconds elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use super::output;
use crate::base::{Clock as _, SystemClock};

const SECOND_NS: u64 = 1_000_000_000;

/// Counts lines, and says so on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    count: u64,
    terminal: bool,
    last_ns: u64,
    shown: bool,
}

impl Progress {
    /// `what` stands behind the number: `entries exported`.
    pub(super) fn new(what: &'static str) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { what, count: 0, terminal, last_ns: SystemClock.monotonic_ns(), shown: false }
    }

    fn add(&mut self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|b| **b == b'\n').count();
        self.step(u64::try_from(lines).unwrap_or(0));
    }

    /// So many more.
    pub(super) fn step(&mut self, more: u64) {
        self.count += more;
        let now = SystemClock.monotonic_ns();
        let pause = if self.terminal { SECOND_NS / 5 } else { 10 * SECOND_NS };
        if more == 0 || now.saturating_sub(self.last_ns) < pause {
            return;
        }
        self.last_ns = now;
        self.shown = true;
        if self.terminal {
            // A terminal that does not take it shows nothing; the work goes on.
            let _ = write!(io::stderr().lock(), "\r{} {}", self.count, self.what);
        } else {
            output::note(format!("{} {}", self.count, self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Passes everything on, and counts its lines.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    progress: Progress,
}

impl<T> Counted<T> {
    pub(super) fn new(inner: T, what: &'static str) -> Self {
        Self { inner, progress: Progress::new(what) }
    }
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.progress.add(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.progress.add(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}
