//! What the tests share.

pub(crate) mod dpop;
pub(crate) mod elsewhere;
pub(crate) mod postgres;
pub(crate) mod stores;

use std::io::Write as _;

/// Says that a test cannot run here and why. Where everything must run (`STOCKADE_REQUIRE=all`), that is a failure.
pub(crate) fn skip(reason: &str) {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    let required = std::env::var_os("STOCKADE_REQUIRE").is_some_and(|value| value == "all");
    assert!(!required, "cannot run here, but everything must: {reason}");
    // Past the runner's capture: a summary collects these lines.
    writeln!(std::io::stderr(), "\nSKIPPED: {reason}").ok();
}
