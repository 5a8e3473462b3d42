//! JSON objects in which every name stands once. Two values under one name would mean one thing to us and another to
//! whoever else reads the request.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// The object that `bytes` hold, the whole of them. Nesting is bounded by the parser (128 levels).
pub(super) fn object(bytes: &[u8]) -> Result<Object, String> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Once.deserialize(&mut parser).map_err(|e| format!("the body is not JSON: {e}"))?;
    parser.end().map_err(|e| format!("the body is not JSON: {e}"))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("the body must be a JSON object".to_owned()),
    }
}

/// Reads a value, and refuses repeated names.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Once)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = entries.next_key_seed(Name)? {
            let value = entries.next_value_seed(Once)?;
            if all.contains_key(&name) {
                return Err(A::Error::custom(format!("the name `{name}` is repeated")));
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_and_nothing_else_is() {
        let text = r#"{"a":[1,-2,3.5,null,true,{"b":"é"}],"c":{}}"#;
        let read = object(text.as_bytes()).expect("is one");
        assert_eq!(Value::Object(read).to_string(), text);
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        for broken in ["", "{", "[]", "1", "null", "\"x\"", "{} {}", "{'a':1}", "{\"a\":1,}", &deep] {
            assert!(object(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn a_repeated_name_is_refused_at_any_depth() {
        for twice in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(object(twice.as_bytes()).expect_err("is broken").contains("repeated"), "{twice}");
        }
    }
}
