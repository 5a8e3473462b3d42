//! One immutable set of schema, policies, static entities, routes, tiers and wire types, named by its digest.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cedar_policy::{Authorizer, Effect, Entities, Entity, EntityUid, PolicySet, Schema};

use super::entity::{Node, next_serial};
use super::facts::Facts;
use super::index::Index;
use super::load::{self, Place};
use super::problem::{Files, Problem};
use super::reads::Reads;
use super::remembered::{Remembered, Things};
use super::routes::{Route, RouteMap, RouteMatch};
use super::shape::Shapes;
use super::step_up::StepUp;
use super::tiers::Tiers;
use super::types::WireTypes;
use crate::base::Timestamp;
use crate::model::Decision;

/// See the module. Share it as `Arc`; every decision names its [`Snapshot::digest`].
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) schema: Schema,
    pub(crate) set: PolicySet,
    pub(crate) index: Index,
    pub(crate) authorizer: Authorizer,
    /// Static entities and the actions of the schema.
    pub(crate) entities: Entities,
    /// The same and the declared routes, each ready to be asked about.
    pub(crate) rows: HashMap<EntityUid, Arc<Node>>,
    /// By `id`, which no two namespaces share.
    pub(crate) actions: HashMap<Arc<str>, Action>,
    pub(crate) policies: HashMap<Arc<str>, Known>,
    pub(crate) routes: RouteMap,
    pub(crate) tiers: Tiers,
    pub(crate) wire: WireTypes,
    pub(crate) shapes: Shapes,
    pub(crate) remembered: Remembered,
    pub(crate) things: Things,
    /// What it makes carries this.
    pub(crate) serial: u64,
    places: BTreeMap<String, Place>,
    files: Files,
    digest: Arc<str>,
    warnings: Vec<Problem>,
}

/// An action of the schema.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) number: u32,
    pub(crate) uid: EntityUid,
    /// With every group it is in, as parents.
    pub(crate) entity: Entity,
    /// Whether its context is what [`super::Facts`] give, no more and no less.
    pub(crate) takes_facts: bool,
}

/// What the snapshot knows of a policy without asking Cedar.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    /// `@record("before")`.
    pub(crate) record_before: bool,
    /// `@acr` and `@max_age`.
    pub(crate) step_up: Option<StepUp>,
    /// What it reads of the context, once someone asked.
    pub(crate) reads: OnceLock<Reads>,
}

/// What [`load`] puts together.
pub(crate) struct Parts<'a> {
    pub(crate) schema: Schema,
    pub(crate) set: PolicySet,
    pub(crate) entities: Entities,
    pub(crate) routes: RouteMap,
    pub(crate) tiers: Tiers,
    pub(crate) wire: WireTypes,
    pub(crate) shapes: Shapes,
    pub(crate) digest: Arc<str>,
    pub(crate) places: BTreeMap<String, Place>,
    pub(crate) files: &'a Files,
}

impl Snapshot {
    /// Loads a policy tree.
    ///
    /// # Errors
    /// Every problem, when one of them is an error.
    pub fn load(dir: &Path) -> Result<Arc<Self>, Vec<Problem>> {
        Self::from_files(&Files::read(dir)?)
    }

    /// Loads files that are already in memory.
    ///
    /// # Errors
    /// Every problem, when one of them is an error.
    pub fn from_files(files: &Files) -> Result<Arc<Self>, Vec<Problem>> {
        load::load(files).map(Arc::new)
    }

    /// Loads the shipped policies, [`super::embedded`].
    ///
    /// # Errors
    /// Every problem; a test says that there is none.
    pub fn embedded() -> Result<Arc<Self>, Vec<Problem>> {
        Self::from_files(&Files::new(super::embedded().iter().copied()))
    }

    /// SHA-256 of everything in it, lower-case hex.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Ids of the policies, sorted.
    pub fn policy_ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<_> = self.policies.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Ids of the schema's actions, sorted.
    pub fn action_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.actions.keys().cloned().collect();
        names.sort();
        names
    }

    /// Entity types that may ask for something, sorted; Stockade's own without their namespace, as events spell them.
    pub fn principal_types(&self) -> Vec<String> {
        let names: std::collections::BTreeSet<String> = self.schema.principals().map(ToString::to_string).collect();
        names.iter().map(|name| name.strip_prefix("Stockade::").unwrap_or(name).to_owned()).collect()
    }

    /// The declared routes, in the order of the file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes.all
    }

    /// The declared tiers, best first.
    pub fn tiers(&self) -> impl Iterator<Item = &Arc<super::Tier>> {
        self.tiers.iter().map(|(tier, _)| tier)
    }

    /// The route that a method and a path take. The path must be in normal form; the caller refuses others.
    pub fn route(&self, method: &str, path: &str) -> Option<RouteMatch> {
        self.routes.find(method, path)
    }

    /// Whether `aud` is what tokens for an API of `routes.toml` must have, given who issues them.
    pub fn is_audience(&self, api: &str, issuer: &str, aud: &str) -> bool {
        self.routes.audiences.get(api).is_some_and(|audience| match audience.starts_with('/') {
            true => aud.strip_prefix(issuer) == Some(audience),
            false => aud == audience,
        })
    }

    /// Whether a policy that determined `decision` wants it recorded before the answer leaves: `@record("before")`.
    pub fn records_before(&self, decision: &Decision) -> bool {
        let ids = decision.policies.iter().chain(&decision.errors);
        ids.filter_map(|id| self.policies.get(id)).any(|known| known.record_before)
    }

    /// An annotation of a policy, such as `description`.
    pub fn annotation(&self, policy: &str, key: &str) -> Option<&str> {
        self.set.annotation(&cedar_policy::PolicyId::new(policy), key)
    }

    /// File and line of a policy.
    pub fn place(&self, policy: &str) -> Option<(Arc<str>, usize)> {
        let place = self.places.get(policy)?;
        let text = self.files.get(&place.file)?;
        Some((Arc::clone(&place.file), Problem::at("", text, place.offset, "").line))
    }

    /// The files it was made of.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What is odd about it, though it holds: sorted by place.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    pub(crate) fn warned(self, warnings: Vec<Problem>) -> Self {
        Self { warnings, ..self }
    }

    /// Puts the parts together; what only shows then is added to `problems`.
    pub(crate) fn assemble(parts: Parts<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        let Parts { schema, set, entities, routes, tiers, wire, shapes, digest, places, files } = parts;
        let mut actions: HashMap<Arc<str>, Action> = HashMap::new();
        let groups = schema.action_entities().ok()?;
        let probe = Facts::at(Timestamp::from_secs(0)).context(Reads::ALL, None);
        for (number, uid) in (0_u32..).zip(schema.actions()) {
            let parents = groups.ancestors(uid)?.cloned().collect();
            let takes_facts = probe.as_ref().is_some_and(|context| context.validate(&schema, uid).is_ok());
            let entity = Entity::new_no_attrs(uid.clone(), parents);
            let action = Action { number, uid: uid.clone(), entity, takes_facts };
            if let Some(other) = actions.insert(uid.id().unescaped().into(), action) {
                let message =
                    format!("{} and {} share an id; rename one, requests name actions by id alone", other.uid, uid);
                problems.push(Problem::file("schema", message));
            }
        }
        let text = files.get("routes.toml").unwrap_or_default();
        for route in &routes.all {
            if !actions.contains_key(&*route.action) {
                let message = format!("action `{}` is not in the schema; declare it, or name another", route.action);
                problems.push(Problem::at("routes.toml", text, route.offset, message));
            }
        }
        let known: HashMap<Arc<str>, Known> = set
            .policies()
            .map(|policy| {
                let id: Arc<str> = <_ as AsRef<str>>::as_ref(policy.id()).into();
                let record_before = policy.annotation("record") == Some("before");
                // What is wrong with it is a problem of the tree: see `load`.
                let step_up = StepUp::of(policy).ok().flatten();
                (Arc::clone(&id), Known { id, effect: policy.effect(), record_before, step_up, reads: OnceLock::new() })
            })
            .collect();
        let serial = next_serial();
        let of_routes = routes.all.iter().filter_map(|route| route.resource.0.entity.as_ref());
        let rows = entities.iter().chain(of_routes);
        let rows = rows.map(|row| (row.uid(), Node::made_by(serial, row.clone(), true))).collect();
        unknown_tiers(&set, &tiers, &places, files, problems);
        Some(Self {
            index: Index::new(&set),
            authorizer: Authorizer::new(),
            remembered: Remembered::default(),
            things: Things::default(),
            files: files.clone(),
            policies: known,
            schema,
            set,
            entities,
            rows,
            actions,
            routes,
            tiers,
            wire,
            shapes,
            serial,
            places,
            digest,
            warnings: Vec::new(),
        })
    }
}

/// Warns of policies about tiers that do not exist, and of tiers that no policy could ever give.
fn unknown_tiers(
    set: &PolicySet,
    tiers: &Tiers,
    places: &BTreeMap<String, Place>,
    files: &Files,
    problems: &mut Vec<Problem>,
) {
    for policy in set.policies() {
        let id: &str = policy.id().as_ref();
        for uid in policy.entity_literals().iter().filter(|uid| uid.type_name().to_string() == "Stockade::RateTier") {
            if tiers.iter().any(|(tier, _)| *tier.name == *uid.id().unescaped()) {
                continue;
            }
            let Some(place) = places.get(id) else { continue };
            let text = files.get(&place.file).unwrap_or_default();
            let message = format!("`{id}` names {uid}, which tiers.toml does not declare; declare it");
            problems.push(Problem::at(&*place.file, text, place.offset, message).warning());
        }
    }
    let gives = set.policies().any(|policy| {
        policy.effect() == Effect::Permit
            && policy.entity_literals().iter().any(|uid| uid.id().unescaped() == "rate:use")
    });
    if !tiers.is_empty() && !gives {
        let message = "no policy permits `rate:use`: every caller would be denied (`no_tier`); add one under rate/";
        problems.push(Problem::file("tiers.toml", message).warning());
    }
}
