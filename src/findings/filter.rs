//! What findings can be asked for by plain parameters; everything else is `filter`.

use crate::http::asked::{FILTER, Plain};
use crate::http::routes::{PAGE, Parameter};
use crate::model::filter::Op;

const TEXT: &str = r#"{"type": "string"}"#;
const TIME: &str = r#"{"type": "string"}"#;

/// Which parameter asks about which field.
pub(super) const PLAIN: [Plain; 22] = [
    Plain::of("since", "updated_at", Op::Ge),
    Plain::of("until", "updated_at", Op::Lt),
    Plain::same("format"),
    Plain::same("severity"),
    Plain::of("min_severity", "severity", Op::Ge),
    Plain::same("state"),
    Plain::same("sample"),
    Plain::same("type"),
    Plain::same("product"),
    Plain::same("account"),
    Plain::same("region"),
    Plain::of("case", "case_id", Op::Eq),
    Plain::same("principal"),
    Plain::same("client"),
    Plain::same("user"),
    Plain::same("role"),
    Plain::same("session"),
    Plain::same("access_key"),
    Plain::same("address"),
    Plain::same("domain"),
    Plain::same("image"),
    Plain::same("resource"),
];

/// What can be asked for.
pub(super) const PARAMETERS: [Parameter; 25] = [
    FILTER,
    Parameter::new("since", "Not before this: RFC 3339, or how long ago: `-15m`", TIME),
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::base::Timestamp;
    use crate::http::asked::Asked;
    use crate::http::query::Query;
    use crate::model::filter::{FindingField, parse};

    fn read(query: &str) -> Result<Asked<FindingField>, String> {
        let mut q = Query::read(Some(query), &PARAMETERS.map(|parameter| parameter.name));
        let asked = Asked::take(&mut q, &PLAIN, Timestamp::from_secs(0));
        let Err(problem) = q.finish() else { return Ok(asked) };
        let body: Value = serde_json::from_slice(&problem.body(None)).unwrap();
        Err(body["errors"][0]["parameter"].as_str().unwrap().to_owned())
    }

    #[test]
    fn each_filter_is_read() {
        let query = "since=2026-11-24T10:00:00Z&until=2026-11-25T10:00:00Z&format=asff&severity=high&min_severity=low\
             &state=open&sample=false&type=a&product=b&account=1&region=r&case=c&address=2001:DB8::1&domain=X.";
        let tree = "updated_at >= 2026-11-24T10:00:00Z updated_at < 2026-11-25T10:00:00Z format = asff severity = high \
             severity >= low state = open sample = false type = a product = b account = 1 region = r case_id = c \
             address = 2001:db8::1 domain = x";
        let asked = read(query).unwrap();
        assert_eq!(asked.filter, parse::<FindingField>(tree, Timestamp::from_secs(0)).unwrap());
        assert_eq!(asked.names.len(), 14);
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
            ("since=2026-11-24T10:00:00Z&until=2026-11-24T10:00:00Z", "until"),
            ("account=a%00b", "account"),
            ("actor=x", "actor"),
            ("filter=severity%3A5", "filter"),
        ] {
            assert_eq!(read(query).unwrap_err(), parameter, "{query}");
        }
    }
}
