//! The scope index answers exactly as the plain authorizer on generated sets: many policies, every form of scope, `forbid`
//! over `permit`, clauses that err, entities that are missing.

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use stockade::policy::Index;

use super::corpora::facts_of;

const TYPES: [&str; 3] = ["User", "Group", "N::Doc"];

fn entity() -> impl Strategy<Value = String> {
    (0..TYPES.len(), 0..5_u8).prop_map(|(kind, id)| format!("{}::\"{id}\"", TYPES[kind]))
}

fn action() -> impl Strategy<Value = String> {
    (0..6_u8).prop_map(|id| format!("Action::\"{id}\""))
}

fn scope(name: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(name.to_owned()),
        2 => entity().prop_map(move |uid| format!("{name} == {uid}")),
        3 => entity().prop_map(move |uid| format!("{name} in {uid}")),
        1 => (0..TYPES.len()).prop_map(move |kind| format!("{name} is {}", TYPES[kind])),
        2 => (0..TYPES.len(), entity()).prop_map(move |(kind, uid)| format!("{name} is {} in {uid}", TYPES[kind])),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let action = prop_oneof![
        1 => Just("action".to_owned()),
        2 => action().prop_map(|uid| format!("action == {uid}")),
        1 => action().prop_map(|uid| format!("action in {uid}")),
        2 => prop::collection::vec(action(), 0..4).prop_map(|uids| format!("action in [{}]", uids.join(", "))),
    ];
    let clause = prop_oneof![
        3 => Just(String::new()),
        1 => Just(" when { context.on }".to_owned()),
        1 => Just(" unless { context.on }".to_owned()),
        1 => Just(" when { principal.level > 2 }".to_owned()),
        1 => Just(" when { resource.level > 2 && principal in resource }".to_owned()),
        1 => Just(" when { context.missing == 1 }".to_owned()),
        1 => entity().prop_map(|uid| format!(" unless {{ resource in {uid} }}")),
    ];
    (prop::bool::weighted(0.7), scope("principal"), action, scope("resource"), clause).prop_map(
        |(permit, principal, action, resource, clause)| {
            format!("{} ({principal}, {action}, {resource}){clause};", if permit { "permit" } else { "forbid" })
        },
    )
}

/// Entities whose parents come later in the list, so that there is no cycle; some are missing altogether.
fn entities() -> impl Strategy<Value = Value> {
    let one = (prop::bool::weighted(0.8), prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..6_i64);
    (prop::collection::vec(one, 15), prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 6)).prop_map(
        |(rows, actions)| {
            let name = |at: usize| json!({ "type": TYPES[at % 3], "id": (at / 3).to_string() });
            let mut all = Vec::new();
            for (at, (there, parents, level)) in rows.iter().enumerate() {
                if !there || at == 14 {
                    continue;
                }
                let parents: Vec<Value> = parents.iter().map(|up| name(at + 1 + up.index(14 - at))).collect();
                let attrs = if *level == 0 { json!({}) } else { json!({ "level": level }) };
                all.push(json!({ "uid": name(at), "attrs": attrs, "parents": parents }));
            }
            for (at, (grouped, up)) in actions.iter().enumerate().take(5) {
                let up = json!({ "type": "Action", "id": (at + 1 + up.index(5 - at)).to_string() });
                let parents = if *grouped { vec![up] } else { vec![] };
                all.push(json!({ "uid": { "type": "Action", "id": at.to_string() }, "attrs": {}, "parents": parents }));
            }
            Value::Array(all)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_equals_the_plain_authorizer_on_generated_sets(
        policies in prop::collection::vec(policy(), 1..40),
        entities in entities(),
        requests in prop::collection::vec((entity(), action(), entity(), any::<bool>()), 1..12),
    ) {
        let mut set = PolicySet::new();
        for (number, text) in policies.iter().enumerate() {
            let policy = cedar_policy::Policy::parse(Some(PolicyId::new(format!("p{number}"))), text);
            set.add(policy.unwrap_or_else(|e| panic!("{text}: {e}"))).expect("ids are unique");
        }
        let entities = Entities::from_json_value(entities, None).expect("entities without a cycle");
        let index = Index::new(&set);
        prop_assert_eq!(index.len(), policies.len());
        for (principal, action, resource, on) in requests {
            let uid = |text: String| text.parse::<EntityUid>().expect("an entity");
            let context = Context::from_json_value(json!({ "on": on }), None).expect("a context");
            let request = Request::new(uid(principal), uid(action), uid(resource), context, None).expect("a request");
            let plain = Authorizer::new().is_authorized(&request, &set, &entities);
            let slice = index.slice_of(&request, &entities).expect("a whole request");
            let sliced = Authorizer::new().is_authorized(&request, &slice, &entities);
            prop_assert_eq!(facts_of(&plain), facts_of(&sliced), "{} of {:?}", request, policies);
            // And it is tight: what it kept, every scope matches.
            for policy in slice.policies() {
                let text = policy.to_cedar().expect("static");
                let scope = text.split_once(')').map_or(text.clone(), |(scope, _)| format!("{scope});"));
                let alone: PolicySet = scope.replacen("forbid", "permit", 1).parse().expect("a scope");
                let found = Authorizer::new().is_authorized(&request, &alone, &entities);
                prop_assert_eq!(found.decision(), cedar_policy::Decision::Allow, "{} was kept for {}", text, request);
            }
        }
    }
}
