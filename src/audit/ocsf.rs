//! An event in the words of the Open Cybersecurity Schema Framework 1.3: API Activity (6003), Authentication (3002), and
//! Detection Finding (2004) for what detectors found. What the framework has no word for stands in `unmapped`.

use serde_json::{Map, Value, json};

use crate::base::Timestamp;
use crate::model::event::kind;
use crate::store::log::Numbered;

const VERSION: &str = "1.3.0";

/// A class, with its category.
struct Class {
    uid: i64,
    name: &'static str,
    category: (i64, &'static str),
}

const API_ACTIVITY: Class = Class { uid: 6003, name: "API Activity", category: (6, "Application Activity") };
const AUTHENTICATION: Class =
    Class { uid: 3002, name: "Authentication", category: (3, "Identity & Access Management") };
const DETECTION: Class = Class { uid: 2004, name: "Detection Finding", category: (2, "Findings") };

/// What is left of both halves, as one object.
fn whole(numbered: &Numbered) -> Map<String, Value> {
    let halves = [numbered.entry.rest(), numbered.entry.personal()];
    let read = |body: &[u8]| serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    halves.into_iter().filter_map(|half| half.body.map(read)).flatten().collect()
}

/// An event.
pub(super) fn event(numbered: &Numbered) -> Value {
    of(numbered.seq, &whole(numbered))
}

fn of(seq: i64, event: &Map<String, Value>) -> Value {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let data = |name: &str| event.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
    let what = text("kind").unwrap_or_default();
    let (class, (activity, activity_name)) = match what {
        kind::FINDING_REVISED => (DETECTION, if data("change") == Some("new") { (1, "Create") } else { (2, "Update") }),
        kind::SESSION_STARTED | kind::LOGIN_FAILED => (AUTHENTICATION, (1, "Logon")),
        kind::SESSION_ENDED => (AUTHENTICATION, (2, "Logoff")),
        kind::TOKEN_ISSUED | kind::TOKEN_REFUSED | kind::UNAUTHENTICATED => {
            (AUTHENTICATION, (3, "Authentication Ticket"))
        }
        _ => (API_ACTIVITY, act(text("action").unwrap_or_default())),
    };
    let (severity, severity_name) = match (data("severity"), text("outcome")) {
        (Some("low"), _) => (2, "Low"),
        (Some("medium"), _) => (3, "Medium"),
        (Some("high"), _) => (4, "High"),
        (Some("critical"), _) => (5, "Critical"),
        (None, Some("denied")) => (2, "Low"),
        (None, Some("failed")) => (3, "Medium"),
        _ => (1, "Informational"),
    };
    let (status, status_name) = match text("outcome") {
        Some("allowed") => (1, "Success"),
        Some(_) => (2, "Failure"),
        None => (0, "Unknown"),
    };
    let time = text("time").and_then(Timestamp::parse).unwrap_or_default();
    let mut out = json!({
        "class_uid": class.uid,
        "class_name": class.name,
        "category_uid": class.category.0,
        "category_name": class.category.1,
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": class.uid * 100 + activity,
        "type_name": format!("{}: {activity_name}", class.name),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "time": time.as_micros().div_euclid(1000),
        "metadata": {
            "version": VERSION,
            "product": { "name": "Stockade", "vendor_name": "Stockade", "version": env!("CARGO_PKG_VERSION") },
            "log_name": "audit",
            "event_code": what,
            "sequence": seq,
            "uid": text("id"),
            "correlation_uid": text("request_id"),
            "original_time": text("time"),
        },
        "status_code": text("reason"),
        "count": event.get("count").and_then(Value::as_i64).unwrap_or(1),
        "src_endpoint": text("address").map(|address| json!({ "ip": address })),
        "actor": actor(text("principal"), event.get("policies"), text("outcome")),
        "unmapped": unmapped(event),
    });
    let resources = text("resource").map(|resource| json!([{ "uid": resource }]));
    let own = match class.uid {
        2004 => json!({
            "finding_info": {
                "uid": data("finding_id"), "types": data("type").map(|one| json!([one])),
                "title": data("type").unwrap_or("a finding was revised"), "related_events_count": event.get("data").and_then(|d| d.get("revision")),
            },
            "resources": resources,
        }),
        3002 => json!({
            "user": text("principal").map_or_else(|| json!({ "name": "unknown" }), |principal| json!({ "uid": principal, "name": named(principal) })),
            "auth_protocol_id": 6, "auth_protocol": "OAUTH 2.0",
            "service": text("resource").map(|resource| json!({ "name": resource })),
        }),
        _ => json!({
            "api": {
                "operation": text("action").unwrap_or(what), "request": text("request_id").map(|id| json!({ "uid": id })),
                "response": text("reason").map(|reason| json!({ "error": reason })),
            },
            "resources": resources,
        }),
    };
    if let (Value::Object(out), Value::Object(own)) = (&mut out, own) {
        out.extend(own);
    }
    without_null(out)
}

/// What an action does, by its verb.
fn act(action: &str) -> (i64, &'static str) {
    match action.rsplit(':').next().unwrap_or_default() {
        "create" | "register" | "import" | "issue" | "mint" => (1, "Create"),
        "read" | "list" | "show" | "search" | "export" | "verify" | "inspect" | "evaluate" => (2, "Read"),
        "update" | "write" | "rotate" | "disable" | "enable" | "assign-roles" | "set-password" | "activate" => {
            (3, "Update")
        }
        "delete" | "revoke" | "retire" => (4, "Delete"),
        _ => (99, "Other"),
    }
}

/// The id between the quotes of `Type::"id"`.
fn named(principal: &str) -> &str {
    principal.split_once("::").map_or(principal, |(_, id)| id.trim_matches('"'))
}

fn actor(principal: Option<&str>, policies: Option<&Value>, outcome: Option<&str>) -> Option<Value> {
    let principal = principal?;
    let (kind, name) = (principal.split("::").next().unwrap_or_default(), named(principal));
    let who = match kind {
        "Client" => json!({ "app_uid": name, "app_name": name }),
        _ => json!({ "user": { "uid": principal, "name": name, "type": kind } }),
    };
    let decision = if outcome == Some("allowed") { "Allowed" } else { "Denied" };
    let policies = policies
        .and_then(Value::as_array)
        .map(|ids| ids.iter().map(|id| json!({ "decision": decision, "policy": { "uid": id } })).collect::<Value>());
    match (who, policies) {
        (Value::Object(mut who), Some(policies)) => {
            who.insert("authorizations".to_owned(), policies);
            Some(Value::Object(who))
        }
        (who, _) => Some(who),
    }
}

fn unmapped(event: &Map<String, Value>) -> Value {
    let kept = ["data", "snapshot", "trace_id", "latency_us", "kind", "outcome"];
    kept.iter().filter_map(|name| Some(((*name).to_owned(), event.get(*name)?.clone()))).collect::<Map<_, _>>().into()
}

/// Without members that say nothing.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let told = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(told.map(|(name, value)| (name, without_null(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_what_the_framework_requires() {
        for (kind, action, class, activity) in [
            ("decision", "notes:write", 6003, 3),
            ("client.changed", "client:delete", 6003, 4),
            ("audit.read", "audit:search", 6003, 2),
            ("session.started", "", 3002, 1),
            ("session.ended", "", 3002, 2),
            ("token.issued", "token:issue", 3002, 3),
            ("finding.revised", "finding:import", 2004, 1),
        ] {
            let event = json!({
                "id": "evt_1", "time": "2026-11-24T10:00:00.123456Z", "kind": kind, "outcome": "denied", "action": action,
                "principal": "Client::\"app\"", "address": "192.0.2.1", "resource": "X::\"y\"", "reason": "no_permit",
                "policies": ["p"], "request_id": "req_1", "data": { "change": "new", "finding_id": "fnd_1", "n": 1 },
            });
            let told = of(7, event.as_object().unwrap());
            assert_eq!((&told["class_uid"], &told["activity_id"]), (&json!(class), &json!(activity)), "{kind}");
            assert_eq!(told["type_uid"], json!(class * 100 + activity));
            assert_eq!(told["category_uid"], json!(class / 1000));
            assert_eq!((&told["time"], &told["metadata"]["sequence"]), (&json!(1_795_514_400_123_i64), &json!(7)));
            assert_eq!((&told["status_id"], &told["status_code"]), (&json!(2), &json!("no_permit")));
            assert_eq!((&told["src_endpoint"]["ip"], &told["unmapped"]["data"]["n"]), (&json!("192.0.2.1"), &json!(1)));
            assert_eq!(told["actor"]["authorizations"][0]["policy"]["uid"], "p");
            let required = match class {
                6003 => &["api", "actor", "src_endpoint", "resources"][..],
                3002 => &["user"],
                _ => &["finding_info"],
            };
            for name in required.iter().chain(&["severity_id", "metadata", "class_name", "category_name", "type_name"])
            {
                assert!(told.get(*name).is_some(), "{kind} lacks {name}: {told}");
            }
        }
    }

    #[test]
    fn what_was_erased_is_told_without_it() {
        let told = of(1, &Map::new());
        assert_eq!((&told["status_id"], &told["class_uid"]), (&json!(0), &json!(6003)));
        assert!(told.get("actor").is_none() && !told.to_string().contains("null"));
    }
}
