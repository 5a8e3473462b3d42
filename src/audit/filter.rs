//! What a caller asks for: the query string of `/api/v1/audit/events`, checked whole.

use std::ops::RangeInclusive;

use crate::base::Timestamp;
use crate::http::Problem;
use crate::http::query::Query;
use crate::http::routes::{PAGE, Parameter};
use crate::model::{Outcome, PrincipalRef, event};
use crate::store::log::Filter;

/// Items of a page.
const LIMITS: RangeInclusive<i64> = 1..=500;
const DEFAULT_LIMIT: i64 = 50;
/// Longest text that is compared, in bytes: longer ones are in no event.
const LONGEST: usize = 2048;

const TEXT: &str = r#"{"type": "string"}"#;
const TIME: &str = r#"{"type": "string", "format": "date-time"}"#;

/// What can be asked for.
pub(super) const PARAMETERS: [Parameter; 11] = [
    Parameter::new("since", "Not before this", TIME),
    Parameter::new("until", "Before this", TIME),
    Parameter::new("principal", "Who: `Type::id`, or the id of a client", TEXT),
    Parameter::new("action", "What was done", TEXT),
    Parameter::new("outcome", "How it ended", r#"{"enum": ["allowed", "denied", "failed"]}"#),
    Parameter::new("decision", "The same in the words of a decision", r#"{"enum": ["allow", "deny"]}"#),
    Parameter::new("resource", "What it was done to", TEXT),
    Parameter::new("kind", "The kind of event", TEXT),
    Parameter::new("request_id", "`X-Request-ID` of the request", TEXT),
    PAGE[0],
    PAGE[1],
];

/// A checked query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) filter: Filter,
    pub(super) limit: i64,
    pub(super) cursor: Option<String>,
}

impl Asked {
    /// Reads a query string.
    pub(super) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut q = Query::read(query, &PARAMETERS.map(|parameter| parameter.name));
        let mut filter = Filter {
            since: q.take("since", time),
            until: q.take("until", time),
            principal: q.take("principal", principal),
            action: q.take("action", text),
            outcome: q.take("outcome", outcome),
            resource: q.take("resource", text),
            kind: q.take("kind", kind),
            request_id: q.take("request_id", text),
        };
        if let Some(decided) = q.take("decision", decision) {
            match &filter.outcome {
                Some(outcome) if *outcome != decided => {
                    q.wrong("decision", "`outcome` says something else: give one of them");
                }
                Some(_) | None => filter.outcome = Some(decided),
            }
        }
        if let (Some(since), Some(until)) = (filter.since, filter.until)
            && since >= until
        {
            q.wrong("until", "this is not after `since`, so nothing could match");
        }
        let limit = q.take("limit", limit).unwrap_or(DEFAULT_LIMIT);
        let cursor = q.take("cursor", |text| Ok::<_, &str>(text.to_owned()));
        q.finish()?;
        Ok(Self { filter, limit, cursor })
    }

    /// The names of what is asked for. The values may be personal, the names are not.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let f = &self.filter;
        let given = [
            ("since", f.since.is_some()),
            ("until", f.until.is_some()),
            ("principal", f.principal.is_some()),
            ("action", f.action.is_some()),
            ("outcome", f.outcome.is_some()),
            ("resource", f.resource.is_some()),
            ("kind", f.kind.is_some()),
            ("request_id", f.request_id.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// The filter as text: what a cursor is bound to.
    pub(super) fn binding(&self) -> String {
        let f = &self.filter;
        let time = |t: Option<Timestamp>| t.map(|t| t.to_string());
        let all = [
            time(f.since),
            time(f.until),
            f.principal.clone(),
            f.action.clone(),
            f.outcome.clone(),
            f.resource.clone(),
            f.kind.clone(),
            f.request_id.clone(),
        ];
        serde_json::to_string(&all).unwrap_or_default()
    }
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text)
        .ok_or("write an RFC 3339 time such as `2026-11-24T10:00:00Z` (a `+` in a query string is written `%2B`)")
}

/// `Type::"id"` as events spell it; `Type::id`, and a bare id for a client, which are easier to type.
fn principal(given: &str) -> Result<String, &'static str> {
    let given = text(given)?;
    match given.split_once("::") {
        None => Ok(PrincipalRef::new("Client", given).to_string()),
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => match id.strip_prefix('"') {
            None => Ok(PrincipalRef::new(kind, id).to_string()),
            Some(rest) if rest.len() > 1 && rest.ends_with('"') => Ok(given),
            Some(_) => Err("write `Type::\"id\"`, such as `Client::\"reader\"`"),
        },
        Some(_) => Err("write `Type::\"id\"`, such as `Client::\"reader\"`"),
    }
}

fn outcome(given: &str) -> Result<String, &'static str> {
    Outcome::parse(given).map(|o| o.as_str().to_owned()).ok_or("write `allowed`, `denied` or `failed`")
}

/// The same in the words of a decision.
fn decision(given: &str) -> Result<String, &'static str> {
    match given {
        "allow" | "allowed" => Ok(Outcome::Allowed.as_str().to_owned()),
        "deny" | "denied" => Ok(Outcome::Denied.as_str().to_owned()),
        _ => Err("write `allow` or `deny`"),
    }
}

fn kind(given: &str) -> Result<String, String> {
    if event::kind::ALL.contains(&given) {
        return Ok(given.to_owned());
    }
    Err(format!("there is no such kind of event: the kinds are {}", event::kind::ALL.join(", ")))
}

fn text(given: &str) -> Result<String, &'static str> {
    if given.len() > LONGEST || given.chars().any(char::is_control) {
        return Err("no event has a text like this: at most 2048 bytes, without control characters");
    }
    Ok(given.to_owned())
}

fn limit(given: &str) -> Result<i64, &'static str> {
    match given.parse() {
        Ok(limit) if LIMITS.contains(&limit) => Ok(limit),
        _ => Err("write a number from 1 to 500"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn wrong(query: &str) -> Vec<String> {
        let problem = Asked::read(Some(query)).unwrap_err();
        let body: Value = serde_json::from_slice(&problem.body(None)).unwrap();
        let errors = body["errors"].as_array().unwrap();
        errors.iter().map(|e| e["parameter"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn nothing_asked_is_the_newest_fifty() {
        let asked = Asked::read(None).unwrap();
        assert_eq!(asked, Asked { filter: Filter::default(), limit: 50, cursor: None });
        assert_eq!(asked.names(), Vec::<&str>::new());
    }

    #[test]
    fn each_filter_is_read() {
        let asked = Asked::read(Some(
            "since=2026-11-24T10:00:00Z&until=2026-11-24T11:00:00%2B00:00&principal=reader&action=notes:list\
             &outcome=denied&resource=Route::%22x%22&kind=decision&request_id=req_1&limit=500&cursor=abc",
        ))
        .unwrap();
        let f = &asked.filter;
        assert_eq!(f.since, Timestamp::parse("2026-11-24T10:00:00Z"));
        assert_eq!(f.until, Timestamp::parse("2026-11-24T11:00:00Z"));
        assert_eq!(f.principal.as_deref(), Some("Client::\"reader\""));
        assert_eq!((f.action.as_deref(), f.resource.as_deref()), (Some("notes:list"), Some("Route::\"x\"")));
        assert_eq!((f.outcome.as_deref(), f.kind.as_deref()), (Some("denied"), Some("decision")));
        assert_eq!((f.request_id.as_deref(), asked.limit, asked.cursor.as_deref()), (Some("req_1"), 500, Some("abc")));
        assert_eq!(asked.names().len(), 8);
    }

    #[test]
    fn a_principal_may_be_spelled_in_three_ways() {
        for (given, stored) in [
            ("reader", "Client::\"reader\""),
            ("User::ada", "User::\"ada\""),
            ("User::\"ada\"", "User::\"ada\""),
            ("Client::a\"b", "Client::\"a\\\"b\""),
        ] {
            assert_eq!(principal(given).as_deref(), Ok(stored), "{given}");
        }
        for given in ["::x", "User::", "User::\"", "User::\"x"] {
            assert!(principal(given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_decision_is_an_outcome_in_other_words() {
        for (query, outcome) in [("decision=deny", "denied"), ("decision=allow&outcome=allowed", "allowed")] {
            assert_eq!(Asked::read(Some(query)).unwrap().filter.outcome.as_deref(), Some(outcome), "{query}");
        }
        assert_eq!(wrong("decision=deny&outcome=allowed"), ["decision"]);
    }

    #[test]
    fn every_mistake_is_named() {
        for (query, parameters) in [
            ("limit=0", &["limit"][..]),
            ("limit=501", &["limit"]),
            ("limit=-1", &["limit"]),
            ("limit=1e2", &["limit"]),
            ("limit=50&limit=50", &["limit"]),
            ("since=yesterday", &["since"]),
            ("since=2026-11-24T10:00:00+00:00", &["since"]),
            ("since=2026-11-24T10:00:00Z&until=2026-11-24T10:00:00Z", &["until"]),
            ("outcome=maybe", &["outcome"]),
            ("decision=maybe", &["decision"]),
            ("kind=token", &["kind"]),
            ("action=a%00b", &["action"]),
            ("action=", &["action"]),
            ("Outcome=denied", &["Outcome"]),
            ("offset=10", &["offset"]),
            ("limit=x&kind=y&who=z", &["who", "kind", "limit"]),
        ] {
            assert_eq!(wrong(query), parameters, "{query}");
        }
        assert_eq!(wrong(&format!("resource={}", "a".repeat(LONGEST + 1))), ["resource"]);
    }

    #[test]
    fn a_cursor_s_binding_tells_filters_apart() {
        let queries =
            ["", "action=a", "resource=a", "kind=decision", "since=2026-11-24T10:00:00Z", "until=2026-11-24T10:00:00Z"];
        let bindings: std::collections::BTreeSet<_> =
            queries.iter().map(|q| Asked::read(Some(q)).unwrap().binding()).collect();
        assert_eq!(bindings.len(), queries.len());
        let with = |q| Asked::read(Some(q)).unwrap().binding();
        assert_eq!(with("action=a&limit=1"), with("limit=2&action=a&cursor=x"), "the page's size may change");
    }
}
