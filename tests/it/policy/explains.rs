//! Explanations name what decided, and for a default deny the clause that was missing.

use stockade::base::Timestamp;
use stockade::policy::{Facts, Principal, Question, Resource, Snapshot, explain};

#[test]
fn a_default_deny_names_the_nearest_permit_and_the_clause_that_failed() {
    let snapshot = Snapshot::embedded().expect("loads");
    let principal = Principal::token_client("reader");
    let resource = Resource::route("POST", "/demo/notes", "demo", "demo");
    let facts = Facts::at(Timestamp::from_secs(1_800_000_000)).scopes("notes:read");
    let question = Question { principal: &principal, action: "notes:write", resource: &resource, facts: &facts };
    let why = explain::explain(&snapshot, &question);
    assert_eq!(why.reason, Some("no_permit"));
    let nearest = why.nearest.first().expect("one is near");
    assert_eq!(&*nearest.policy.id, "demo.notes.write");
    assert_eq!(nearest.policy.file.as_deref(), Some("grant/demo.cedar"));
    assert_eq!(nearest.failed.len(), 1, "{why}");
    assert_eq!(nearest.failed[0].part, "when");
    assert_eq!(nearest.failed[0].came_to, "false");
    assert!(nearest.failed[0].text.contains(r#"contains("notes:write")"#), "{why}");
}
