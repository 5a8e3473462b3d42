//! What events can be asked for by plain parameters; everything else is `filter`.

use crate::http::asked::{FILTER, Plain};
use crate::http::routes::Parameter;
use crate::model::filter::Op;

const TEXT: &str = r#"{"type": "string"}"#;
const TIME: &str = r#"{"type": "string"}"#;

/// Which parameter asks about which field.
pub(super) const PLAIN: [Plain; 9] = [
    Plain::of("since", "time", Op::Ge),
    Plain::of("until", "time", Op::Lt),
    Plain::same("principal"),
    Plain::same("action"),
    Plain::same("outcome"),
    Plain { name: "decision", field: "outcome", op: Op::Eq, words: &[("allow", "allowed"), ("deny", "denied")] },
    Plain::same("resource"),
    Plain::same("kind"),
    Plain::same("request_id"),
];

/// What can be asked for.
pub(super) const FILTERS: [Parameter; 10] = [
    FILTER,
    Parameter::new("since", "Not before this: RFC 3339, or how long ago: `-15m`", TIME),
    Parameter::new("until", "Before this", TIME),
    Parameter::new("principal", "Who: `Type::id`, or the id of a client", TEXT),
    Parameter::new("action", "What was done", TEXT),
    Parameter::new("outcome", "How it ended", r#"{"enum": ["allowed", "denied", "failed"]}"#),
    Parameter::new("decision", "The same in the words of a decision", r#"{"enum": ["allow", "deny"]}"#),
    Parameter::new("resource", "What it was done to", TEXT),
    Parameter::new("kind", "The kind of event", TEXT),
    Parameter::new("request_id", "`X-Request-ID` of the request", TEXT),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::base::Timestamp;
    use crate::http::asked::Asked;
    use crate::http::query::Query;
    use crate::model::filter::{EventField, parse};

    fn read(query: &str) -> Result<Asked<EventField>, Vec<String>> {
        let mut q = Query::read(Some(query), &FILTERS.map(|parameter| parameter.name));
        let asked = Asked::take(&mut q, &PLAIN, Timestamp::from_secs(1_800_000_000));
        let Err(problem) = q.finish() else { return Ok(asked) };
        let body: Value = serde_json::from_slice(&problem.body(None)).unwrap();
        let errors = body["errors"].as_array().unwrap();
        Err(errors.iter().map(|e| e["parameter"].as_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn plain_parameters_are_conditions_of_the_same_tree() {
        for (query, filter) in [
            ("", ""),
            (
                "since=2026-11-24T10:00:00Z&until=2026-11-24T11:00:00%2B00:00",
                "time >= 2026-11-24T10:00:00Z AND time < 2026-11-24T11:00:00Z",
            ),
            ("since=-15m", "time >= -15m"),
            ("principal=reader&action=notes:list", "principal = Client::\"reader\" AND action = \"notes:list\""),
            ("outcome=denied&resource=Route::%22x%22", "outcome = denied AND resource = Route::\"x\""),
            ("decision=deny", "outcome = denied"),
            ("decision=allow&outcome=allowed", "outcome = allowed"),
            ("kind=decision&request_id=req_1", "kind = decision AND request_id = req_1"),
            ("kind=decision&filter=-outcome%3Dallowed", "kind = decision AND NOT outcome = allowed"),
        ] {
            let tree = parse::<EventField>(filter, Timestamp::from_secs(1_800_000_000)).unwrap();
            assert_eq!(read(query).unwrap().filter, tree, "{query}");
        }
        assert_eq!(read("kind=decision&filter=outcome%3Ddenied%20x").unwrap().names, ["kind", "outcome", "text"]);
    }

    #[test]
    fn every_mistake_is_named() {
        for (query, parameters) in [
            ("since=yesterday", &["since"][..]),
            ("since=2026-11-24T10:00:00+00:00", &["since"]),
            ("since=2026-11-24T10:00:00Z&until=2026-11-24T10:00:00Z", &["until"]),
            ("outcome=maybe", &["outcome"]),
            ("decision=maybe", &["decision"]),
            ("decision=deny&outcome=allowed", &["decision"]),
            ("kind=token", &["kind"]),
            ("action=a%00b", &["action"]),
            ("action=", &["action"]),
            ("Outcome=denied", &["Outcome"]),
            ("offset=10", &["offset"]),
            ("principal=User::", &["principal"]),
            ("filter=knd%3Ddecision", &["filter"]),
            ("filter=(", &["filter"]),
            ("kind=y&who=z", &["who", "kind"]),
        ] {
            assert_eq!(read(query).unwrap_err(), parameters, "{query}");
        }
        assert_eq!(read(&format!("resource={}", "a".repeat(2049))).unwrap_err(), ["resource"]);
    }
}
