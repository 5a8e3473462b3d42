//! What the tests share.

pub(crate) mod dpop;
pub(crate) mod elsewhere;
pub(crate) mod events;
#[cfg(feature = "aws")]
pub(crate) mod fake_aws;
pub(crate) mod openapi;
pub(crate) mod postgres;
pub(crate) mod stores;

use std::io::Write as _;
use std::process::Command;

/// Lets no file of a process grow beyond `bytes` (`None`: lets them grow), through `prlimit` of util-linux.
pub(crate) fn limit_files(mut prlimit: Command, pid: u32, bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let done = prlimit.args(["--pid", &pid.to_string(), &format!("--fsize={soft}:unlimited")]).output();
    let done = done.expect("prlimit runs");
    let said = String::from_utf8_lossy(&done.stderr);
    // A process that has ended meanwhile (a worker of a server, between listing and this) writes no file either.
    assert!(done.status.success() || said.contains("No such process"), "{said}");
}

/// Says that a test cannot run here and why. Where everything must run (`STOCKADE_REQUIRE=all`), that is a failure.
pub(crate) fn skip(reason: &str) {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    let required = std::env::var_os("STOCKADE_REQUIRE").is_some_and(|value| value == "all");
    assert!(!required, "cannot run here, but everything must: {reason}");
    // Past the runner's capture: a summary collects these lines.
    writeln!(std::io::stderr(), "\nSKIPPED: {reason}").ok();
}
