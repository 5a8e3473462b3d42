//! `[findings]`: where GuardDuty and Security Hub are asked.

use std::time::Duration;

use super::reader::{Fields, Reader};
use super::risk::Risk;
use super::signals::Signals;
use super::text;
use crate::model::Service;

/// `[findings]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Whom to ask, as whom, where.
    pub sources: Vec<FindingSource>,
    /// How often.
    pub poll: Duration,
    /// How far back a new source is read.
    pub backfill: Duration,
    /// Asked instead of AWS.
    pub endpoint: Option<String>,
    /// What they do to those whom they name.
    pub risk: Risk,
    /// What this server finds out by itself.
    pub signals: Signals,
}

/// An AWS account, or the delegated administrator of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingSource {
    /// The role to take on; `None`: whatever credentials this process has.
    pub role: Option<String>,
    /// What the role's trust policy asks for.
    pub external_id: Option<String>,
    /// Each is asked. Never empty.
    pub regions: Vec<String>,
    /// Which services. Never empty.
    pub services: Vec<Service>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            poll: Duration::from_secs(60),
            backfill: Duration::from_secs(90 * 86_400),
            endpoint: None,
            risk: Risk::default(),
            signals: Signals::default(),
        }
    }
}

impl Findings {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let findings = Self {
            sources: r.tables("findings.sources", source).into_iter().flatten().collect(),
            poll: r.parsed("findings.poll", d.poll, text::duration),
            backfill: r.parsed("findings.backfill", d.backfill, text::duration),
            endpoint: r.parsed("findings.endpoint", None, endpoint),
            risk: Risk::read(r),
            signals: Signals::read(r),
        };
        if !(Duration::from_secs(10)..=Duration::from_secs(3600)).contains(&findings.poll) {
            r.wrong("findings.poll", "choose \"10s\" to \"1h\"");
        }
        if findings.backfill > d.backfill {
            r.wrong("findings.backfill", "AWS keeps 90 days: choose at most \"90d\"");
        }
        for (i, source) in findings.sources.iter().enumerate() {
            let same = |other: &&FindingSource| {
                other.role == source.role && other.regions.iter().any(|region| source.regions.contains(region))
            };
            if findings.sources.iter().take(i).any(|other| same(&other)) {
                r.wrong("findings.sources", "two of them ask in the same region as the same role: keep one");
            }
        }
        findings
    }
}

fn source(f: &mut Fields<'_>) -> Option<FindingSource> {
    let own = |text: &str| Ok(text.to_owned());
    let (role, external_id) = (f.optional("role", role), f.optional("external_id", own));
    let services = f.optional("services", services).unwrap_or_else(|| vec![Service::GuardDuty, Service::SecurityHub]);
    let regions = f.required("regions", regions)?;
    Some(FindingSource { role, external_id, regions, services })
}

fn role(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") && text.contains(":role/") {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no role: write \"arn:aws:iam::123456789012:role/stockade\""))
}

/// Names with blanks between.
fn regions(text: &str) -> Result<Vec<String>, String> {
    let named = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if all.is_empty() || !text.split_whitespace().all(|name| named(&name)) {
        return Err(format!("`{text}` names no regions: write \"eu-central-1 us-east-1\""));
    }
    Ok(all)
}

fn services(text: &str) -> Result<Vec<Service>, String> {
    let wrong =
        || format!("`{text}` names no services: write \"guardduty securityhub\", one of them, or \"securityhub_v2\"");
    let all: Option<Vec<Service>> = text.split_whitespace().map(Service::parse).collect();
    all.filter(|all| !all.is_empty()).ok_or_else(wrong)
}

/// Empty: AWS.
fn endpoint(text: &str) -> Result<Option<String>, String> {
    match url::Url::parse(text) {
        _ if text.is_empty() => Ok(None),
        Ok(url) if url.scheme() == "https" || url.scheme() == "http" => Ok(Some(text.to_owned())),
        _ => Err(format!("`{text}` is no URL: write \"https://vpce-0123.example\"")),
    }
}
