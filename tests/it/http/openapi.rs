//! The document and the tables of routes that it is made of.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::openapi::DOCUMENT;

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    for reference in &found {
        let target = reference.strip_prefix('#').and_then(|pointer| DOCUMENT.pointer(pointer));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    for name in DOCUMENT["components"]["schemas"].as_object().expect("schemas").keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}")), "nothing uses the schema {name}");
    }
    for room in stockade::app::openapi::rooms() {
        let schemas: Value = serde_json::from_str(room.schemas).expect("JSON");
        assert!(schemas.is_object());
        let names = room.operations.iter().map(|operation| operation.action);
        assert!(names.clone().count() > 0 && names.into_iter().all(|action| action.contains(':')));
    }
}

#[test]
fn every_call_has_a_name_of_its_own_a_guard_and_its_refusals() {
    let mut names = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item").iter().filter(|(name, _)| *name != "parameters") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            if path == "/api/openapi.json" {
                continue;
            }
            assert!(operation["security"][0]["oauth2"][0].is_string(), "{method} {path}");
            for status in ["401", "403", "429", "503", "default"] {
                assert_eq!(operation["responses"][status]["$ref"], "#/components/responses/Problem", "{method} {path}");
            }
            let given = item["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(given, path.matches('{').count(), "{path}");
        }
    }
    assert!(names.len() > 25, "{names:?}");
}

/// A route of the management API that is made without the table is in no document.
#[test]
fn nothing_below_api_is_routed_but_by_the_tables() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![src];
    let mut looked_at = 0;
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            looked_at += 1;
            let routed = text.split(".route(").skip(1).map(|rest| rest.trim_start().trim_start_matches("&format!("));
            for rest in routed.filter(|rest| rest.starts_with("\"/api/")) {
                let own = path.ends_with("app/openapi.rs") && rest.starts_with("\"/api/openapi.json\"");
                let line = rest.lines().next().unwrap_or_default();
                assert!(own, "{}: `{line}` is not in /api/openapi.json: use `http::routes::Routes`", path.display());
            }
        }
    }
    assert!(looked_at > 100);
}
