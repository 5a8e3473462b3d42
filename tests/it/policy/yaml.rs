//! The test runner: a case that does not hold fails, says how, and what was never decided shows.

use stockade::policy::{embedded, testing};

fn run(test: &str) -> testing::Report {
    let dir = tempfile::tempdir().expect("a directory");
    for (path, text) in
        embedded().iter().filter(|(path, _)| !path.starts_with("tests/")).chain(&[("tests/x.test.yaml", test)])
    {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        std::fs::write(path, text).expect("is written");
    }
    testing::run(dir.path())
}

#[test]
fn a_case_that_does_not_hold_says_what_differs() {
    let report = run(r#"
cases:
  - { name: allowed after all, principal: 'Client::"a"', scopes: notes:read, route: GET /demo/notes }
  - { name: other policy, principal: 'Client::"a"', scopes: notes:read, route: GET /demo/notes, expect: allow, policies: [demo.notes.write] }
  - { name: other reason, principal: 'Client::"a"', route: GET /demo/notes, reason: forbidden }
  - { name: other tier, principal: 'Client::"a"', tier: demo, expect: allow, is: full }
  - { name: other scopes, principal: 'Client::"a"', issue: { api: x, scopes: a }, granted: a }
  - { name: two questions, principal: 'Client::"a"', tier: demo, route: GET /demo/notes }
  - { name: no entity, principal: nonsense, tier: demo }
  - { name: wrong attribute, principal: { entity: 'Client::"a"', attrs: { disabled: 1 } }, tier: demo }
  - { name: holds, principal: 'Client::"a"', route: GET /demo/notes, reason: no_permit }
"#);
    assert!(!report.passed());
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
    let differences: Vec<_> = report.cases.iter().map(|case| case.differences.join("; ")).collect();
    let expected = [
        "expected deny, got allow",
        "expected to be decided by {\"demo.notes.write\"}, got {\"demo.notes.list\"}",
        "expected the reason forbidden, got no_permit",
        "expected the tier `full`, got Some(\"reader\")",
        "expected to be granted `a`, got Some(\"\")",
        "a case asks one thing: `route`, or `action` and `resource`, or `tier`, or `issue`",
        "`nonsense` is no entity; write it like `Client::\"demo\"`",
    ];
    assert_eq!(differences[..7], expected);
    assert!(differences[7].contains("disabled"), "{}", differences[7]);
    assert_eq!(differences[8], "");
}

#[test]
fn policies_that_decided_nothing_are_listed() {
    let report = run(
        "cases:\n  - { name: one, principal: 'Client::\"a\"', scopes: notes:read, route: GET /demo/notes, expect: allow }\n",
    );
    assert!(report.passed());
    assert_eq!(report.coverage.get("demo.notes.list"), Some(&1));
    assert!(report.untested().contains(&"demo.notes.write"));
    assert!(!report.untested().contains(&"demo.notes.list"));
}

#[test]
fn a_test_file_that_does_not_parse_is_a_problem_at_its_place() {
    let report = run("cases:\n  - { name: one, principal: x, colour: red }\n");
    assert!(!report.passed());
    let problem = report.problems.first().expect("one");
    assert_eq!((problem.file.as_str(), problem.line), ("tests/x.test.yaml", 2), "{problem}");
    assert!(!run("cases: []").passed(), "no case is no success");
}
