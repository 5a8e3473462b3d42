//! What `stockade doctor` knows: pure checks over a configuration and what its store holds, each giving one [`Finding`].
//! [`deployment`] asks whether a service can run on it, [`bcp`] whether it follows RFC 9700 (OAuth 2.0 Security Best Current
//! Practice). Whoever asks gathers the facts and prints.

pub mod bcp;
pub mod deployment;

use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warning,
    /// Not as it must be.
    Failed,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check and how it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked: a section of RFC 9700, or a part of the deployment.
    pub section: &'static str,
    /// What is required.
    pub required: &'static str,
    /// What was found.
    pub found: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What to do, unless it is [`Verdict::Ok`].
    pub todo: Option<String>,
}

/// A check before its outcome is known.
#[derive(Clone, Copy, Debug)]
struct Check(&'static str, &'static str);

impl Check {
    fn ok(self, found: impl Into<String>) -> Finding {
        self.found(Verdict::Ok, found, None)
    }

    fn warning(self, found: impl Into<String>, todo: impl Into<String>) -> Finding {
        self.found(Verdict::Warning, found, Some(todo.into()))
    }

    fn failed(self, found: impl Into<String>, todo: impl Into<String>) -> Finding {
        self.found(Verdict::Failed, found, Some(todo.into()))
    }

    /// Failed when `wrong` has something in it, which is named; otherwise ok.
    fn none_of(self, wrong: &[String], good: impl Into<String>, todo: &str) -> Finding {
        if wrong.is_empty() { self.ok(good) } else { self.failed(some_of(wrong), todo) }
    }

    fn found(self, verdict: Verdict, found: impl Into<String>, todo: Option<String>) -> Finding {
        Finding { section: self.0, required: self.1, found: found.into(), verdict, todo }
    }
}

/// The first few of them, and how many more there are.
fn some_of(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    text
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}
