//! Asking the policies, one question or many, under one snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use super::Evaluate;
use super::answer;
use super::question::{Malformed, Many, Question, Semantic, Thing};
use crate::audit_log::NotRecorded;
use crate::http::who_may::{Guard, May};
use crate::model::{Decision, DenyReason, Outcome, PrincipalRef, Standing, event};
use crate::policy::ambient::Ambient;
use crate::policy::{Facts, Prepared, Principal, Resource, Snapshot, WireContext};
use crate::telemetry::labels::Point;

/// The answer to one question, as JSON.
pub(super) async fn single(
    guard: &Guard,
    may: &May<Evaluate>,
    question: &Question<'_>,
) -> Result<Vec<u8>, NotRecorded> {
    let snapshot = guard.engine.snapshot();
    let facts = Facts::at(guard.clock.now());
    let decision = Asking::new(guard, may, snapshot.as_deref(), &facts).ask(question).await?;
    let mut out = Vec::with_capacity(128);
    answer::write(&mut out, &decision);
    Ok(out)
}

/// The answers to a batch, as JSON: as many as there are questions, or up to the one that decided.
pub(super) async fn batch(guard: &Guard, may: &May<Evaluate>, many: &Many<'_>) -> Result<Vec<u8>, NotRecorded> {
    let snapshot = guard.engine.snapshot();
    let facts = Facts::at(guard.clock.now());
    let mut asking = Asking::new(guard, may, snapshot.as_deref(), &facts);
    let mut out = Vec::with_capacity(64 * many.questions.len());
    out.extend_from_slice(br#"{"evaluations":["#);
    for (at, question) in many.questions.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let allowed = match question {
            Ok(question) => {
                let decision = asking.ask(question).await?;
                answer::write(&mut out, &decision);
                decision.is_allowed()
            }
            Err(Malformed { message, .. }) => {
                answer::write_broken(&mut out, message);
                false
            }
        };
        let last = match many.semantic {
            Semantic::ExecuteAll => false,
            Semantic::DenyOnFirstDeny => !allowed,
            Semantic::PermitOnFirstPermit => allowed,
        };
        if last {
            break;
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// Questions under one snapshot. What one question shares with the one before it (subject, resource, context: the very
/// same part of the request) is built once.
struct Asking<'a> {
    guard: &'a Guard,
    may: &'a May<Evaluate>,
    snapshot: Option<&'a Snapshot>,
    facts: &'a Facts<'a>,
    subject: Option<(Thing<'a>, Result<Principal, DenyReason>)>,
    resource: Option<(Thing<'a>, Result<Resource, DenyReason>)>,
    context: Option<(Question<'a>, Ambient, Prepared<'a>)>,
}

fn same<T: ?Sized>(a: Option<&T>, b: Option<&T>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => std::ptr::eq(a, b),
        _ => false,
    }
}

fn same_thing(a: &Thing<'_>, b: &Thing<'_>) -> bool {
    std::ptr::eq(a.id, b.id) && std::ptr::eq(a.kind, b.kind) && same(a.properties, b.properties)
}

/// Where the subject is, as far as whoever asks says.
fn address(question: &Question<'_>) -> Option<IpAddr> {
    question.context?.get("ip")?.as_str()?.parse().ok()
}

impl<'a> Asking<'a> {
    fn new(guard: &'a Guard, may: &'a May<Evaluate>, snapshot: Option<&'a Snapshot>, facts: &'a Facts<'a>) -> Self {
        Self { guard, may, snapshot, facts, subject: None, resource: None, context: None }
    }

    /// Decides, counts and records.
    async fn ask(&mut self, question: &Question<'a>) -> Result<Decision, NotRecorded> {
        let guard = self.guard;
        let began = guard.clock.monotonic_ns();
        let (decision, subject, resource, standing) = self.decide(question);
        guard.metrics.decision_seconds.record_ns(Point::Authzen, guard.clock.monotonic_ns().saturating_sub(began));
        guard.metrics.decided(Point::Authzen, &decision);
        let outcome = if decision.is_allowed() { Outcome::Allowed } else { Outcome::Denied };
        let mut event = self.may.info.event(event::kind::DECISION, outcome, &*guard.clock, &*guard.rng);
        event.principal = Some(subject);
        event.action = Some(Arc::from(question.action));
        event.resource = Some(Arc::from(resource));
        let event = event.decided(&decision).with("asked_by", self.may.caller.client_id()).at_risk(standing.as_ref());
        match self.snapshot {
            Some(snapshot) if snapshot.records_before(&decision) => guard.audit.record(event).await?,
            _ => guard.audit.queue(event),
        }
        Ok(decision)
    }

    fn decide(&mut self, question: &Question<'a>) -> (Decision, PrincipalRef, String, Option<Standing>) {
        let wire = |thing: &Thing<'_>| PrincipalRef::new(thing.kind, thing.id);
        let Some(snapshot) = self.snapshot else {
            let decision = Decision::deny(DenyReason::NoSnapshot, Arc::from(""));
            return (decision, wire(&question.subject), wire(&question.resource).to_string(), None);
        };
        let deny = |reason: DenyReason| Decision::deny(reason, Arc::clone(snapshot.digest()));
        let subject = self.subject(snapshot, &question.subject);
        let resource = self.resource(snapshot, &question.resource);
        let named = |unknown: bool, known: &PrincipalRef, thing: &Thing<'_>| {
            if unknown { wire(thing) } else { known.clone() }
        };
        match (subject, resource) {
            (Ok(subject), Ok(resource)) => {
                let risk = self.guard.engine.risk();
                let facts = risk.told(subject.reference(), self.facts.address(address(question)));
                let standing = risk.because(subject.reference(), &facts);
                let context = self.context(snapshot, question, facts.ambient);
                let decision = snapshot.decide_prepared(&subject, question.action, &resource, context);
                let who = named(!subject.is_known(), subject.reference(), &question.subject);
                let what = named(!resource.is_known(), resource.reference(), &question.resource);
                (decision, who, what.to_string(), standing)
            }
            (Err(reason), _) | (_, Err(reason)) => {
                (deny(reason), wire(&question.subject), wire(&question.resource).to_string(), None)
            }
        }
    }

    fn subject(&mut self, snapshot: &Snapshot, thing: &Thing<'a>) -> Result<Principal, DenyReason> {
        match &self.subject {
            Some((before, built)) if same_thing(before, thing) => built.clone(),
            _ => {
                let built = snapshot.subject(thing.kind, thing.id, thing.properties);
                self.subject.insert((*thing, built)).1.clone()
            }
        }
    }

    fn resource(&mut self, snapshot: &Snapshot, thing: &Thing<'a>) -> Result<Resource, DenyReason> {
        match &self.resource {
            Some((before, built)) if same_thing(before, thing) => built.clone(),
            _ => {
                let built = snapshot.object(thing.kind, thing.id, thing.properties);
                self.resource.insert((*thing, built)).1.clone()
            }
        }
    }

    fn context(&mut self, snapshot: &Snapshot, question: &Question<'a>, ambient: Ambient) -> &Prepared<'a> {
        let shared = self.context.take().filter(|(before, of, _)| {
            *of == ambient
                && before.action == question.action
                && same(before.context, question.context)
                && same(before.action_properties, question.action_properties)
        });
        let built = shared.unwrap_or_else(|| {
            let context = WireContext::new(&Facts { ambient, ..*self.facts }, question.context);
            (*question, ambient, snapshot.prepare(question.action, question.action_properties, &context))
        });
        &self.context.insert(built).2
    }
}
