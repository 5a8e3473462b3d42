//! Entities that arrive by name: on the wire of AuthZEN, on the command line, in the tests of a policy tree.

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{Context, Entity, EntityId, EntityUid};
use serde_json::{Map, Value, json};

use super::decide::Given;
use super::entity::{self, Node, Principal, Resource};
use super::facts::Facts;
use super::shape::declared;
use super::snapshot::Snapshot;
use super::types::Source;
use crate::model::{Decision, DenyReason};

/// What the context of AuthZEN never overrides: the world as we see it.
const OURS: [&str; 3] = ["now", "risk", "budgetLeftBp"];

/// The context of a request from outside, ready for any number of decisions.
#[derive(Debug)]
pub struct WireContext<'a> {
    facts: Facts<'a>,
    sent: Option<&'a Map<String, Value>>,
}

/// A context made ready: [`Snapshot::prepare`].
#[derive(Clone, Debug)]
pub struct Prepared<'a>(Result<Given<'a>, DenyReason>);

impl<'a> WireContext<'a> {
    /// `sent` is laid over the facts, as far as the action's context declares it; the time, the risk and the error
    /// budget stay ours.
    pub fn new(facts: &Facts<'a>, sent: Option<&'a Map<String, Value>>) -> Self {
        Self { facts: *facts, sent }
    }
}

impl Snapshot {
    /// The subject of a request from outside. Unknown when `types.toml` does not name its type, or wants a row and
    /// `entities.json` has none.
    ///
    /// # Errors
    /// [`DenyReason::InvalidRequest`] when the properties do not fit the schema.
    pub fn subject(
        &self,
        kind: &str,
        id: &str,
        properties: Option<&Map<String, Value>>,
    ) -> Result<Principal, DenyReason> {
        self.wire_node(kind, id, properties).map(Principal)
    }

    /// The resource of a request from outside, as [`Snapshot::subject`].
    ///
    /// # Errors
    /// [`DenyReason::InvalidRequest`] when the properties do not fit the schema.
    pub fn object(
        &self,
        kind: &str,
        id: &str,
        properties: Option<&Map<String, Value>>,
    ) -> Result<Resource, DenyReason> {
        self.wire_node(kind, id, properties).map(Resource)
    }

    fn wire_node(
        &self,
        kind: &str,
        id: &str,
        properties: Option<&Map<String, Value>>,
    ) -> Result<Arc<Node>, DenyReason> {
        self.things.get((kind, id), properties, |keep| match self.wire_entity(kind, id, properties)? {
            None => Ok(Principal::unknown("Unknown", id).0),
            Some((_, Found::Built(entity))) => Ok(Node::made_by(self.serial, entity, keep)),
            Some((uid, Found::Row)) => {
                Ok(self.rows.get(&uid).map_or_else(|| Principal::of(uid, None, false).0, Arc::clone))
            }
        })
    }

    /// Decides a request from outside. `action_properties` stand under `context.action`.
    pub fn decide_wire(
        &self,
        principal: &Principal,
        action: &str,
        action_properties: Option<&Map<String, Value>>,
        resource: &Resource,
        context: &WireContext<'_>,
    ) -> Decision {
        let prepared = self.prepare(action, action_properties, context);
        self.decide_prepared(principal, action, resource, &prepared)
    }

    /// A context made ready for any number of decisions about `action` under this snapshot.
    pub fn prepare<'a>(
        &self,
        action: &str,
        action_properties: Option<&Map<String, Value>>,
        context: &WireContext<'a>,
    ) -> Prepared<'a> {
        Prepared(self.wire_context(action, action_properties, context))
    }

    /// Decides with a context that this snapshot has made ready for this action.
    pub fn decide_prepared(
        &self,
        principal: &Principal,
        action: &str,
        resource: &Resource,
        context: &Prepared<'_>,
    ) -> Decision {
        // What is not known is the better answer than what does not fit.
        let unknown = match (&principal.0.entity, &resource.0.entity) {
            (None, _) => Some(DenyReason::UnknownPrincipal),
            (_, None) => Some(DenyReason::UnknownResource),
            (Some(_), Some(_)) => None,
        };
        match (&context.0, unknown) {
            (Ok(given), None) => self.decide_given(principal, action, resource, given.clone()),
            (_, Some(reason)) => Decision::deny(reason, self.digest().clone()),
            (Err(reason), None) => Decision::deny(*reason, self.digest().clone()),
        }
    }

    /// A row of `entities.json`, or an entity built on the spot: for the command line and the tests of a tree.
    /// Attributes given here are laid over the row's, or over those that an untroubled entity of a core type has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn spelled(
        &self,
        uid: &EntityUid,
        attributes: &Map<String, Value>,
        parents: &[EntityUid],
    ) -> Result<Entity, String> {
        let row = self.rows.get(uid).and_then(|row| row.entity.as_ref());
        if attributes.is_empty()
            && parents.is_empty()
            && let Some(row) = row
        {
            return Ok(row.clone());
        }
        let mut all = match uid.type_name().to_string().as_str() {
            "Stockade::Client" => json!({
                "disabled": false, "confidential": true, "scopes": [], "resources": [], "serves": [],
                "grants": ["client_credentials"],
            }),
            "Stockade::User" => json!({ "disabled": false }),
            _ => json!({}),
        };
        let mut above: Vec<EntityUid> = parents.to_vec();
        if let Some(row) = row {
            let stored = row.to_json_value().map_err(|e| e.to_string())?;
            if let Some(stored) = stored.get("attrs") {
                all = stored.clone();
            }
            above.extend(self.ancestors(uid));
        }
        if let Some(all) = all.as_object_mut() {
            all.extend(attributes.clone());
        }
        self.parsed(uid, all, &above)
    }

    fn parsed(&self, uid: &EntityUid, attributes: Value, parents: &[EntityUid]) -> Result<Entity, String> {
        let name = |uid: &EntityUid| json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() });
        let parents: Vec<Value> = parents.iter().map(name).collect();
        let json = json!({ "uid": name(uid), "attrs": attributes, "parents": parents });
        Entity::from_json_value(json, Some(&self.schema)).map_err(|e| {
            let mut message = e.to_string();
            let mut source = std::error::Error::source(&e);
            while let Some(inner) = source {
                message = format!("{message}: {inner}");
                source = inner.source();
            }
            message
        })
    }

    fn wire_entity(
        &self,
        kind: &str,
        id: &str,
        properties: Option<&Map<String, Value>>,
    ) -> Result<Option<(EntityUid, Found)>, DenyReason> {
        let Some(wire) = self.wire.get(kind) else { return Ok(None) };
        let uid = EntityUid::from_type_name_and_id(wire.entity.clone(), EntityId::new(id));
        let empty = Map::new();
        let shape = self.shapes.entities.get(&wire.name);
        let sent = shape.map(|shape| declared(properties.unwrap_or(&empty), shape)).unwrap_or_default();
        let row = self.rows.contains_key(&uid);
        let entity = match wire.source {
            Source::Stored | Source::Overlay if !row => return Ok(None),
            Source::Stored => return Ok(Some((uid, Found::Row))),
            Source::Overlay | Source::Supplied if row && sent.is_empty() => return Ok(Some((uid, Found::Row))),
            Source::Overlay => self.spelled(&uid, &sent, &[]),
            Source::Supplied => self.parsed(&uid, Value::Object(sent), &self.ancestors(&uid)),
        };
        entity.map(|entity| Some((uid, Found::Built(entity)))).map_err(|_| DenyReason::InvalidRequest)
    }

    /// Everything that a row is in.
    fn ancestors(&self, uid: &EntityUid) -> Vec<EntityUid> {
        let row = self.rows.get(uid).and_then(|row| row.entity.clone());
        row.map(|row| row.into_inner().2.into_iter().collect()).unwrap_or_default()
    }

    pub(crate) fn wire_context<'a>(
        &self,
        action: &str,
        action_properties: Option<&Map<String, Value>>,
        context: &WireContext<'a>,
    ) -> Result<Given<'a>, DenyReason> {
        let known = self.actions.get(action).ok_or(DenyReason::UnknownAction)?;
        let shape = self.shapes.contexts.get(action).ok_or(DenyReason::InvalidRequest)?;
        if shape.is_empty() {
            return Ok(Given::Sent(Context::empty(), None));
        }
        let ours = |name: &str| !shape.contains_key(name) || OURS.contains(&name);
        if known.takes_facts
            && (action_properties.is_none() || !self.shapes.properties.contains_key(action))
            && let Some(facts) =
                overlaid(&context.facts, context.sent.into_iter().flatten().filter(|(name, _)| !ours(name)))
        {
            return Ok(Given::Facts(facts, None));
        }
        let empty = Map::new();
        let mut sent = declared(context.sent.unwrap_or(&empty), shape);
        sent.retain(|name, _| !OURS.contains(&name.as_str()));
        if let Some(properties) = action_properties
            && let Some(shape) = self.shapes.properties.get(action)
        {
            sent.insert("action".to_owned(), Value::Object(declared(properties, shape)));
        }
        let whole = |facts: &Facts<'_>| {
            let mut all = facts.json();
            all.retain(|name, _| shape.contains_key(name));
            all.extend(sent.clone());
            Context::from_json_value(Value::Object(all), Some((&self.schema, &known.uid)))
                .map_err(|_| DenyReason::InvalidRequest)
        };
        let in_earnest = context.facts.in_earnest().map(|facts| whole(&facts)).transpose()?;
        Ok(Given::Sent(whole(&context.facts)?, in_earnest))
    }
}

/// `facts` with what was sent in their place, when facts can say exactly that: then no context is built twice.
fn overlaid<'a>(facts: &Facts<'a>, sent: impl Iterator<Item = (&'a String, &'a Value)>) -> Option<Facts<'a>> {
    let mut facts = *facts;
    for (name, value) in sent {
        match name.as_str() {
            "acr" => facts.acr = u8::try_from(value.as_u64()?).ok()?,
            "authAgeSeconds" => facts.auth_age_secs = u32::try_from(value.as_u64()?).ok()?,
            "ip" => {
                let address: IpAddr = value.as_str()?.parse().ok()?;
                facts.address = (address == address.to_canonical()).then_some(address);
                facts.address?;
            }
            "scopes" => match value.as_array()?.as_slice() {
                [] => facts.scopes = "",
                [Value::String(one)] if !one.is_empty() && !one.contains(' ') => facts.scopes = one,
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(facts)
}

enum Found {
    Row,
    Built(Entity),
}

/// `Type::"id"` as people write it: the namespace `Stockade` may be left out.
pub(crate) fn spelled_uid(text: &str) -> Option<EntityUid> {
    let parse = |text: &str| text.parse::<EntityUid>().ok();
    match text.split_once("::\"") {
        Some((kind, _)) if !kind.contains("::") => parse(&format!("Stockade::{text}")),
        Some(_) => parse(text),
        None => {
            let (kind, id) = text.split_once(':')?;
            (!id.starts_with(':')).then(|| entity::core_uid(kind, id))
        }
    }
}
