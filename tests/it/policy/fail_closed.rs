//! What cannot be decided is denied, above an index and an authorizer that would let it through.

use std::sync::Arc;

use serde_json::json;
use stockade::base::Timestamp;
use stockade::model::DenyReason;
use stockade::policy::{Engine, Facts, Files, Principal, Question, Resource, Snapshot, WireContext};

const SCHEMA: &str = r#"
namespace Stockade {
  type Risk = { level: Long, feedAgeSeconds: Long };
  type Ctx = { scopes: Set<String>, client: String, acr: Long, authAgeSeconds: Long, now: datetime, ip?: ipaddr, risk: Risk, budgetLeftBp: Long };
  entity Role in [Role];
  entity User in [Role] { disabled: Bool };
  entity Doc { level: Long };
  action "doc:read" appliesTo { principal: [User], resource: [Doc], context: Ctx };
  action "doc:own" appliesTo { principal: [User], resource: [Doc], context: { must: Long } };
}
"#;
const TYPES: &str = r#"
[[type]]
wire = "user"
entity = "Stockade::User"
source = "stored"
[[type]]
wire = "doc"
entity = "Stockade::Doc"
source = "supplied"
[[type]]
wire = "kept"
entity = "Stockade::Doc"
source = "overlay"
"#;
const ENTITIES: &str = r#"[
  { "uid": { "type": "Stockade::User", "id": "ada" }, "attrs": { "disabled": false }, "parents": [] },
  { "uid": { "type": "Stockade::Doc", "id": "row" }, "attrs": { "level": 1 }, "parents": [] }
]"#;

fn snapshot(policies: &str) -> Arc<Snapshot> {
    let files = [
        ("schema/core.cedarschema", SCHEMA),
        ("all.cedar", policies),
        ("types.toml", TYPES),
        ("entities.json", ENTITIES),
    ];
    Snapshot::from_files(&Files::new(files)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn facts() -> Facts<'static> {
    Facts::at(Timestamp::from_secs(1_800_000_000))
}

fn denied(snapshot: &Snapshot, principal: &Principal, action: &str, resource: &Resource) -> Option<DenyReason> {
    let facts = facts();
    let decision = snapshot.decide(&Question { principal, action, resource, facts: &facts });
    assert_eq!(&decision.snapshot, snapshot.digest());
    decision.denied
}

#[test]
fn a_forbid_that_errs_denies_what_the_plain_authorizer_allows() {
    // Overflow is one of the three ways in which a validated policy can err.
    let snapshot = snapshot(
        r#"@id("open") permit (principal, action == Stockade::Action::"doc:read", resource);
           @id("guard") forbid (principal, action, resource is Stockade::Doc) when { resource.level * 9223372036854775807 > 5 };"#,
    );
    let ada = snapshot.subject("user", "ada", None).expect("fits");
    let level = |level: i64| {
        let properties = json!({ "level": level });
        snapshot.object("doc", "x", properties.as_object()).expect("fits")
    };
    assert_eq!(denied(&snapshot, &ada, "doc:read", &level(0)), None);
    assert_eq!(denied(&snapshot, &ada, "doc:read", &level(1)), Some(DenyReason::Forbidden));
    let facts = facts();
    let resource = level(2);
    let question = Question { principal: &ada, action: "doc:read", resource: &resource, facts: &facts };
    let decision = snapshot.decide(&question);
    assert_eq!(decision.denied, Some(DenyReason::ForbidErred));
    assert_eq!(decision.errors, [Arc::from("guard")]);
    assert!(decision.policies.is_empty(), "the permit did not determine this");
}

#[test]
fn a_permit_that_errs_permits_nothing_and_is_named() {
    let snapshot = snapshot(
        r#"@id("open") permit (principal, action == Stockade::Action::"doc:read", resource is Stockade::Doc)
           when { resource.level * 9223372036854775807 > 5 };"#,
    );
    let ada = snapshot.subject("user", "ada", None).expect("fits");
    let resource = snapshot.object("doc", "x", json!({ "level": 2 }).as_object()).expect("fits");
    let facts = facts();
    let question = Question { principal: &ada, action: "doc:read", resource: &resource, facts: &facts };
    let decision = snapshot.decide(&question);
    assert_eq!((decision.denied, decision.errors), (Some(DenyReason::NoPermit), vec![Arc::from("open")]));
}

#[test]
fn a_principal_or_resource_that_nobody_knows_is_denied_under_an_open_permit() {
    let snapshot = snapshot(r#"@id("open") permit (principal, action == Stockade::Action::"doc:read", resource);"#);
    let ada = snapshot.subject("user", "ada", None).expect("fits");
    let row = snapshot.object("kept", "row", None).expect("fits");
    assert_eq!(denied(&snapshot, &ada, "doc:read", &row), None);
    let nobody = snapshot.subject("user", "nobody", None).expect("fits");
    assert_eq!(denied(&snapshot, &nobody, "doc:read", &row), Some(DenyReason::UnknownPrincipal));
    let no_type = snapshot.subject("robot", "ada", None).expect("fits");
    assert_eq!(denied(&snapshot, &no_type, "doc:read", &row), Some(DenyReason::UnknownPrincipal));
    let nothing = snapshot.object("kept", "no row", json!({ "level": 1 }).as_object()).expect("fits");
    assert_eq!(denied(&snapshot, &ada, "doc:read", &nothing), Some(DenyReason::UnknownResource));
    assert_eq!(
        denied(&snapshot, &Principal::unknown("User", "ada"), "doc:read", &row),
        Some(DenyReason::UnknownPrincipal)
    );
}

#[test]
fn a_request_that_does_not_fit_the_schema_is_denied() {
    let snapshot = snapshot(r#"@id("open") permit (principal, action, resource is Stockade::Doc) when { true };"#);
    let ada = snapshot.subject("user", "ada", None).expect("fits");
    let row = snapshot.object("kept", "row", None).expect("fits");
    assert_eq!(denied(&snapshot, &ada, "doc:unheard-of", &row), Some(DenyReason::UnknownAction));
    // The context lacks what this action demands.
    assert_eq!(denied(&snapshot, &ada, "doc:own", &row), Some(DenyReason::InvalidRequest));
    // The type is wrong for the action.
    assert_eq!(denied(&snapshot, &ada, "doc:read", &Resource::api("x")), Some(DenyReason::InvalidRequest));
    assert_eq!(denied(&snapshot, &Principal::operator("local"), "doc:read", &row), Some(DenyReason::InvalidRequest));
    // Attributes that do not fit.
    let wrong = snapshot.object("doc", "x", json!({ "level": "high" }).as_object());
    assert_eq!(wrong.err(), Some(DenyReason::InvalidRequest));
    let absent = snapshot.object("doc", "x", None);
    assert_eq!(absent.err(), Some(DenyReason::InvalidRequest));
    // And a context that does is decided.
    let facts = facts();
    for (sent, expected) in [(json!({ "must": 1 }), None), (json!({ "must": "1" }), Some(DenyReason::InvalidRequest))] {
        let context = WireContext::new(&facts, sent.as_object());
        assert_eq!(snapshot.decide_wire(&ada, "doc:own", None, &row, &context).denied, expected, "{sent}");
    }
}

#[test]
fn the_world_is_not_overridden_by_what_a_request_sends() {
    let snapshot = snapshot(
        r#"@id("calm") permit (principal, action == Stockade::Action::"doc:read", resource)
           when { context.risk.level == 4 || context.budgetLeftBp == 7 || context.scopes.contains("s") };"#,
    );
    let ada = snapshot.subject("user", "ada", None).expect("fits");
    let row = snapshot.object("kept", "row", None).expect("fits");
    let facts = facts();
    let sent =
        json!({ "risk": { "level": 4, "feedAgeSeconds": 0 }, "budgetLeftBp": 7, "now": "1970-01-01", "unheard": {} });
    let context = WireContext::new(&facts, sent.as_object());
    assert_eq!(snapshot.decide_wire(&ada, "doc:read", None, &row, &context).denied, Some(DenyReason::NoPermit));
    let sent = json!({ "scopes": ["s"] });
    let context = WireContext::new(&facts, sent.as_object());
    assert_eq!(snapshot.decide_wire(&ada, "doc:read", None, &row, &context).denied, None);
}

#[test]
fn an_engine_without_a_snapshot_denies_everything() {
    let engine = Engine::new();
    let facts = facts();
    let principal = Principal::operator("local");
    let resource = Resource::audit_log();
    let question = Question { principal: &principal, action: "audit:search", resource: &resource, facts: &facts };
    assert_eq!(engine.decide(&question).denied, Some(DenyReason::NoSnapshot));
    let issuance = engine.issuance(&principal, "client_credentials", &resource, &["a"], &facts);
    assert_eq!((issuance.decision.denied, issuance.scopes), (Some(DenyReason::NoSnapshot), vec![]));
    assert_eq!(engine.tier(&principal, "demo", &facts).map_err(|d| d.denied), Err(Some(DenyReason::NoSnapshot)));
}

#[test]
fn a_declared_route_is_known_by_name_with_the_api_it_is_in() {
    let snapshot = Snapshot::embedded().expect("loads");
    let ada = snapshot.subject("user", "ada", json!({ "disabled": false }).as_object()).expect("fits");
    let facts = facts().scopes("notes:read");
    let context = WireContext::new(&facts, None);
    let decide = |id: &str, properties: Option<serde_json::Value>| {
        let route = snapshot.object("route", id, properties.as_ref().and_then(|p| p.as_object()));
        route.map(|route| snapshot.decide_wire(&ada, "notes:list", None, &route, &context).denied)
    };
    let sent = || Some(json!({ "method": "GET", "path": "/x", "class": "x" }));
    assert_eq!(decide("GET /demo/notes", None), Ok(None));
    assert_eq!(decide("GET /demo/notes", sent()), Ok(None), "its API does not depend on what is sent");
    assert_eq!(decide("GET /elsewhere", sent()), Ok(Some(DenyReason::NoPermit)));
    assert_eq!(decide("GET /elsewhere", None), Err(DenyReason::InvalidRequest));
}
