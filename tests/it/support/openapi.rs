//! What is sent and answered, held against the document that describes it.

use std::sync::LazyLock;

use http::Method;
use serde_json::{Map, Value};

/// The document of any deployment.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| stockade::app::openapi::of("https://auth.example"));

/// The operation that takes this call.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let parts: Vec<_> = path.split('?').next().unwrap_or_default().split('/').collect();
    let takes = |template: &str| {
        let names: Vec<_> = template.split('/').collect();
        names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    // A fixed path goes before one with names.
    let found =
        paths.iter().filter(|(template, _)| takes(template)).min_by_key(|(template, _)| template.matches('{').count());
    found?.1.get(method.as_str().to_ascii_lowercase())
}

/// Fails unless a call that succeeded is what the document says: its body, its status, its answer.
pub(crate) fn hold(method: &Method, path: &str, sent: Option<&Value>, status: u16, answer: &Value) {
    let operation = operation(method, path).unwrap_or_else(|| panic!("the document has no {method} {path}"));
    let told = &operation["responses"][status.to_string()];
    assert!(told.is_object(), "the document has no {status} of {method} {path}");
    let schema =
        |of: &'static Value| of["content"].as_object().and_then(|all| all.values().next()).map(|one| &one["schema"]);
    if let Some(schema) = schema(told) {
        fits(schema, answer, &format!("answer of {method} {path}"));
    }
    match (schema(&operation["requestBody"]), sent) {
        (Some(schema), Some(sent)) => fits(schema, sent, &format!("body of {method} {path}")),
        (None, Some(Value::Object(sent))) => assert!(sent.is_empty(), "{method} {path} takes no body: {sent:?}"),
        _ => {}
    }
}

/// As much of JSON Schema as the document uses. A member that no schema names fails, wherever it stands.
fn fits(schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = name.strip_prefix('#').and_then(|pointer| DOCUMENT.pointer(pointer));
        return fits(target.unwrap_or_else(|| panic!("{place}: {name} leads nowhere")), value, place);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fitting = any.iter().find(|one| (one["type"] == "null") == value.is_null());
        return fits(fitting.unwrap_or_else(|| panic!("{place}: {value} fits none")), value, place);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{place}: no type {other}"),
    };
    assert!(types.is_empty() || types.iter().any(is), "{place}: {value} is none of {types:?}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{place}: {value} is none of {allowed:?}");
    }
    if let Some(items) = schema.get("items") {
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            fits(items, item, &format!("{place}/{at}"));
        }
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        members_fit(schema, properties, members, place);
    }
}

fn members_fit(schema: &Value, properties: &Map<String, Value>, members: &Map<String, Value>, place: &str) {
    for (name, value) in members {
        let Some(property) = properties.get(name) else {
            assert_eq!(schema["additionalProperties"], true, "{place}: `{name}` is not in the document");
            continue;
        };
        fits(property, value, &format!("{place}/{name}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(members.contains_key(name), "{place}: `{name}` is missing");
    }
}
