//! `tiers.toml`: rate tiers, best first. Cedar's `rate:use` chooses among them.

use std::sync::Arc;

use serde::Deserialize;

use super::entity::Resource;
use super::problem::Problem;

/// A rate tier: so many requests in so long, and a burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name: `RateTier::"name"` in policies.
    pub name: Arc<str>,
    /// Requests allowed in [`Tier::period_ns`]: a rate as an exact ratio.
    pub requests: u64,
    /// The period in nanoseconds.
    pub period_ns: u64,
    /// How many may come at once.
    pub burst: u64,
    /// Measured and reported, but refuses nothing.
    pub dry_run: bool,
    /// Route classes it is for; empty means all.
    pub classes: Vec<Arc<str>>,
}

impl Tier {
    /// Whether it is meant for this class.
    pub fn covers(&self, class: &str) -> bool {
        self.classes.is_empty() || self.classes.iter().any(|c| **c == *class)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tier: Vec<toml::Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    rate: String,
    burst: u64,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    classes: Vec<String>,
}

/// The tiers of a snapshot, each with the entity that Cedar is asked about.
pub(crate) type Tiers = Vec<(Arc<Tier>, Resource)>;

pub(crate) fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Tiers {
    let parsed: File = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(e) => {
            let offset = e.span().map_or(0, |span| span.start);
            problems.push(Problem::at(file, text, offset, e.message().trim_end().to_owned()));
            return Tiers::new();
        }
    };
    let mut tiers = Tiers::new();
    for row in parsed.tier {
        let offset = row.span().start;
        let row = row.into_inner();
        let mut wrong = |message: String| problems.push(Problem::at(file, text, offset, message));
        let Some((requests, period_ns)) = rate(&row.rate) else {
            wrong(format!("tier `{}`: `{}` is no rate; write it like `5/s`, `300/m` or `1000/h`", row.name, row.rate));
            continue;
        };
        if row.burst == 0 || row.burst > 1_000_000_000 {
            wrong(format!("tier `{}`: burst must be 1 to 1000000000", row.name));
            continue;
        }
        if tiers.iter().any(|(tier, _)| *tier.name == *row.name) {
            wrong(format!("tier `{}` is declared twice; rename one", row.name));
            continue;
        }
        let tier = Tier {
            name: row.name.as_str().into(),
            requests,
            period_ns,
            burst: row.burst,
            dry_run: row.dry_run,
            classes: row.classes.iter().map(|c| c.as_str().into()).collect(),
        };
        tiers.push((Arc::new(tier), Resource::rate_tier(&row.name)));
    }
    tiers
}

/// `5/s`, `300/m`, `1000/h`, `10/2s`: requests and nanoseconds.
fn rate(text: &str) -> Option<(u64, u64)> {
    let (requests, period) = text.split_once('/')?;
    let requests: u64 = requests.trim().parse().ok().filter(|n| (1..=1_000_000_000).contains(n))?;
    let period = period.trim();
    let unit = period.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = period.strip_suffix(unit)?;
    let count: u64 = if count.is_empty() { 1 } else { count.parse().ok()? };
    let unit_ns: u64 = match unit {
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let period_ns = unit_ns.checked_mul(count).filter(|ns| *ns > 0 && *ns <= 24 * 3_600_000_000_000)?;
    Some((requests, period_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_ratios_and_nonsense_is_none() {
        assert_eq!(rate("5/s"), Some((5, 1_000_000_000)));
        assert_eq!(rate("300/m"), Some((300, 60_000_000_000)));
        assert_eq!(rate("7 / 2h"), Some((7, 7_200_000_000_000)));
        for nonsense in ["", "5", "0/s", "5/", "5/0s", "-1/s", "5/fortnight", "5/25h", "5/99999999999999999999h"] {
            assert_eq!(rate(nonsense), None, "{nonsense}");
        }
    }
}
