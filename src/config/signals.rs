//! `[findings.signals]`: what this server finds out by itself.

use std::time::Duration;

use super::reader::Reader;
use super::text;

/// `[findings.signals]`. A number of 0 finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Whether refresh tokens that come again are a finding.
    pub replays: bool,
    /// Denials of one caller in a minute.
    pub denials: u32,
    /// Names tried from one address in ten minutes.
    pub names: u32,
    /// Requests of one caller or address over a limit in a minute.
    pub limited: u32,
    /// After so long without another the finding is resolved.
    pub quiet: Duration,
}

impl Default for Signals {
    fn default() -> Self {
        Self { replays: true, denials: 100, names: 20, limited: 1000, quiet: Duration::from_secs(3600) }
    }
}

impl Signals {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let signals = Self {
            replays: r.flag("findings.signals.replays", d.replays),
            denials: r.number("findings.signals.denials", d.denials, 0..=1_000_000),
            // A name is told from another by one of 64 marks.
            names: r.number("findings.signals.names", d.names, 0..=40),
            limited: r.number("findings.signals.limited", d.limited, 0..=100_000_000),
            quiet: r.parsed("findings.signals.quiet", d.quiet, text::duration),
        };
        if !(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400)).contains(&signals.quiet) {
            r.wrong("findings.signals.quiet", "choose \"1m\" to \"30d\"");
        }
        signals
    }
}
