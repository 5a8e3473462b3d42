//! What a caller asks for: the query string of `/api/v1/findings`, checked whole.

use std::ops::RangeInclusive;

use crate::base::Timestamp;
use crate::http::Problem;
use crate::http::query::Query;
use crate::http::routes::{PAGE, Parameter};
use crate::model::{EntityKind, FindingState, Format, Severity};
use crate::store::findings::Filter;

const LIMITS: RangeInclusive<i64> = 1..=500;
const DEFAULT_LIMIT: i64 = 50;
/// Longest text that is compared, in bytes: longer ones are in no finding.
const LONGEST: usize = 2048;

const TEXT: &str = r#"{"type": "string"}"#;
const TIME: &str = r#"{"type": "string", "format": "date-time"}"#;

/// What can be asked for.
pub(super) const PARAMETERS: [Parameter; 24] = [
    Parameter::new("since", "Not before this", TIME),
    Parameter::new("until", "Before this", TIME),
    Parameter::new("format", "With this `format`", TEXT),
    Parameter::new("severity", "With this `severity`", TEXT),
    Parameter::new("min_severity", "At least so severe", TEXT),
    Parameter::new("state", "With this `state`", TEXT),
    Parameter::new("sample", "Whether it is made up, for trying things out", r#"{"type": "boolean"}"#),
    Parameter::new("type", "With this `type`", TEXT),
    Parameter::new("product", "With this `product`", TEXT),
    Parameter::new("account", "With this `account`", TEXT),
    Parameter::new("region", "With this `region`", TEXT),
    Parameter::new("case", "With this `case`", TEXT),
    Parameter::new("principal", "With this `principal`", TEXT),
    Parameter::new("client", "With this `client`", TEXT),
    Parameter::new("user", "With this `user`", TEXT),
    Parameter::new("role", "With this `role`", TEXT),
    Parameter::new("session", "With this `session`", TEXT),
    Parameter::new("access_key", "With this `access_key`", TEXT),
    Parameter::new("address", "With this `address`", TEXT),
    Parameter::new("domain", "With this `domain`", TEXT),
    Parameter::new("image", "With this `image`", TEXT),
    Parameter::new("resource", "With this `resource`", TEXT),
    PAGE[0],
    PAGE[1],
];

/// A checked query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) filter: Filter,
    pub(super) limit: i64,
    pub(super) cursor: Option<String>,
    /// The names of what is asked for. The values may be personal, the names are not.
    pub(super) names: Vec<&'static str>,
}

impl Asked {
    /// Reads a query string.
    pub(super) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut q = Query::read(query, &PARAMETERS.map(|parameter| parameter.name));
        let mut names = Vec::new();
        let mut noted = |name: &'static str, is_there: bool| {
            if is_there {
                names.push(name);
            }
        };
        macro_rules! take {
            ($name:literal, $parse:expr) => {{
                let value = q.take($name, $parse);
                noted($name, value.is_some());
                value
            }};
        }
        let mut filter = Filter {
            since: take!("since", time),
            until: take!("until", time),
            format: take!("format", |t| Format::parse(t).ok_or_else(|| one_of(Format::ALL, Format::as_str))),
            severity: take!("severity", severity),
            min_severity: take!("min_severity", severity),
            state: take!("state", |t| FindingState::parse(t)
                .ok_or_else(|| one_of(FindingState::ALL, FindingState::as_str))),
            sample: take!("sample", |t| t.parse::<bool>().map_err(|_| "write `true` or `false`")),
            kind: take!("type", text),
            product: take!("product", text),
            account: take!("account", text),
            region: take!("region", text),
            case_id: take!("case", text),
            entities: Vec::new(),
        };
        for kind in EntityKind::ALL {
            if let Some(value) = q.take(kind.as_str(), |t| entity(*kind, t)) {
                noted(kind.as_str(), true);
                filter.entities.push((*kind, value));
            }
        }
        if let (Some(since), Some(until)) = (filter.since, filter.until)
            && since >= until
        {
            q.wrong("until", "this is not after `since`, so nothing could match");
        }
        let limit = q.take("limit", |text| match text.parse() {
            Ok(limit) if LIMITS.contains(&limit) => Ok(limit),
            _ => Err("write a number from 1 to 500"),
        });
        let cursor = q.take("cursor", |text| Ok::<_, &str>(text.to_owned()));
        q.finish()?;
        Ok(Self { filter, limit: limit.unwrap_or(DEFAULT_LIMIT), cursor, names })
    }

    /// The filter as text: what a cursor is bound to.
    pub(super) fn binding(&self) -> String {
        format!("findings {:?}", self.filter)
    }
}

fn one_of<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    format!("write one of {}", all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", "))
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| one_of(Severity::ALL, Severity::as_str))
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text)
        .ok_or("write an RFC 3339 time such as `2026-11-24T10:00:00Z` (a `+` in a query string is written `%2B`)")
}

fn text(given: &str) -> Result<String, &'static str> {
    if given.len() > LONGEST || given.chars().any(char::is_control) {
        return Err("no finding has a text like this: at most 2048 bytes, without control characters");
    }
    Ok(given.to_owned())
}

/// In the one spelling that is kept.
fn entity(kind: EntityKind, given: &str) -> Result<String, &'static str> {
    match kind {
        EntityKind::Address => match given.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(address.to_canonical().to_string()),
            Err(_) => Err("write an IP address"),
        },
        EntityKind::Domain => text(given).map(|name| name.trim_end_matches('.').to_ascii_lowercase()),
        _ => text(given),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_filter_is_read() {
        let query = "since=2026-11-24T10:00:00Z&until=2026-11-25T10:00:00Z&format=asff&severity=high&min_severity=low\
             &state=open&sample=false&type=a&product=b&account=1&region=r&case=c&address=2001:DB8::1&domain=X.&limit=2";
        let asked = Asked::read(Some(query)).unwrap();
        let f = &asked.filter;
        assert_eq!(
            (f.format, f.severity, f.state),
            (Some(Format::Asff), Some(Severity::High), Some(FindingState::Open))
        );
        let entities = [(EntityKind::Address, "2001:db8::1"), (EntityKind::Domain, "x")];
        assert_eq!(f.entities, entities.map(|(kind, value)| (kind, value.to_owned())));
        assert_eq!((asked.limit, asked.names.len()), (2, 14));
    }

    #[test]
    fn every_mistake_is_named() {
        for (query, parameter) in [
            ("severity=5", "severity"),
            ("min_severity=bad", "min_severity"),
            ("state=new", "state"),
            ("format=native", "format"),
            ("sample=yes", "sample"),
            ("address=here", "address"),
            ("limit=501", "limit"),
            ("since=2026-11-24T10:00:00Z&until=2026-11-24T10:00:00Z", "until"),
            ("account=a%00b", "account"),
            ("actor=x", "actor"),
        ] {
            let problem = Asked::read(Some(query)).unwrap_err();
            let body: Value = serde_json::from_slice(&problem.body(None)).unwrap();
            assert_eq!(body["errors"][0]["parameter"], parameter, "{query}");
        }
    }

    #[test]
    fn every_kind_of_entity_can_be_asked_for() {
        assert!(EntityKind::ALL.iter().all(|kind| PARAMETERS.iter().any(|known| known.name == kind.as_str())));
    }
}
