//! Rows of an answer, each decided for whoever asked. A policy can tell rows apart only by the attributes that it looks at:
//! rows that agree on those have one answer, which is found once.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Entities, Entity, PolicySet, RestrictedExpression};
use serde_json::Value;

use super::decide::Given;
use super::decide::Question;
use super::entity::{Attributes, Principal, Resource, core_uid};
use super::facts::{Facts, whole_seconds};
use super::reads::Reads;
use super::snapshot::Snapshot;
use crate::model::{Decision, DenyReason};

/// The entity type of a row of the audit log.
const KIND: &str = "AuditEvent";
/// Those of its attributes that are texts and may be missing. `kind` and `outcome` are there always, `time` is a `datetime`,
/// `address` an `ipaddr`.
const TEXTS: [&str; 5] = ["principal", "client", "action", "resource", "reason"];
/// How many answers are remembered at once.
const MOST: usize = 4096;

/// A row as policies see it.
pub trait Said {
    /// Which row.
    fn id(&self) -> &str;
    /// What an attribute says, as text.
    fn attribute(&self, name: &'static str) -> Option<Cow<'_, str>>;
}

/// Which rows one caller may see, in the light of one request.
#[derive(Debug)]
pub struct Rows<'a> {
    snapshot: Arc<Snapshot>,
    principal: Principal,
    action: &'static str,
    facts: Facts<'a>,
    /// The attributes that policies look at; `None`: they look at more, such as which row it is.
    looks: Option<BTreeSet<&'static str>>,
    slice: Arc<PolicySet>,
    /// The caller and the action.
    entities: Entities,
    known: HashMap<Vec<Option<String>>, bool>,
    /// Rows that may not be seen.
    withheld: u64,
}

impl<'a> Rows<'a> {
    /// For a caller who asks by `action`.
    ///
    /// # Errors
    /// The denial, when this action is not in the schema: the policies are older than this version.
    pub fn new(
        snapshot: Arc<Snapshot>,
        principal: Principal,
        action: &'static str,
        facts: Facts<'a>,
    ) -> Result<Self, Decision> {
        let Some(known) = snapshot.actions.get(action) else {
            return Err(Decision::deny(DenyReason::UnknownAction, Arc::clone(snapshot.digest())));
        };
        let any = core_uid(KIND, "");
        // Whom nobody knows, or who does not fit the schema, is denied every row.
        let asker = snapshot.checked(&principal.0);
        let entities =
            Entities::from_entities(asker.into_iter().chain([known.entity.clone()]), None).unwrap_or_default();
        let slice = snapshot.index.slice(&principal.0.uid, &known.uid, &any, &entities);
        let names_one = |policy: &cedar_policy::Policy| {
            policy.entity_literals().iter().any(|uid| uid.type_name() == any.type_name())
        };
        let looks = match snapshot.set.policies().any(names_one) {
            true => None,
            false => slice.policies().try_fold(BTreeSet::new(), |mut all, policy| {
                let is_plain = policy.to_json().is_ok_and(|json| looks_in(&json, &mut all));
                is_plain.then_some(all)
            }),
        };
        Ok(Self { snapshot, principal, action, facts, looks, slice, entities, known: HashMap::new(), withheld: 0 })
    }

    /// Whether the caller may see a row.
    pub fn allow(&mut self, row: &impl Said) -> bool {
        let key = self.looks.as_ref().map(|looks| {
            let value = |name: &&'static str| row.attribute(name).map(Cow::into_owned);
            looks.iter().map(value).collect::<Vec<_>>()
        });
        let is_allowed = match key.as_ref().and_then(|key| self.known.get(key)) {
            Some(known) => *known,
            None => {
                let is_allowed = self.decide(row).is_allowed();
                if let Some(key) = key {
                    if self.known.len() >= MOST {
                        self.known.clear();
                    }
                    self.known.insert(key, is_allowed);
                }
                is_allowed
            }
        };
        self.withheld += u64::from(!is_allowed);
        is_allowed
    }

    /// How many rows were asked about and may not be seen.
    pub const fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Something that holds of every row the caller may see, as far as it can be told from the policies: for an index to go
    /// by. [`Rows::allow`] decides.
    pub fn within(&self) -> Option<crate::model::filter::Filter<crate::model::filter::EventField>> {
        // A policy about one row is not among those about any.
        self.looks.as_ref()?;
        super::within::of(self.slice.policies().filter(|policy| self.may_hold(policy)))
    }

    /// Whether a policy may hold of some row: one that does not look at rows is asked without any.
    fn may_hold(&self, policy: &cedar_policy::Policy) -> bool {
        let mut looks = BTreeSet::new();
        if !policy.to_json().is_ok_and(|json| looks_in(&json, &mut looks)) || !looks.is_empty() {
            return true;
        }
        let asked = || {
            let known = self.snapshot.actions.get(self.action)?;
            let context = self.snapshot.context(known, Given::Facts(self.facts, None), Reads::ALL)?;
            let (principal, row) = (self.principal.0.uid.clone(), core_uid(KIND, ""));
            let request = cedar_policy::Request::new(principal, known.uid.clone(), row, context, None).ok()?;
            let alone = PolicySet::from_policies([policy.clone()]).ok()?;
            let response = self.snapshot.authorizer.is_authorized(&request, &alone, &self.entities);
            Some(response.diagnostics().reason().next().is_some())
        };
        asked().unwrap_or(true)
    }

    fn decide(&self, row: &impl Said) -> Decision {
        let text = |name| row.attribute(name).map(|text| RestrictedExpression::new_string(text.into_owned()));
        let always = |name| text(name).unwrap_or_else(|| RestrictedExpression::new_string(String::new()));
        let time = row.attribute("time").and_then(|time| crate::base::Timestamp::parse(&time)).unwrap_or_default();
        let mut attributes = Attributes::from([
            ("kind".to_owned(), always("kind")),
            ("outcome".to_owned(), always("outcome")),
            ("time".to_owned(), RestrictedExpression::new_datetime(whole_seconds(time))),
        ]);
        for name in TEXTS {
            attributes.extend(text(name).map(|value| (name.to_owned(), value)));
        }
        if let Some(address) = row.attribute("address") {
            attributes.insert("address".to_owned(), RestrictedExpression::new_ip(&address));
        }
        let uid = core_uid(KIND, row.id());
        let resource = Resource::of(uid.clone(), Entity::new(uid, attributes, HashSet::new()).ok(), false);
        let (principal, facts) = (&self.principal, &self.facts);
        self.snapshot.decide(&Question { principal, action: self.action, resource: &resource, facts })
    }
}

/// Notes which attributes of the resource an expression looks at; whether it looks at nothing else of it.
fn looks_in(json: &Value, found: &mut BTreeSet<&'static str>) -> bool {
    match json {
        Value::Object(object) if object.get("Var").is_some_and(|name| name == "resource") => false,
        Value::Object(object) => object.iter().all(|(name, value)| {
            let is_resource = value.get("left").and_then(|left| left.get("Var")).is_some_and(|v| v == "resource");
            match name.as_str() {
                "." | "has" if is_resource => {
                    let attr = value.get("attr").and_then(|attr| attr.as_str().or_else(|| attr.get(0)?.as_str()));
                    let known = ["kind", "outcome", "time", "address"].into_iter().chain(TEXTS);
                    let known = attr.and_then(|attr| known.into_iter().find(|known| *known == attr));
                    found.extend(known);
                    known.is_some()
                }
                "is" if is_resource => true,
                _ => looks_in(value, found),
            }
        }),
        Value::Array(items) => items.iter().all(|item| looks_in(item, found)),
        _ => true,
    }
}
