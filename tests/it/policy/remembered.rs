//! What a snapshot remembers of earlier answers is what it would answer again.

use std::fmt::Write as _;
use std::net::IpAddr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use proptest::prelude::*;
use serde_json::json;
use stockade::base::Timestamp;
use stockade::policy::ambient::Ambient;
use stockade::policy::{Facts, Files, Principal, Question, Resource, Snapshot, WireContext, embedded};

const START: i64 = 1_800_000_000;

/// Each looks at another part of the context, or at none.
const CONDITIONS: [&str; 11] = [
    "true",
    "principal.disabled",
    "context.scopes.contains(\"a\")",
    "context.client == \"c\"",
    "context.acr >= 2",
    "context.authAgeSeconds < 300",
    "context.now < datetime(\"2027-01-15T08:00:01Z\")",
    "context has ip && context.ip.isInRange(ip(\"10.0.0.0/8\"))",
    "context.risk.level >= 2",
    "context.risk == {level: 1, feedAgeSeconds: 0}",
    "context.budgetLeftBp < 500",
];

#[derive(Clone, Copy, Debug)]
struct Policy {
    forbids: bool,
    unless: bool,
    conditions: (usize, usize),
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let one = (any::<bool>(), any::<bool>(), 0..CONDITIONS.len(), 0..CONDITIONS.len());
    let one = one.prop_map(|(forbids, unless, a, b)| Policy { forbids, unless, conditions: (a, b) });
    prop::collection::vec(one, 1..8)
}

fn text(policies: &[Policy]) -> String {
    let mut text = String::new();
    for (number, policy) in policies.iter().enumerate() {
        let effect = if policy.forbids { "forbid" } else { "permit" };
        let clause = if policy.unless { "unless" } else { "when" };
        let (a, b) = policy.conditions;
        let (a, b) = (CONDITIONS[a], CONDITIONS[b]);
        writeln!(
            text,
            "@id(\"p{number}\") {effect} (principal, action == Notes::Action::\"notes:list\", resource) \
             {clause} {{ {a} }} when {{ {b} }};"
        )
        .expect("written");
    }
    text
}

fn facts() -> impl Strategy<Value = Facts<'static>> {
    let scopes = prop::sample::select(vec!["", "a", "b", "a b"]);
    let address = prop::sample::select(vec![None, Some("10.0.0.1"), Some("192.0.2.1")]);
    let scopes = (scopes, prop::sample::select(vec!["", "c", "d"]));
    (scopes, address, 0..4_u8, 0..3_u32, 0..3_i64, 0..3_u8, any::<bool>()).prop_map(
        |((scopes, client), address, acr, age, second, risk_level, spent)| Facts {
            client,
            address: address.map(|text| text.parse::<IpAddr>().expect("an address")),
            acr,
            auth_age_secs: age * 200,
            ambient: Ambient {
                risk_level,
                feed_age_secs: 0,
                budget_left_bp: if spent { 100 } else { 10_000 },
                dry_run: false,
            },
            ..Facts::at(Timestamp::from_secs(START + second)).scopes(scopes)
        },
    )
}

/// Cedar's own answer to the whole context.
fn plain(set: &PolicySet, facts: &Facts<'_>) -> (bool, Vec<String>) {
    let uid = |text: &str| text.parse::<EntityUid>().expect("an entity");
    let mut context = json!({
        "scopes": facts.scopes.split(' ').filter(|s| !s.is_empty()).collect::<Vec<_>>(),
        "client": facts.client,
        "acr": facts.acr,
        "authAgeSeconds": facts.auth_age_secs,
        "now": { "__extn": { "fn": "datetime", "arg": facts.now.to_string().replace(".000000", "") } },
        "budgetLeftBp": facts.ambient.budget_left_bp,
        "risk": { "level": facts.ambient.risk_level, "feedAgeSeconds": facts.ambient.feed_age_secs },
    });
    if let Some(address) = facts.address {
        context["ip"] = json!({ "__extn": { "fn": "ip", "arg": address.to_string() } });
    }
    let context = Context::from_json_value(context, None).expect("a context");
    let (who, what) = (uid("Stockade::User::\"ada\""), uid("Stockade::Route::\"GET /demo/notes\""));
    let request = Request::new(who.clone(), uid("Notes::Action::\"notes:list\""), what.clone(), context, None);
    let disabled = [("disabled".to_owned(), RestrictedExpression::new_bool(false))].into_iter().collect();
    let entities = [Entity::new(who, disabled, [].into()).expect("an entity"), Entity::with_uid(what)];
    let entities = Entities::from_entities(entities, None).expect("entities");
    let answer = Authorizer::new().is_authorized(&request.expect("a request"), set, &entities);
    assert_eq!(answer.diagnostics().errors().count(), 0, "none of the conditions can err");
    let id = |id| set.annotation(id, "id").expect("it has one").to_owned();
    let mut reasons: Vec<String> = answer.diagnostics().reason().map(id).collect();
    reasons.sort();
    (answer.decision() == Decision::Allow, reasons)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn remembered_answers_equal_those_of_the_plain_authorizer(
        policies in policies(),
        asked in prop::collection::vec(facts(), 1..40),
    ) {
        let text = text(&policies);
        let (permits, forbids): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains(" permit "));
        let (permits, forbids) = (permits.join("\n"), forbids.join("\n"));
        let shipped = embedded().iter().copied().filter(|(path, _)| !path.ends_with(".cedar") && !path.starts_with("tests"));
        let files = Files::new(shipped.chain([("grant/all.cedar", permits.as_str()), ("guard/all.cedar", forbids.as_str())]));
        let snapshot = Snapshot::from_files(&files).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let set: PolicySet = text.parse().expect("policies");
        let (principal, resource) = (Principal::user("ada", &[], false), Resource::route("GET", "/demo/notes", "demo", "demo"));
        for facts in &asked {
            let question = Question { principal: &principal, action: "notes:list", resource: &resource, facts };
            let found = snapshot.decide(&question);
            let reasons: Vec<String> = found.policies.iter().map(ToString::to_string).collect();
            prop_assert_eq!((found.is_allowed(), reasons), plain(&set, facts), "{:?} under {}", facts, text);
            // The same parts, sent from outside over other facts of ours.
            let sent = json!({ "acr": facts.acr, "client": facts.client, "authAgeSeconds": facts.auth_age_secs,
                "scopes": facts.scopes.split(' ').filter(|s| !s.is_empty()).collect::<Vec<_>>() });
            let ours = Facts { acr: 0, auth_age_secs: 0, scopes: "", client: "", ..*facts };
            let wire = WireContext::new(&ours, sent.as_object());
            let outside = snapshot.decide_wire(&principal, "notes:list", None, &resource, &wire);
            prop_assert_eq!(&outside, &found, "{:?} under {}", facts, text);
        }
    }
}
