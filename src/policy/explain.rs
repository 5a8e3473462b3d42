//! Why a request was allowed or denied: the determining policies, and for a default deny the permits that came nearest
//! with the clause that kept each from applying.

use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, Request, ResourceConstraint,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::decide::{Given, Question};
use super::entity::{Principal, Resource};
use super::facts::Facts;
use super::named::{WireContext, spelled_uid};
use super::reads::Reads;
use super::snapshot::Snapshot;
use crate::model::Decision;

/// Nearest permits shown.
const MOST_NEAR: usize = 3;

/// Why.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether it may proceed.
    pub allowed: bool,
    /// The reason of a denial, as in events: `no_permit`, `forbidden`, …
    pub reason: Option<&'static str>,
    /// The policies that determined the answer.
    pub policies: Vec<Named>,
    /// The policies that could not be evaluated.
    pub errors: Vec<Failure>,
    /// For a default deny: the permits that failed in the fewest places, nearest first.
    pub nearest: Vec<Near>,
    /// Digest of the snapshot.
    pub snapshot: Arc<str>,
}

/// A policy and where it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// Its `@id`.
    pub id: Arc<str>,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Its file.
    pub file: Option<Arc<str>>,
    /// The line of that file.
    pub line: Option<usize>,
    /// Its `@description`.
    pub description: Option<String>,
}

/// A policy that erred.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Which.
    pub policy: Named,
    /// What Cedar says.
    pub message: String,
}

/// A permit that nearly applied.
#[derive(Clone, Debug, Serialize)]
pub struct Near {
    /// Which.
    pub policy: Named,
    /// What kept it from applying.
    pub failed: Vec<Clause>,
}

/// A part of a policy that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// `principal`, `action`, `resource`, `when` or `unless`.
    pub part: &'static str,
    /// Its Cedar text.
    pub text: String,
    /// What it came to: `false`, `true` (of an `unless`), or the error.
    pub came_to: String,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason {
            None => writeln!(f, "allowed")?,
            Some(reason) => writeln!(f, "denied: {reason}")?,
        }
        for policy in &self.policies {
            writeln!(f, "  by {policy}")?;
        }
        for error in &self.errors {
            writeln!(f, "  could not be evaluated: {}: {}", error.policy, error.message)?;
        }
        for near in &self.nearest {
            writeln!(f, "  would be allowed by {}, but", near.policy)?;
            for clause in &near.failed {
                writeln!(f, "    {} `{}` is {}", clause.part, clause.text, clause.came_to)?;
            }
        }
        write!(f, "  snapshot {}", self.snapshot)
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.effect, self.id)?;
        if let (Some(file), Some(line)) = (&self.file, self.line) {
            write!(f, " ({file}:{line})")?;
        }
        if let Some(description) = &self.description {
            write!(f, ": {description}")?;
        }
        Ok(())
    }
}

/// Explains the answer to a question.
pub fn explain(snapshot: &Snapshot, question: &Question<'_>) -> Explanation {
    explain_given(snapshot, question, || Given::Facts(*question.facts, None))
}

/// The question as people write it down.
#[derive(Clone, Debug)]
pub struct Spelled<'a> {
    /// `Client::"demo"`; the namespace `Stockade` may be left out.
    pub principal: &'a str,
    /// Attributes laid over the principal's row in `entities.json`, or over those of an untroubled one.
    pub attributes: serde_json::Map<String, Value>,
    /// The principal's roles and groups: `Role::"partner"`.
    pub parents: &'a [&'a str],
    /// The action's id.
    pub action: &'a str,
    /// `Route::"GET /demo/notes"`, `AuditLog::"main"`, …
    pub resource: &'a str,
    /// Laid over the facts.
    pub context: serde_json::Map<String, Value>,
    /// Scopes, time, address, and so on.
    pub facts: Facts<'a>,
}

/// Explains a question from the command line.
///
/// # Errors
/// What cannot be understood, and how to write it.
pub fn explain_spelled(snapshot: &Snapshot, spelled: &Spelled<'_>) -> Result<Explanation, String> {
    let uid = |text: &str| spelled_uid(text).ok_or(format!("`{text}` is no entity; write it like `Client::\"demo\"`"));
    let parents = spelled.parents.iter().map(|text| uid(text)).collect::<Result<Vec<_>, _>>()?;
    let asker = uid(spelled.principal)?;
    let entity = snapshot.spelled(&asker, &spelled.attributes, &parents)?;
    let principal = Principal::of(asker, Some(entity), false);
    let about = uid(spelled.resource)?;
    let entity = snapshot.spelled(&about, &serde_json::Map::new(), &[])?;
    let resource = Resource::of(about, Some(entity), false);
    let context = WireContext::new(&spelled.facts, Some(&spelled.context));
    let known = snapshot.wire_context(spelled.action, None, &context);
    if known.is_err() {
        let mut actions: Vec<_> = snapshot.actions.keys().map(|action| &**action).collect();
        actions.sort_unstable();
        return Err(format!(
            "`{}` is no action, or the context does not fit it; there are: {}",
            spelled.action,
            actions.join(", ")
        ));
    }
    let question =
        Question { principal: &principal, action: spelled.action, resource: &resource, facts: &spelled.facts };
    Ok(explain_given(snapshot, &question, || {
        snapshot.wire_context(spelled.action, None, &context).unwrap_or(Given::Facts(spelled.facts, None))
    }))
}

/// The same with a context of any kind; `given` is called twice.
pub(crate) fn explain_given<'a>(
    snapshot: &Snapshot,
    question: &Question<'_>,
    given: impl Fn() -> Given<'a>,
) -> Explanation {
    let Question { principal, action, resource, .. } = *question;
    let decision = snapshot.decide_given(principal, action, resource, given());
    let asked = snapshot.ask(principal, action, resource, given(), Some(Reads::ALL)).ok();
    let mut errors = Vec::new();
    let mut nearest = Vec::new();
    if let Some((request, bundle, response)) = &asked {
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            let message = error.inner().to_string();
            errors.push(Failure { policy: named(snapshot, error.policy_id().as_ref()), message });
        }
        errors.sort_by(|a, b| a.policy.id.cmp(&b.policy.id));
        if decision.denied == Some(crate::model::DenyReason::NoPermit) {
            nearest = near(snapshot, request, &bundle.entities);
        }
    }
    let Decision { denied, policies, snapshot: digest, .. } = decision;
    Explanation {
        allowed: denied.is_none(),
        reason: denied.map(crate::model::DenyReason::as_str),
        policies: policies.iter().map(|id| named(snapshot, id)).collect(),
        errors,
        nearest,
        snapshot: digest,
    }
}

fn named(snapshot: &Snapshot, id: &str) -> Named {
    let place = snapshot.place(id);
    let effect = snapshot.policies.get(id).map(|known| known.effect);
    Named {
        id: id.into(),
        effect: if effect == Some(Effect::Forbid) { "forbid" } else { "permit" },
        line: place.as_ref().map(|(_, line)| *line),
        file: place.map(|(file, _)| file),
        description: snapshot.annotation(id, "description").map(str::to_owned),
    }
}

fn near(snapshot: &Snapshot, request: &Request, entities: &Entities) -> Vec<Near> {
    let mut found: Vec<(usize, Near)> = Vec::new();
    for policy in snapshot.set.policies().filter(|policy| policy.effect() == Effect::Permit) {
        let Some(mut failed) = scope(policy, request, entities) else { continue };
        // A different principal, action or resource is further away than a clause that a token could satisfy.
        let mut distance = failed.iter().map(|clause| if clause.part == "action" { 100 } else { 10 }).sum::<usize>();
        if distance >= 100 {
            continue;
        }
        let clauses = conditions(policy, request, entities);
        distance += clauses.len();
        failed.extend(clauses);
        found.push((distance, Near { policy: named(snapshot, policy.id().as_ref()), failed }));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.policy.id.cmp(&b.1.policy.id)));
    found.truncate(MOST_NEAR);
    found.into_iter().map(|(_, near)| near).collect()
}

/// The parts of the scope that do not match.
fn scope(policy: &Policy, request: &Request, entities: &Entities) -> Option<Vec<Clause>> {
    let (principal, action, resource) = (request.principal()?, request.action()?, request.resource()?);
    let is = |uid: &EntityUid, kind: &EntityTypeName| uid.type_name() == kind;
    let within = |uid: &EntityUid, up: &EntityUid| entities.is_ancestor_of(up, uid) || uid == up;
    let mut failed = Vec::new();
    let mut check = |part, holds: bool, text: String| {
        if !holds {
            failed.push(Clause { part, text, came_to: "false".to_owned() });
        }
    };
    match policy.principal_constraint() {
        PrincipalConstraint::Any => {}
        PrincipalConstraint::Is(kind) => check("principal", is(principal, &kind), format!("principal is {kind}")),
        PrincipalConstraint::Eq(uid) => check("principal", *principal == uid, format!("principal == {uid}")),
        PrincipalConstraint::In(uid) => check("principal", within(principal, &uid), format!("principal in {uid}")),
        PrincipalConstraint::IsIn(kind, uid) => {
            let holds = is(principal, &kind) && within(principal, &uid);
            check("principal", holds, format!("principal is {kind} in {uid}"));
        }
    }
    match policy.action_constraint() {
        ActionConstraint::Any => {}
        ActionConstraint::Eq(uid) => check("action", *action == uid, format!("action == {uid}")),
        ActionConstraint::In(uids) => {
            let holds = uids.iter().any(|uid| within(action, uid));
            let list = uids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            check("action", holds, format!("action in [{list}]"));
        }
    }
    match policy.resource_constraint() {
        ResourceConstraint::Any => {}
        ResourceConstraint::Is(kind) => check("resource", is(resource, &kind), format!("resource is {kind}")),
        ResourceConstraint::Eq(uid) => check("resource", *resource == uid, format!("resource == {uid}")),
        ResourceConstraint::In(uid) => check("resource", within(resource, &uid), format!("resource in {uid}")),
        ResourceConstraint::IsIn(kind, uid) => {
            let holds = is(resource, &kind) && within(resource, &uid);
            check("resource", holds, format!("resource is {kind} in {uid}"));
        }
    }
    Some(failed)
}

/// The clauses that do not hold, a conjunction taken apart into its members.
fn conditions(policy: &Policy, request: &Request, entities: &Entities) -> Vec<Clause> {
    let Ok(json) = policy.to_json() else { return Vec::new() };
    let mut failed = Vec::new();
    for condition in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let Some(body) = condition.get("body") else { continue };
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        let (part, operator, wanted) = if unless { ("unless", "||", false) } else { ("when", "&&", true) };
        let mut members = Vec::new();
        take_apart(body, operator, &mut members);
        for member in members {
            let Some((text, outcome)) = evaluate(member, request, entities) else { continue };
            let came_to = match outcome {
                Ok(value) if value == wanted => continue,
                Ok(value) => value.to_string(),
                Err(message) => message,
            };
            failed.push(Clause { part, text, came_to });
        }
    }
    failed
}

fn take_apart<'a>(body: &'a Value, operator: &str, members: &mut Vec<&'a Value>) {
    let sides = body.get(operator).and_then(|sides| Some((sides.get("left")?, sides.get("right")?)));
    match sides {
        Some((left, right)) => {
            take_apart(left, operator, members);
            take_apart(right, operator, members);
        }
        None => members.push(body),
    }
}

/// The Cedar text of one clause, and what it comes to.
fn evaluate(body: &Value, request: &Request, entities: &Entities) -> Option<(String, Result<bool, String>)> {
    let all = json!({ "op": "All" });
    let alone = json!({
        "effect": "permit", "principal": all, "action": all, "resource": all,
        "conditions": [{ "kind": "when", "body": body }],
    });
    let policy = Policy::from_json(Some(PolicyId::new("clause")), alone).ok()?;
    let text = policy.to_cedar()?;
    let text = text.split_once("when").map_or(text.as_str(), |(_, clause)| clause);
    let text = text.trim().trim_end_matches(';').trim();
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text).trim();
    let text = unwrapped(text).to_owned();
    let mut set = PolicySet::new();
    set.add(policy).ok()?;
    let response = Authorizer::new().is_authorized(request, &set, entities);
    let error = response.diagnostics().errors().next().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.inner().to_string(),
    });
    let outcome = match error {
        Some(message) => Err(format!("an error: {message}")),
        None => Ok(response.decision() == cedar_policy::Decision::Allow),
    };
    Some((text, outcome))
}

/// Without one pair of parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else { return text };
    let mut depth = 0_usize;
    for c in inner.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return text,
            ')' => depth -= 1,
            _ => {}
        }
    }
    inner
}
