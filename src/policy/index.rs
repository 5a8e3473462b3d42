//! The scope index: which policies could apply to a request at all.
//!
//! Cedar's authorizer evaluates every policy's scope on every request. Outside it the same question is three look-ups:
//! by action, by principal, by resource. A policy whose scope cannot match contributes neither a decision nor an error
//! (a scope cannot raise one), so leaving it out changes nothing: the tests prove that on the Cedar corpora and on
//! generated sets, for decision, reasons and errors alike. Every entity that some scope names has a number; a request's
//! principal, action and resource with their ancestors become short lists of numbers, and entities that no scope names
//! drop out at once.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, Request,
    ResourceConstraint, Template,
};
use parking_lot::RwLock;

/// What a scope asks of one of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    Any,
    Is(u32),
    Eq(u32),
    In(u32),
    IsIn(u32, u32),
}

type ByResource = HashMap<Want, Vec<u32>>;
type ByPrincipal = HashMap<Want, ByResource>;

/// Policies by scope.
#[derive(Debug)]
pub struct Index {
    policies: Vec<Policy>,
    templates: HashMap<PolicyId, Template>,
    /// Everything, unsliced: what a slice that cannot be built falls back to, so that no `forbid` is ever lost.
    whole: Arc<PolicySet>,
    entities: HashMap<EntityUid, u32>,
    types: HashMap<EntityTypeName, u32>,
    actions: HashMap<Want, ByPrincipal>,
    slices: RwLock<HashMap<Box<[u32]>, Arc<PolicySet>>>,
}

/// Slices remembered at most; beyond that they are built anew.
const MOST_SLICES: usize = 4096;

/// One of the three, as the index sees it: which wants it satisfies.
struct Seen(Vec<Want>);

impl Index {
    /// Indexes the policies (static and linked) of a set.
    pub fn new(set: &PolicySet) -> Self {
        let mut policies: Vec<Policy> = set.policies().cloned().collect();
        policies.sort_by(|a, b| a.id().cmp(b.id()));
        let mut index = Self {
            policies: Vec::new(),
            templates: set.templates().map(|t| (t.id().clone(), t.clone())).collect(),
            whole: Arc::new(set.clone()),
            entities: HashMap::new(),
            types: HashMap::new(),
            actions: HashMap::new(),
            slices: RwLock::default(),
        };
        for (number, policy) in (0_u32..).zip(&policies) {
            index.insert(number, policy);
        }
        index.policies = policies;
        index
    }

    fn insert(&mut self, number: u32, policy: &Policy) {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Want::Any,
            PrincipalConstraint::Is(kind) => Want::Is(self.kind(kind)),
            PrincipalConstraint::Eq(uid) => Want::Eq(self.entity(uid)),
            PrincipalConstraint::In(uid) => Want::In(self.entity(uid)),
            PrincipalConstraint::IsIn(kind, uid) => Want::IsIn(self.kind(kind), self.entity(uid)),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Want::Any,
            ResourceConstraint::Is(kind) => Want::Is(self.kind(kind)),
            ResourceConstraint::Eq(uid) => Want::Eq(self.entity(uid)),
            ResourceConstraint::In(uid) => Want::In(self.entity(uid)),
            ResourceConstraint::IsIn(kind, uid) => Want::IsIn(self.kind(kind), self.entity(uid)),
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => vec![Want::Any],
            ActionConstraint::Eq(uid) => vec![Want::Eq(self.entity(uid))],
            ActionConstraint::In(uids) => uids.into_iter().map(|uid| Want::In(self.entity(uid))).collect(),
        };
        for action in actions {
            let by_principal = self.actions.entry(action).or_default();
            by_principal.entry(principal).or_default().entry(resource).or_default().push(number);
        }
    }

    fn entity(&mut self, uid: EntityUid) -> u32 {
        number(&mut self.entities, uid)
    }

    fn kind(&mut self, kind: EntityTypeName) -> u32 {
        number(&mut self.types, kind)
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policies whose scope matches, given the entities that the request will be decided with. Equal slices are one
    /// set, shared.
    pub fn slice(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource: &EntityUid,
        entities: &Entities,
    ) -> Arc<PolicySet> {
        self.set(&self.matching(principal, action, resource, entities))
    }

    /// The same for a request; `None` when a part of it is unknown.
    pub fn slice_of(&self, request: &Request, entities: &Entities) -> Option<Arc<PolicySet>> {
        Some(self.slice(request.principal()?, request.action()?, request.resource()?, entities))
    }

    fn matching(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource: &EntityUid,
        entities: &Entities,
    ) -> Vec<u32> {
        let actions = self.seen(action, entities);
        let principals = self.seen(principal, entities);
        let resources = self.seen(resource, entities);
        let mut found = Vec::new();
        for by_principal in actions.0.iter().filter_map(|want| self.actions.get(want)) {
            for by_resource in principals.0.iter().filter_map(|want| by_principal.get(want)) {
                for policies in resources.0.iter().filter_map(|want| by_resource.get(want)) {
                    found.extend_from_slice(policies);
                }
            }
        }
        // `action in [a, b]` stands under both.
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Everything that `uid` satisfies: itself by `==`, itself and its ancestors by `in`, its type by `is`, both by
    /// `is … in`.
    fn seen(&self, uid: &EntityUid, entities: &Entities) -> Seen {
        let kind = self.types.get(uid.type_name()).copied();
        let mut wants = vec![Want::Any];
        wants.extend(kind.map(Want::Is));
        let own = self.entities.get(uid).copied();
        wants.extend(own.map(Want::Eq));
        let ancestors = entities.ancestors(uid).into_iter().flatten().filter(|up| *up != uid);
        for up in own.into_iter().chain(ancestors.filter_map(|up| self.entities.get(up).copied())) {
            wants.push(Want::In(up));
            wants.extend(kind.map(|kind| Want::IsIn(kind, up)));
        }
        Seen(wants)
    }

    fn set(&self, numbers: &[u32]) -> Arc<PolicySet> {
        if let Some(set) = self.slices.read().get(numbers) {
            return Arc::clone(set);
        }
        let set = self.built(numbers).map_or_else(|| Arc::clone(&self.whole), Arc::new);
        let mut slices = self.slices.write();
        if slices.len() >= MOST_SLICES {
            slices.clear();
        }
        slices.insert(numbers.into(), Arc::clone(&set));
        set
    }

    fn built(&self, numbers: &[u32]) -> Option<PolicySet> {
        let mut set = PolicySet::new();
        for number in numbers {
            let policy = self.policies.get(usize::try_from(*number).ok()?)?;
            match (policy.template_id(), policy.template_links()) {
                (Some(template), Some(values)) => {
                    if set.template(template).is_none() {
                        set.add_template(self.templates.get(template)?.clone()).ok()?;
                    }
                    set.link(template.clone(), policy.id().clone(), values).ok()?;
                }
                _ => set.add(policy.clone()).ok()?,
            }
        }
        Some(set)
    }
}

fn number<K: std::hash::Hash + Eq>(map: &mut HashMap<K, u32>, key: K) -> u32 {
    let next = u32::try_from(map.len()).unwrap_or(u32::MAX);
    *map.entry(key).or_insert(next)
}
