//! What others say in a token, as policies see it: a set of texts.

use serde_json::{Map, Value};

/// Most texts that are made of a token's claims.
const MOST: usize = 128;
/// A longer one is left out.
const LONGEST: usize = 512;
/// Deeper ones are left out.
const DEEPEST: usize = 4;

/// What a policy sees of a token of others beside the facts: `subject`, and `claims` with "name=value" of each text, number and
/// boolean in it; names of nested ones are joined by dots, and there is one for each item of a list.
pub fn context(subject: &str, claims: &Map<String, Value>) -> Map<String, Value> {
    let mut texts = Vec::new();
    for (name, value) in claims {
        flatten(name, value, 0, &mut texts);
    }
    Map::from_iter([("subject".to_owned(), subject.into()), ("claims".to_owned(), texts.into())])
}

fn flatten(name: &str, value: &Value, depth: usize, out: &mut Vec<Value>) {
    let text = match value {
        Value::String(text) => format!("{name}={text}"),
        Value::Number(number) => format!("{name}={number}"),
        Value::Bool(flag) => format!("{name}={flag}"),
        Value::Array(items) if depth < DEEPEST => {
            return items.iter().for_each(|item| flatten(name, item, depth + 1, out));
        }
        Value::Object(members) if depth < DEEPEST => {
            return members
                .iter()
                .for_each(|(inner, value)| flatten(&format!("{name}.{inner}"), value, depth + 1, out));
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return,
    };
    if out.len() < MOST && text.len() <= LONGEST {
        out.push(text.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_become_texts_however_deep_they_stand_and_however_many_there_are() {
        let claims = json!({
            "sub": "repo:acme/api", "ref_protected": true, "run": 7, "none": null, "groups": ["a", "b"],
            "kubernetes.io": { "namespace": "prod", "pod": { "name": "x" } }, "long": "x".repeat(600),
        });
        let context = context("s", claims.as_object().unwrap());
        assert_eq!(context["subject"], "s");
        let mut said: Vec<&str> = context["claims"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                "groups=a",
                "groups=b",
                "kubernetes.io.namespace=prod",
                "kubernetes.io.pod.name=x",
                "ref_protected=true",
                "run=7",
                "sub=repo:acme/api"
            ]
        );
        let many = Map::from_iter((0..1000).map(|i| (format!("c{i}"), json!(i))));
        assert_eq!(super::context("s", &many)["claims"].as_array().unwrap().len(), MOST);
    }
}
