//! From the bytes of a finding to [`Finding`]: one file per format. Nothing here fails: of what cannot be read the bytes are
//! kept, and the finding says so.

mod asff;
mod guardduty;
mod ocsf;
mod read;

use std::fmt::Write as _;

use serde_json::Value;

use crate::crypto::sha256;
use crate::model::{Finding, Format};
use read::Node;

/// Longest key that is kept as it is; an index has its limits.
const LONGEST_KEY: usize = 1024;

/// Reads a finding. Whatever it is, it has a key.
pub fn normalise(format: Format, raw: &[u8]) -> Finding {
    let by_content = || format!("sha256:{}", hex(&sha256(raw)));
    let mut finding = match serde_json::from_slice::<Value>(raw) {
        Ok(value @ Value::Object(_)) => match format {
            Format::GuardDuty => guardduty::read(Node::new(&value)),
            Format::Asff => asff::read(Node::new(&value)),
            Format::Ocsf => ocsf::read(Node::new(&value)),
        },
        Ok(_) => unreadable(format, "it is no JSON object"),
        Err(error) => unreadable(format, &format!("it is no JSON: {error}")),
    };
    for key in [&mut finding.provider_id, &mut finding.provider_key, &mut finding.correlation_key] {
        if key.is_empty() {
            *key = by_content();
        } else if key.len() > LONGEST_KEY {
            *key = format!("sha256:{}", hex(&sha256(key.as_bytes())));
        }
    }
    finding
}

fn unreadable(format: Format, problem: &str) -> Finding {
    Finding { problem: Some(problem.to_owned()), ..Finding::new(format, "") }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Whether a title says that it is made up, as AWS's sample findings do.
fn is_sample_title(title: Option<&String>) -> bool {
    title.is_some_and(|title| title.starts_with("[SAMPLE]"))
}
