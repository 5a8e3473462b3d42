//! Tests of `doctor`: each check green and red.

mod bcp;
mod deployment;

use stockade::base::Timestamp;
use stockade::doctor::{Finding, Verdict};
use stockade::model::{Algorithm, SigningKey};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A key that was made, and signs, since `created_at`.
fn key(alg: Algorithm, created_at: Timestamp) -> SigningKey {
    SigningKey {
        kid: alg.as_str().to_lowercase(),
        alg,
        public_jwk: String::new(),
        sealed: Vec::new(),
        created_at,
        activates_at: created_at,
        retired_at: None,
        expires_at: None,
    }
}

/// What is not ok says what to do, and what is ok does not.
fn advised(findings: &[Finding]) {
    for finding in findings {
        assert_eq!(finding.todo.is_some(), finding.verdict != Verdict::Ok, "{finding:?}");
        assert!(!finding.found.is_empty() && !finding.required.is_empty(), "{finding:?}");
    }
}
