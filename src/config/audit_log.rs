//! `[audit_log]`: when what happened is written down.

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
        Self { issuance: Issuance::Before, queue: 65_536, patience: Duration::from_millis(50) }
    }
}

impl AuditLog {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        Self {
            issuance: r.parsed("audit_log.issuance", d.issuance, issuance),
            queue: r.number("audit_log.queue", d.queue as u64, 256..=16_777_216) as usize,
            patience: r.parsed("audit_log.patience", d.patience, text::duration),
        }
    }
}

fn issuance(text: &str) -> Result<Issuance, String> {
    match text {
        "before" => Ok(Issuance::Before),
        "queued" => Ok(Issuance::Queued),
        _ => Err(format!("`{text}` is not a choice: \"before\" or \"queued\"")),
    }
}
