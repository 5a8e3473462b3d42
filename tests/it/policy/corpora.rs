//! The scope index answers exactly as the plain authorizer on the Cedar project's own test data.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityUid, PolicyId, PolicySet, Request, Response,
    Schema, SlotId,
};
use serde_json::Value;
use stockade::base::{SeededRng, rng};
use stockade::policy::Index;

use crate::support::skip;

fn corpus(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the environment of the test run, not of the product")]
    let root = std::env::var_os("STOCKADE_CORPORA").map(PathBuf::from);
    match root {
        Some(root) => Some(root.join("cedar").join(name)),
        None => {
            skip("STOCKADE_CORPORA does not name the corpora");
            None
        }
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn schema(path: &Path) -> Schema {
    Schema::from_cedarschema_str(&text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display())).0
}

/// Policies renamed by their `@id`, as the Cedar command line does, and the links of a file.
fn policies(path: &Path, links: Option<&Path>) -> PolicySet {
    let parsed: PolicySet = text(path).parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut set = PolicySet::new();
    for policy in parsed.policies() {
        let id = policy.annotation("id").map_or_else(|| policy.id().clone(), PolicyId::new);
        set.add(policy.new_id(id)).expect("ids are unique");
    }
    for template in parsed.templates() {
        let id = template.annotation("id").map_or_else(|| template.id().clone(), PolicyId::new);
        set.add_template(template.new_id(id)).expect("ids are unique");
    }
    for link in links.map(json).iter().flat_map(|links| links.as_array().expect("an array")) {
        let slot = |name: &str, slot: SlotId| {
            link["args"]
                .get(name)
                .map(|uid| (slot, uid.as_str().expect("text").parse::<EntityUid>().expect("an entity")))
        };
        let values: HashMap<_, _> =
            slot("?principal", SlotId::principal()).into_iter().chain(slot("?resource", SlotId::resource())).collect();
        let name = |key: &str| PolicyId::new(link[key].as_str().expect("text"));
        set.link(name("template_id"), name("link_id"), values).expect("links");
    }
    set
}

fn ids<'a>(ids: impl Iterator<Item = &'a PolicyId>) -> BTreeSet<String> {
    ids.map(ToString::to_string).collect()
}

/// Decision, reasons, and errors with their texts.
pub(super) fn facts_of(response: &Response) -> (Decision, BTreeSet<String>, BTreeSet<String>) {
    let diagnostics = response.diagnostics();
    let errors = diagnostics.errors().map(ToString::to_string).collect();
    (response.decision(), ids(diagnostics.reason()), errors)
}

/// The answer through the index, after it was found equal to the plain one.
fn answer(request: &Request, set: &PolicySet, index: &Index, entities: &Entities) -> Response {
    let plain = Authorizer::new().is_authorized(request, set, entities);
    let slice = index.slice_of(request, entities).expect("a whole request");
    let sliced = Authorizer::new().is_authorized(request, &slice, entities);
    assert_eq!(facts_of(&plain), facts_of(&sliced), "{request}");
    sliced
}

fn uid(value: &Value) -> EntityUid {
    match value {
        Value::String(text) => text.parse().expect("an entity"),
        value => EntityUid::from_json(value.clone()).expect("an entity"),
    }
}

fn request(value: &Value, schema: Option<&Schema>) -> Request {
    let action = uid(&value["action"]);
    let context = match &value["context"] {
        Value::Null => Context::empty(),
        context => {
            Context::from_json_value(context.clone(), schema.map(|schema| (schema, &action))).expect("a context")
        }
    };
    Request::new(uid(&value["principal"]), action, uid(&value["resource"]), context, schema).expect("a request")
}

#[test]
fn the_index_equals_the_plain_authorizer_on_the_integration_tests() {
    let Some(root) = corpus("integration-tests") else { return };
    let mut requests = 0;
    let mut merged: HashMap<(String, String), (Vec<PathBuf>, Vec<Value>)> = HashMap::new();
    for dir in std::fs::read_dir(root.join("tests")).expect("a directory").flatten() {
        for file in std::fs::read_dir(dir.path()).expect("a directory").flatten().map(|file| file.path()) {
            if file.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let case = json(&file);
            let part = |name: &str| root.join(case[name].as_str().expect("a path"));
            let schema = schema(&part("schema"));
            let entities = Entities::from_json_str(&text(&part("entities")), Some(&schema)).expect("entities");
            // Cedar's own names here are positions, so nothing is renamed.
            let set: PolicySet = text(&part("policies")).parse().expect("policies");
            let index = Index::new(&set);
            for value in case["requests"].as_array().expect("an array") {
                let found = answer(&request(value, Some(&schema)), &set, &index, &entities);
                let allowed = value["decision"] == "allow";
                assert_eq!(found.decision() == Decision::Allow, allowed, "{}: {value}", file.display());
                let expected: BTreeSet<String> = value["reason"]
                    .as_array()
                    .expect("an array")
                    .iter()
                    .map(|id| id.as_str().expect("text").to_owned())
                    .collect();
                assert_eq!(ids(found.diagnostics().reason()), expected, "{}: {value}", file.display());
                let errors = value["errors"].as_array().expect("an array").len();
                assert_eq!(found.diagnostics().errors().count(), errors, "{}: {value}", file.display());
                requests += 1;
            }
            let key = (case["schema"].to_string(), case["entities"].to_string());
            let (files, values) = merged.entry(key).or_default();
            files.push(part("policies"));
            values.extend(case["requests"].as_array().expect("an array").iter().cloned());
        }
    }
    assert_eq!(requests, 74, "the corpus holds 74 requests");

    // The same requests against every policy of their schema at once.
    let mut policies = 0;
    for ((schema_path, entities_path), (files, values)) in merged {
        let unquoted = |path: &str| root.join(path.trim_matches('"'));
        let schema = schema(&unquoted(&schema_path));
        let entities = Entities::from_json_str(&text(&unquoted(&entities_path)), Some(&schema)).expect("entities");
        let mut set = PolicySet::new();
        for (number, file) in files.iter().enumerate() {
            let parsed: PolicySet = text(file).parse().expect("policies");
            for policy in parsed.policies() {
                set.add(policy.new_id(PolicyId::new(format!("{number}.{}", policy.id())))).expect("unique");
            }
        }
        policies += set.num_of_policies();
        let index = Index::new(&set);
        for value in &values {
            answer(&request(value, Some(&schema)), &set, &index, &entities);
        }
    }
    assert_eq!(policies, 30, "the corpus holds 30 policies");
}

#[test]
fn the_index_equals_the_plain_authorizer_on_the_examples_and_their_templates() {
    let Some(root) = corpus("examples") else { return };
    let cases = root.join("cedar-example-use-cases");
    let actions = root.join("cedar-policy-language-in-action");
    let mut sets: Vec<(PathBuf, String, String, String)> = Vec::new();
    for name in ["document_cloud", "github_example", "streaming_service", "tags_n_roles", "tax_preparer"] {
        sets.push((cases.join(name), "policies.cedar".into(), "entities.json".into(), "policies.cedarschema".into()));
    }
    for name in ["hotel_chains", "sales_orgs"] {
        for kind in ["static", "templated"] {
            let dir = cases.join(name).join(kind);
            sets.push((dir, "policies.cedar".into(), "entities.json".into(), "policies.cedarschema".into()));
        }
    }
    for (dir, name) in [("GitApp", "gitapp"), ("PhotoApp", "photoapp")] {
        let file = |end: &str| format!("{name}.{end}");
        sets.push((actions.join(dir), file("cedar"), file("cedarentities.json"), file("cedarschema")));
    }
    let (mut allowed, mut denied) = (0, 0);
    for (dir, policy_file, entity_file, schema_file) in sets {
        let schema = schema(&dir.join(schema_file));
        let links = Some(dir.join("linked")).filter(|links| links.exists());
        let set = policies(&dir.join(policy_file), links.as_deref());
        let entities = text(&dir.join(entity_file));
        // The rows of document_cloud do not fit its own schema; the Cedar command line takes them unchecked.
        let entities = Entities::from_json_str(&entities, Some(&schema)).unwrap_or_else(|_| {
            let actions = schema.action_entities().expect("actions").iter().cloned().collect::<Vec<_>>();
            let rows = Entities::from_json_str(&entities, None).expect("entities");
            rows.upsert_entities(actions, None).expect("entities")
        });
        let index = Index::new(&set);
        for (folder, expected, count) in
            [("ALLOW", Decision::Allow, &mut allowed), ("DENY", Decision::Deny, &mut denied)]
        {
            for file in std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
                let found = answer(&request(&json(&file.path()), Some(&schema)), &set, &index, &entities);
                assert_eq!(found.decision(), expected, "{}", file.path().display());
                *count += 1;
            }
        }
    }
    assert_eq!((allowed, denied), (49, 23), "the corpus holds 49 queries that are allowed and 23 that are denied");
}

/// One of `list`, by a number that a seeded generator gave.
fn one<'a, T>(list: &'a [T], random: &SeededRng) -> &'a T {
    let number = u32::from_le_bytes(rng::bytes::<4>(random));
    &list[usize::try_from(number).expect("fits") % list.len()]
}

#[test]
fn the_index_equals_the_plain_authorizer_on_the_policy_sets_of_the_cedar_paper() {
    let Some(root) = corpus("examples/oopsla2024-benchmarks/benches") else { return };
    let sets = [
        ("gdrive", "policies.cedar", "gdrive"),
        ("gdrive-templates", "policies.cedar", "gdrive-templates"),
        ("github", "policies.cedar", "github"),
        ("github-templates", "policies.cedar", "github-templates"),
        ("tinytodo", "tinytodo.cedar", "tinytodo"),
    ];
    for (seed, (name, file, schema)) in (1..).zip(sets) {
        let random = SeededRng::new(seed);
        let dir = root.join(name).join("cedar");
        let schema = Schema::from_json_str(&text(&dir.join(format!("{schema}.cedarschema.json")))).expect("a schema");
        // Six entities of each type, each below some of those that come later in the list.
        let uids: Vec<EntityUid> = (0..6)
            .flat_map(|id| schema.entity_types().map(move |kind| (kind.clone(), id)).collect::<Vec<_>>())
            .map(|(kind, id)| EntityUid::from_type_name_and_id(kind, EntityId::new(format!("{id}"))))
            .collect();
        let mut rows: Vec<Entity> = schema.action_entities().expect("actions").iter().cloned().collect();
        for (at, uid) in uids.iter().enumerate() {
            let above = &uids[(at + 1).min(uids.len())..];
            let parents = (0..3).filter(|_| !above.is_empty()).map(|_| one(above, &random).clone()).collect();
            rows.push(Entity::new_no_attrs(uid.clone(), parents));
        }
        let entities = Entities::from_entities(rows, None).expect("entities");
        let mut set = policies(&dir.join(file), None);
        let templates: Vec<_> =
            set.templates().map(|t| (t.id().clone(), t.slots().cloned().collect::<Vec<_>>())).collect();
        for (template, slots) in &templates {
            for number in 0..20 {
                let values = slots.iter().map(|slot| (slot.clone(), one(&uids, &random).clone())).collect();
                set.link(template.clone(), PolicyId::new(format!("{template}.{number}")), values).expect("links");
            }
        }
        let index = Index::new(&set);
        let actions: Vec<EntityUid> = schema.actions().cloned().collect();
        let mut kept = 0;
        for _ in 0..400 {
            let pick = |list: &[EntityUid]| one(list, &random).clone();
            let request = Request::new(pick(&uids), pick(&actions), pick(&uids), Context::empty(), None);
            let request = request.expect("a request");
            answer(&request, &set, &index, &entities);
            kept += index.slice_of(&request, &entities).expect("a whole request").num_of_policies();
        }
        assert!(kept > 0 && kept < 400 * set.num_of_policies(), "{name}: the slices hold some and not all");
    }
}
