//! One decision: the candidates, Cedar, and the fail-closed wrapper around both.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::{Context, Effect, Entities, Entity, PolicySet, Request, Response};

use super::entity::{Node, Principal, Resource};
use super::facts::Facts;
use super::reads::Reads;
use super::snapshot::{Action, Snapshot};
use crate::model::{Decision, DenyReason};

/// Who may do what to which, in the light of which facts.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The action's id, such as `audit:search`.
    pub action: &'a str,
    /// What it is about.
    pub resource: &'a Resource,
    /// The context.
    pub facts: &'a Facts<'a>,
}

/// Principal, action and resource as Cedar needs them, and the policies that could apply.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) entities: Entities,
    pub(crate) slice: Arc<PolicySet>,
    /// What of the context any of them looks at.
    reads: Reads,
}

/// The context of a request.
#[derive(Clone, Debug)]
pub(crate) enum Given<'a> {
    /// Facts, and one more text attribute of this name.
    Facts(Facts<'a>, Option<(&'static str, &'a str)>),
    /// A whole context that somebody sent: checked against the schema. And the same as it would be if risk counted, when that
    /// is only noted.
    Sent(Context, Option<Context>),
}

impl Given<'_> {
    /// The same as if risk counted, when it is only noted.
    fn in_earnest(&self) -> Option<Self> {
        match self {
            Self::Facts(facts, extra) => facts.in_earnest().map(|facts| Self::Facts(facts, *extra)),
            Self::Sent(_, context) => context.clone().map(|context| Self::Sent(context, None)),
        }
    }
}

impl Snapshot {
    /// Decides. What no candidate policy can tell apart from a question that was asked before has its answer.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        self.decide_given(question.principal, question.action, question.resource, Given::Facts(*question.facts, None))
    }

    pub(crate) fn decide_given(
        &self,
        principal: &Principal,
        action: &str,
        resource: &Resource,
        given: Given<'_>,
    ) -> Decision {
        let Some(in_earnest) = given.in_earnest() else { return self.decide_as(principal, action, resource, given) };
        let decision = self.decide_as(principal, action, resource, given);
        let would = self.decide_as(principal, action, resource, in_earnest);
        let would = (would.denied != decision.denied).then(|| Arc::new(would));
        Decision { would, ..decision }
    }

    fn decide_as(&self, principal: &Principal, action: &str, resource: &Resource, given: Given<'_>) -> Decision {
        if let Given::Facts(facts, extra) = &given
            && principal.0.lasting
            && resource.0.lasting
            && principal.is_known()
            && resource.is_known()
            && let Some(known) = self.actions.get(action)
            && let Ok(bundle) = self.bundle(&principal.0, known, &resource.0)
        {
            let (facts, extra) = bundle.reads.project(facts, *extra);
            let key = (principal.0.serial, resource.0.serial, known.number);
            let decide = || Some(self.decide_afresh(principal, action, resource, given.clone()));
            if let Some(answer) = self.remembered.answers.get(key, &facts, extra, decide) {
                return answer;
            }
        }
        self.decide_afresh(principal, action, resource, given)
    }

    fn decide_afresh(&self, principal: &Principal, action: &str, resource: &Resource, given: Given<'_>) -> Decision {
        match self.ask(principal, action, resource, given, None) {
            Ok((_, bundle, response)) => self.closed(&bundle.slice, &response),
            Err(reason) => Decision::deny(reason, Arc::clone(self.digest())),
        }
    }

    /// Asks Cedar about the slice, or says why it cannot be asked. The context holds what the slice reads, unless `reads`
    /// says otherwise.
    pub(crate) fn ask(
        &self,
        principal: &Principal,
        action: &str,
        resource: &Resource,
        given: Given<'_>,
        reads: Option<Reads>,
    ) -> Result<(Request, Arc<Bundle>, Response), DenyReason> {
        if principal.0.entity.is_none() {
            return Err(DenyReason::UnknownPrincipal);
        }
        if resource.0.entity.is_none() {
            return Err(DenyReason::UnknownResource);
        }
        let action = self.actions.get(action).ok_or(DenyReason::UnknownAction)?;
        let bundle = self.bundle(&principal.0, action, &resource.0)?;
        let context = self.context(action, given, reads.unwrap_or(bundle.reads)).ok_or(DenyReason::InvalidRequest)?;
        let (p, a, r) = (principal.0.uid.clone(), action.uid.clone(), resource.0.uid.clone());
        let request = Request::new(p, a, r, context, None).map_err(|_| DenyReason::InvalidRequest)?;
        let response = self.authorizer.is_authorized(&request, &bundle.slice, &bundle.entities);
        Ok((request, bundle, response))
    }

    /// The fail-closed wrapper: Cedar skips what errs, and a `forbid` must not be skipped.
    fn closed(&self, slice: &PolicySet, response: &Response) -> Decision {
        let known = |id: &cedar_policy::PolicyId| -> Arc<str> {
            let id: &str = id.as_ref();
            self.policies.get(id).map_or_else(|| id.into(), |known| Arc::clone(&known.id))
        };
        let mut policies: Vec<Arc<str>> = response.diagnostics().reason().map(known).collect();
        policies.sort_unstable();
        let mut errors = Vec::new();
        let mut forbid_erred = false;
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            let id = error.policy_id();
            let effect = self.policies.get(<_ as AsRef<str>>::as_ref(id)).map(|known| known.effect);
            let effect = effect.or_else(|| slice.policy(id).map(cedar_policy::Policy::effect));
            forbid_erred |= effect != Some(Effect::Permit);
            errors.push(known(id));
        }
        errors.sort_unstable();
        let denied = match response.decision() {
            cedar_policy::Decision::Allow if forbid_erred => Some(DenyReason::ForbidErred),
            cedar_policy::Decision::Allow => None,
            cedar_policy::Decision::Deny if !policies.is_empty() => Some(DenyReason::Forbidden),
            cedar_policy::Decision::Deny if forbid_erred => Some(DenyReason::ForbidErred),
            cedar_policy::Decision::Deny => Some(DenyReason::NoPermit),
        };
        if denied == Some(DenyReason::ForbidErred) {
            // The permits that would have applied did not determine this answer.
            policies.clear();
        }
        Decision { denied, policies, errors, snapshot: Arc::clone(self.digest()), would: None }
    }

    fn bundle(&self, principal: &Node, action: &Action, resource: &Node) -> Result<Arc<Bundle>, DenyReason> {
        let key = (principal.serial, resource.serial, action.number);
        let lasting = principal.lasting && resource.lasting;
        if lasting && let Some(bundle) = self.remembered.bundle(key) {
            return Ok(bundle);
        }
        let bundle = Arc::new(self.build(principal, action, resource)?);
        if lasting {
            self.remembered.keep_bundle(key, &bundle);
        }
        Ok(bundle)
    }

    /// Everything about a request that does not depend on its context: checked against the schema, sliced.
    fn build(&self, principal: &Node, action: &Action, resource: &Node) -> Result<Bundle, DenyReason> {
        let applies = |types: Option<bool>| types.unwrap_or(false);
        let kind = principal.uid.type_name();
        if !applies(self.schema.principals_for_action(&action.uid).map(|mut types| types.any(|t| t == kind))) {
            return Err(DenyReason::InvalidRequest);
        }
        let kind = resource.uid.type_name();
        if !applies(self.schema.resources_for_action(&action.uid).map(|mut types| types.any(|t| t == kind))) {
            return Err(DenyReason::InvalidRequest);
        }
        let asker = self.checked(principal).ok_or(DenyReason::UnknownPrincipal)?;
        let mut all = vec![asker, action.entity.clone()];
        if resource.uid != principal.uid {
            all.push(self.checked(resource).ok_or(DenyReason::UnknownResource)?);
        }
        let entities = Entities::from_entities(all, None).map_err(|_| DenyReason::InvalidRequest)?;
        let slice = self.index.slice(&principal.uid, &action.uid, &resource.uid, &entities);
        let reads = slice.policies().fold(Reads::default(), |all, policy| {
            let known = self.policies.get(<_ as AsRef<str>>::as_ref(policy.id()));
            all.and(known.map_or(Reads::ALL, |known| *known.reads.get_or_init(|| Reads::of(policy))))
        });
        Ok(Bundle { entities, slice, reads })
    }

    /// The entity with every ancestor that the static entities know, as it must be for this schema. Level 1 validation
    /// means that policies need nothing else of it.
    pub(crate) fn checked(&self, node: &Node) -> Option<Entity> {
        let entity = node.entity.clone()?;
        if node.made_by == self.serial {
            return Some(entity);
        }
        let alone = Entities::from_entities([entity.clone()], Some(&self.schema)).ok()?;
        let parents: HashSet<_> = alone.ancestors(&node.uid)?.cloned().collect();
        let above: HashSet<_> =
            parents.iter().filter_map(|parent| self.entities.ancestors(parent)).flatten().cloned().collect();
        if above.is_subset(&parents) {
            return Some(entity);
        }
        let attributes: Vec<(String, cedar_policy::RestrictedExpression)> = {
            let (_, attributes, _) = entity.into_inner();
            attributes.into_iter().collect()
        };
        Entity::new(node.uid.clone(), attributes.into_iter().collect(), parents.union(&above).cloned().collect()).ok()
    }

    pub(crate) fn context(&self, action: &Action, given: Given<'_>, reads: Reads) -> Option<Context> {
        match given {
            Given::Sent(context, _) => context.validate(&self.schema, &action.uid).ok().map(|()| context),
            Given::Facts(facts, extra) => {
                // Every context of facts has the same shape, so one check an action and shape is enough.
                let shape = (action.number, extra.map_or("", |(name, _)| name), facts.address.is_some());
                let whole = || facts.context(Reads::ALL, extra);
                let fits = || whole().is_some_and(|context| context.validate(&self.schema, &action.uid).is_ok());
                if !self.remembered.fits(shape, fits) {
                    return None;
                }
                let (facts, extra) = reads.project(&facts, extra);
                self.remembered.contexts.get(reads, &facts, extra, || facts.context(reads, extra))
            }
        }
    }
}
