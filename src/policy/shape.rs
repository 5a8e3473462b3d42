//! Which attributes the schema declares: requests may carry more, and what is not declared is ignored.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Attribute names of one entity type or context, and whether each is a `decimal`.
pub(crate) type Shape = HashMap<String, bool>;

/// The shapes of a schema: of entity types by full name, of contexts by action id.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    pub(crate) entities: HashMap<String, Shape>,
    pub(crate) contexts: HashMap<String, Shape>,
    /// Of `context.action`, by action id, where there is one.
    pub(crate) properties: HashMap<String, Shape>,
}

impl Shapes {
    /// From the JSON form of every fragment.
    pub(crate) fn of(fragments: &[Value]) -> Self {
        let mut common = HashMap::new();
        let spaces = || fragments.iter().filter_map(Value::as_object).flatten();
        for (space, body) in spaces() {
            for (name, kind) in members(body, "commonTypes") {
                common.insert(full(space, name), (space.as_str(), kind));
            }
        }
        let mut shapes = Self::default();
        for (space, body) in spaces() {
            for (name, kind) in members(body, "entityTypes") {
                let shape = kind.get("shape").map(|shape| record(shape, space, &common, 0)).unwrap_or_default();
                shapes.entities.insert(full(space, name), shape);
            }
            for (name, action) in members(body, "actions") {
                let context = action.pointer("/appliesTo/context");
                let shape = context.map(|context| record(context, space, &common, 0)).unwrap_or_default();
                shapes.contexts.insert(name.clone(), shape);
                let inner = context.and_then(|context| attribute(context, "action", space, &common, 0));
                shapes.properties.extend(inner.map(|inner| (name.clone(), inner)));
            }
        }
        shapes
    }
}

fn members<'a>(body: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    body.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn full(space: &str, name: &str) -> String {
    if space.is_empty() { name.to_owned() } else { format!("{space}::{name}") }
}

/// The common type that a type expression names, seen from a namespace.
fn target<'a>(
    kind: &'a Value,
    space: &str,
    common: &HashMap<String, (&'a str, &'a Value)>,
) -> Option<(&'a str, &'a Value)> {
    let name = match kind.get("type")?.as_str()? {
        "EntityOrCommon" => kind.get("name")?.as_str()?,
        "Record" | "Set" | "Entity" | "Extension" | "String" | "Long" | "Boolean" => return None,
        name => name,
    };
    common.get(&full(space, name)).or_else(|| common.get(name)).copied()
}

fn record(kind: &Value, space: &str, common: &HashMap<String, (&str, &Value)>, depth: usize) -> Shape {
    if depth > 16 {
        return Shape::new();
    }
    if let Some((space, kind)) = target(kind, space, common) {
        return record(kind, space, common, depth + 1);
    }
    let attributes = kind.get("attributes").and_then(Value::as_object).into_iter().flat_map(Map::iter);
    attributes.map(|(name, kind)| (name.clone(), is_decimal(kind, space, common, 0))).collect()
}

/// The shape of one attribute of a record, when it is a record itself.
fn attribute(
    kind: &Value,
    name: &str,
    space: &str,
    common: &HashMap<String, (&str, &Value)>,
    depth: usize,
) -> Option<Shape> {
    if let Some((space, kind)) = target(kind, space, common).filter(|_| depth < 16) {
        return attribute(kind, name, space, common, depth + 1);
    }
    kind.get("attributes")?.get(name).map(|inner| record(inner, space, common, 0))
}

fn is_decimal(kind: &Value, space: &str, common: &HashMap<String, (&str, &Value)>, depth: usize) -> bool {
    match target(kind, space, common) {
        Some((space, kind)) if depth < 16 => is_decimal(kind, space, common, depth + 1),
        _ => matches!(kind.get("name").and_then(Value::as_str), Some("decimal" | "__cedar::decimal")),
    }
}

/// What a request sent, as Cedar's JSON takes it: only what `shape` declares, `null` as absent, numbers with a fraction
/// as text where a `decimal` is wanted.
pub(crate) fn declared(sent: &Map<String, Value>, shape: &Shape) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in sent {
        let Some(decimal) = shape.get(name) else { continue };
        let value = match value {
            Value::Null => continue,
            Value::Number(number) if *decimal => match number.as_f64() {
                Some(number) => Value::String(format!("{number:.4}")),
                None => value.clone(),
            },
            _ => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_follow_common_types_across_namespaces() {
        let text = r#"
            namespace A { type Base = { x: Long, d: decimal }; entity E { x: Long, d: decimal }; }
            namespace B {
                type Alias = A::Base;
                entity F { only: String };
                action "go" appliesTo { principal: [F], resource: [A::E], context: Alias };
                action "soft" appliesTo { principal: [F], resource: [A::E], context: { action?: Alias } };
            }"#;
        let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(text).expect("parses");
        let shapes = Shapes::of(&[fragment.to_json_value().expect("is JSON")]);
        assert_eq!(shapes.entities["A::E"], Shape::from([("x".to_owned(), false), ("d".to_owned(), true)]));
        assert_eq!(shapes.entities["B::F"], Shape::from([("only".to_owned(), false)]));
        assert_eq!(shapes.contexts["go"], shapes.entities["A::E"]);
        assert_eq!(shapes.properties["soft"], shapes.entities["A::E"]);
        assert!(!shapes.properties.contains_key("go"));
    }

    #[test]
    fn what_is_not_declared_is_ignored_and_null_is_absent() {
        let shape = Shape::from([("a".to_owned(), false), ("d".to_owned(), true), ("n".to_owned(), false)]);
        let sent = serde_json::json!({ "a": 1, "d": 1.5, "n": null, "other": true });
        let kept = declared(sent.as_object().expect("an object"), &shape);
        assert_eq!(Value::Object(kept), serde_json::json!({ "a": 1, "d": "1.5000" }));
    }
}
