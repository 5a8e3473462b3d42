//! Tests beside the policies: `tests/*.test.yaml`.
//!
//! ```yaml
//! principals:
//!   reader: { entity: 'Client::"reader"', attrs: { scopes: ["notes:read"] }, parents: ['Role::"partner"'] }
//! cases:
//!   - name: a reader lists notes
//!     principal: reader                 # a name from above, or an entity such as Operator::"local"
//!     scopes: notes:read                # also: client, acr, auth_age, ip, now, risk, feed_age, budget_left_bp, context
//!     route: GET /demo/notes            # or: action and resource, or: tier: CLASS, or: issue: { api, grant, scopes }
//!     expect: allow                     # a case that expects nothing expects a denial
//!     policies: [demo.notes.list]       # exactly the deciding ones, when given
//!   - name: which tier
//!     principal: reader
//!     tier: demo
//!     expect: allow
//!     is: reader                        # of an issue: granted
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ambient::Ambient;
use super::decide::Given;
use super::entity::{Principal, Resource};
use super::facts::Facts;
use super::named::{WireContext, spelled_uid};
use super::problem::{Files, Problem};
use super::snapshot::Snapshot;
use crate::base::Timestamp;
use crate::model::{Decision, DenyReason};

/// When it is in a case that does not say.
const NOON: Timestamp = Timestamp::from_secs(1_767_268_800);

/// What a run of the tests found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Everything wrong with the tree or with a test file. Not empty: nothing was run, or not all.
    pub problems: Vec<Problem>,
    /// Each case.
    pub cases: Vec<Outcome>,
    /// For each policy, how many cases it determined.
    pub coverage: BTreeMap<Arc<str>, usize>,
}

/// What became of a case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The test file.
    pub file: String,
    /// The case's name.
    pub name: String,
    /// What differs from what it expects; empty when it passed.
    pub differences: Vec<String>,
}

impl Report {
    /// Whether every case passed and nothing was wrong.
    pub fn passed(&self) -> bool {
        !self.problems.iter().any(Problem::is_error) && self.cases.iter().all(|case| case.differences.is_empty())
    }

    /// Policies that determined no case.
    pub fn untested(&self) -> Vec<&str> {
        self.coverage.iter().filter(|(_, cases)| **cases == 0).map(|(id, _)| &**id).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    principals: BTreeMap<String, Spelled>,
    #[serde(default)]
    cases: Vec<Case>,
}

/// An entity: its name alone, or with attributes and parents.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Name(String),
    Whole(Whole),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    entity: String,
    #[serde(default)]
    attrs: Map<String, Value>,
    #[serde(default)]
    parents: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    principal: Spelled,
    #[serde(default)]
    scopes: String,
    #[serde(default)]
    client: String,
    #[serde(default)]
    acr: u8,
    #[serde(default)]
    auth_age: u32,
    ip: Option<IpAddr>,
    now: Option<Timestamp>,
    #[serde(default)]
    risk: u8,
    #[serde(default)]
    feed_age: u32,
    budget_left_bp: Option<u16>,
    context: Option<Map<String, Value>>,

    route: Option<String>,
    action: Option<String>,
    resource: Option<Spelled>,
    tier: Option<String>,
    issue: Option<Issue>,

    #[serde(default)]
    expect: Expect,
    policies: Option<BTreeSet<String>>,
    reason: Option<DenyReason>,
    is: Option<String>,
    granted: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    api: String,
    #[serde(default = "client_credentials")]
    grant: String,
    #[serde(default)]
    scopes: String,
}

fn client_credentials() -> String {
    "client_credentials".to_owned()
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Allow,
    #[default]
    Deny,
}

/// Runs the tests of a policy tree.
pub fn run(dir: &Path) -> Report {
    let files = match Files::read(dir) {
        Ok(files) => files,
        Err(problems) => return Report { problems, ..Report::default() },
    };
    let snapshot = match Snapshot::from_files(&files) {
        Ok(snapshot) => snapshot,
        Err(problems) => return Report { problems, ..Report::default() },
    };
    let coverage = snapshot.policy_ids().into_iter().map(|id| (id, 0)).collect();
    let mut report = Report { coverage, ..Report::default() };
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".test.yaml")) {
        match serde_yaml_ng::from_str::<File>(text) {
            Ok(file) => run_file(&snapshot, path, &file, &mut report),
            Err(e) => {
                let (line, column) = e.location().map_or((0, 0), |at| (at.line(), at.column()));
                report.problems.push(Problem { line, column, ..Problem::file(path, e.to_string()) });
            }
        }
    }
    if report.cases.is_empty() && report.problems.is_empty() {
        report.problems.push(Problem::file("tests", "no case in `tests/*.test.yaml`; write one"));
    }
    report
}

fn run_file(snapshot: &Snapshot, path: &str, file: &File, report: &mut Report) {
    for case in &file.cases {
        let differences = match answer(snapshot, file, case) {
            Err(message) => vec![message],
            Ok(answer) => {
                let determined = answer.decision.policies.iter().chain(&answer.decision.errors);
                for id in determined {
                    *report.coverage.entry(Arc::clone(id)).or_default() += 1;
                }
                compare(case, &answer)
            }
        };
        report.cases.push(Outcome { file: path.to_owned(), name: case.name.clone(), differences });
    }
}

struct Answer {
    decision: Decision,
    tier: Option<String>,
    granted: Option<String>,
}

fn answer(snapshot: &Snapshot, file: &File, case: &Case) -> Result<Answer, String> {
    let named = match &case.principal {
        Spelled::Name(name) => file.principals.get(name).unwrap_or(&case.principal),
        Spelled::Whole(_) => &case.principal,
    };
    let (uid, entity) = entity(snapshot, named)?;
    let principal = Principal::of(uid, Some(entity), false);
    let facts = Facts {
        scopes: &case.scopes,
        client: &case.client,
        now: case.now.unwrap_or(NOON),
        address: case.ip,
        acr: case.acr,
        auth_age_secs: case.auth_age,
        ambient: Ambient {
            risk_level: case.risk,
            feed_age_secs: case.feed_age,
            budget_left_bp: case.budget_left_bp.unwrap_or(Ambient::default().budget_left_bp),
            dry_run: false,
        },
    };
    let plain = |decision| Answer { decision, tier: None, granted: None };
    match (&case.route, &case.action, &case.resource, &case.tier, &case.issue) {
        (Some(route), None, None, None, None) => {
            let (method, path) = route.split_once(' ').ok_or("a route is a method and a path: `GET /x`")?;
            let Some(found) = snapshot.route(method, path) else {
                return Ok(plain(Decision::deny(DenyReason::NoRoute, Arc::clone(snapshot.digest()))));
            };
            let given = Given::Facts(facts, None);
            Ok(plain(snapshot.decide_given(&principal, &found.route.action, &found.route.resource, given)))
        }
        (None, Some(action), Some(resource), None, None) => {
            let (uid, entity) = self::entity(snapshot, resource)?;
            let resource = Resource::of(uid, Some(entity), false);
            let context = WireContext::new(&facts, case.context.as_ref());
            Ok(plain(snapshot.decide_wire(&principal, action, None, &resource, &context)))
        }
        (None, None, None, Some(class), None) => Ok(match snapshot.choose(&principal, class, &facts) {
            (Some(tier), decision) => Answer { tier: Some(tier.name.to_string()), ..plain(decision) },
            (None, decision) => plain(decision),
        }),
        (None, None, None, None, Some(issue)) => {
            let scopes: Vec<&str> = issue.scopes.split_whitespace().collect();
            let issuance = snapshot.issuance(&principal, &issue.grant, &Resource::api(&issue.api), &scopes, &facts);
            Ok(Answer { granted: Some(issuance.scopes.join(" ")), ..plain(issuance.decision) })
        }
        _ => Err("a case asks one thing: `route`, or `action` and `resource`, or `tier`, or `issue`".to_owned()),
    }
}

fn entity(snapshot: &Snapshot, spelled: &Spelled) -> Result<(cedar_policy::EntityUid, cedar_policy::Entity), String> {
    let (text, attributes, parents) = match spelled {
        Spelled::Name(text) => (text, &Map::new(), &Vec::new()),
        Spelled::Whole(whole) => (&whole.entity, &whole.attrs, &whole.parents),
    };
    let uid = |text: &str| spelled_uid(text).ok_or(format!("`{text}` is no entity; write it like `Client::\"demo\"`"));
    let parents = parents.iter().map(|text| uid(text)).collect::<Result<Vec<_>, _>>()?;
    let uid = uid(text)?;
    let entity = snapshot.spelled(&uid, attributes, &parents)?;
    Ok((uid, entity))
}

fn compare(case: &Case, answer: &Answer) -> Vec<String> {
    let mut differences = Vec::new();
    let decision = &answer.decision;
    let word = |allowed: bool| if allowed { "allow" } else { "deny" };
    if decision.is_allowed() != (case.expect == Expect::Allow) {
        let why = decision.denied.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
        differences.push(format!(
            "expected {}, got {}{why}",
            word(case.expect == Expect::Allow),
            word(decision.is_allowed())
        ));
    }
    let deciding: BTreeSet<String> = decision.policies.iter().map(ToString::to_string).collect();
    if let Some(expected) = case.policies.as_ref().filter(|expected| **expected != deciding) {
        differences.push(format!("expected to be decided by {expected:?}, got {deciding:?}"));
    }
    if let Some(reason) = case.reason.filter(|reason| decision.denied != Some(*reason)) {
        let got = decision.denied.map_or("none", DenyReason::as_str);
        differences.push(format!("expected the reason {}, got {got}", reason.as_str()));
    }
    if let Some(tier) = case.is.as_ref().filter(|tier| answer.tier.as_ref() != Some(tier)) {
        differences.push(format!("expected the tier `{tier}`, got {:?}", answer.tier));
    }
    if let Some(granted) = case.granted.as_ref().filter(|granted| answer.granted.as_ref() != Some(granted)) {
        differences.push(format!("expected to be granted `{granted}`, got {:?}", answer.granted));
    }
    differences
}
