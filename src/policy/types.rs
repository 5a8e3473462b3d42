//! `types.toml`: AuthZEN's wire types as Cedar entity types, and where their attributes come from.

use std::collections::HashMap;
use std::str::FromStr;

use cedar_policy::{EntityTypeName, Schema};
use serde::Deserialize;

use super::problem::Problem;

/// Where the attributes of an entity named on the wire come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From `entities.json` alone; without a row the entity is unknown.
    Stored,
    /// The row with the request's properties laid over it; without a row the entity is unknown.
    Overlay,
    /// From the request's properties; needs no row.
    Supplied,
}

/// One wire type.
#[derive(Clone, Debug)]
pub struct WireType {
    pub(crate) entity: EntityTypeName,
    /// The entity type as text.
    pub(crate) name: String,
    /// Where its attributes come from.
    pub source: Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "type")]
    types: Vec<toml::Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    wire: String,
    entity: String,
    source: Source,
}

pub(crate) type WireTypes = HashMap<String, WireType>;

pub(crate) fn parse(file: &str, text: &str, schema: Option<&Schema>, problems: &mut Vec<Problem>) -> WireTypes {
    let parsed: File = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(e) => {
            let offset = e.span().map_or(0, |span| span.start);
            problems.push(Problem::at(file, text, offset, e.message().trim_end().to_owned()));
            return WireTypes::new();
        }
    };
    let mut types = WireTypes::new();
    for row in parsed.types {
        let offset = row.span().start;
        let row = row.into_inner();
        let mut wrong = |message: String| problems.push(Problem::at(file, text, offset, message));
        let Ok(entity) = EntityTypeName::from_str(&row.entity) else {
            wrong(format!("type `{}`: `{}` is no Cedar entity type", row.wire, row.entity));
            continue;
        };
        if schema.is_some_and(|schema| !schema.entity_types().any(|known| *known == entity)) {
            wrong(format!("type `{}`: the schema has no entity type `{entity}`; declare it", row.wire));
            continue;
        }
        if types.insert(row.wire.clone(), WireType { name: entity.to_string(), entity, source: row.source }).is_some() {
            wrong(format!("type `{}` is declared twice; remove one", row.wire));
        }
    }
    types
}
