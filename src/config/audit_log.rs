//! `[audit_log]`: when what happened is written down.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::text;

/// `[audit_log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditLog {
    /// When a token's issuance is recorded.
    pub issuance: Issuance,
    /// Events that may wait to be written.
    pub queue: usize,
    /// How long an answer waits for its event's commit before it is 503 instead.
    pub patience: Duration,
    /// `[audit_log.disk]`: how full the disk of an embedded database may get, in percent.
    pub disk: Disk,
    /// How long entries are kept; zero: for ever.
    pub retention: Duration,
    /// `[audit_log.anchors]`: where signed heads are kept outside the host.
    pub anchors: Anchors,
}

/// `[audit_log.disk]`. Zero is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// From here on there is a warning.
    pub warn: u8,
    /// From here on queued events are counted instead.
    pub shed: u8,
    /// From here on nothing is written.
    pub stop: u8,
}

impl Default for Disk {
    fn default() -> Self {
        Self { warn: 90, shed: 95, stop: 98 }
    }
}

/// `[audit_log.anchors]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// A file on another volume.
    pub file: Option<PathBuf>,
    /// How often a new head is kept there.
    pub every: Duration,
}

impl Default for Anchors {
    fn default() -> Self {
        Self { file: None, every: Duration::from_secs(60) }
    }
}

/// When a token's issuance is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// Before the answer leaves; 503 when the log cannot.
    Before,
    /// Queued; what a full queue drops is counted in an `audit.gap` event.
    Queued,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self {
            issuance: Issuance::Before,
            queue: 65_536,
            patience: Duration::from_millis(50),
            disk: Disk::default(),
            retention: Duration::ZERO,
            anchors: Anchors::default(),
        }
    }
}

impl AuditLog {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        Self {
            issuance: r.parsed("audit_log.issuance", d.issuance, issuance),
            queue: r.number("audit_log.queue", d.queue as u64, 256..=16_777_216) as usize,
            patience: r.parsed("audit_log.patience", d.patience, text::duration),
            disk: disk(r, d.disk),
            retention: r.parsed("audit_log.retention", d.retention, never_or_a_day),
            anchors: Anchors {
                file: r.path("audit_log.anchors.file", None),
                every: r.parsed("audit_log.anchors.every", d.anchors.every, at_least_a_second),
            },
        }
    }
}

fn disk(r: &mut Reader<'_>, d: Disk) -> Disk {
    let mut mark = |key, default: u8| r.number(key, u64::from(default), 0..=99) as u8;
    let disk = Disk {
        warn: mark("audit_log.disk.warn", d.warn),
        shed: mark("audit_log.disk.shed", d.shed),
        stop: mark("audit_log.disk.stop", d.stop),
    };
    if disk.shed > 0 && disk.stop > 0 && disk.shed > disk.stop {
        r.wrong("audit_log.disk.shed", "must not be above `audit_log.disk.stop`");
    }
    disk
}

fn never_or_a_day(text: &str) -> Result<Duration, String> {
    text::duration(text).and_then(|time| match time {
        time if !time.is_zero() && time < Duration::from_secs(86_400) => {
            Err("must be a day at least, or \"0s\" to keep everything".to_owned())
        }
        time => Ok(time),
    })
}

fn at_least_a_second(text: &str) -> Result<Duration, String> {
    text::duration(text).and_then(|time| match time {
        time if time < Duration::from_secs(1) => Err("must be a second at least".to_owned()),
        time => Ok(time),
    })
}

fn issuance(text: &str) -> Result<Issuance, String> {
    match text {
        "before" => Ok(Issuance::Before),
        "queued" => Ok(Issuance::Queued),
        _ => Err(format!("`{text}` is not a choice: \"before\" or \"queued\"")),
    }
}
