//! Decisions in process, for a ready principal.

use std::cell::Cell;
use std::hint::black_box;

use stockade::base::{Clock as _, SystemClock};
use stockade::policy::{Facts, Principal, Question, Resource, Snapshot};

use crate::policies;
use crate::report::{Bound, Report};
use crate::timing::{interleaved, p50_us};

const CALLS: usize = 20_000;

/// Adds the lines of the policy engine.
pub(crate) fn measure(report: &mut Report) {
    let roles = ["r0".to_owned(), "staff".to_owned(), "everyone".to_owned()];
    let principal = Principal::user("ada", &roles, false);
    let resource = Resource::route("GET", "/demo/notes", "a0", "demo");
    let set = |count| Snapshot::from_files(&policies::tree(count, false)).expect("the generated set is valid");
    let (small, large) = (set(10), set(10_000));
    // Every question differs in what some candidate reads: the answer is worked out each time.
    let asked = Cell::new(0_u32);
    let decide = |snapshot: &Snapshot| {
        asked.set(asked.get() + 1);
        let facts = Facts { auth_age_secs: asked.get(), acr: 3, ..Facts::at(SystemClock.now()) };
        let question = Question { principal: &principal, action: "notes:list", resource: &resource, facts: &facts };
        let decision = snapshot.decide(&question);
        assert!(decision.is_allowed() && decision.policies.len() == policies::MATCHING, "{decision:?}");
        black_box(decision);
    };
    let many = |snapshot: &Snapshot| (0..CALLS).for_each(|_| decide(snapshot));
    let times = interleaved(7, &mut [&mut || many(&small), &mut || many(&large)]);
    let us: Vec<f64> = times.iter().map(|time| time.as_nanos() as f64 / 1000.0 / CALLS as f64).collect();
    report.line("decision in process, 10,000 policies against 10", "us", us[1], us[0], Bound::AtMost(1.3));
    let p50 = p50_us(CALLS, || decide(&large));
    report.line("decision in process, 10,000 policies, p50 against 20 us", "us", p50, 20.0, Bound::AtMost(1.0));
    let again = p50_us(CALLS, || {
        let facts = Facts::at(SystemClock.now()).scopes("notes:read");
        let question = Question { principal: &principal, action: "notes:list", resource: &resource, facts: &facts };
        black_box(large.decide(&question));
    });
    report.line("the same question again, p50 against a new one", "us", again, p50, Bound::Free);
}
