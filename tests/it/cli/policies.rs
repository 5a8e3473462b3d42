//! `stockade policy test` and `explain`.

use super::Place;

#[test]
fn the_starters_tests_pass_and_a_changed_policy_fails_them() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().join("policies/tests")).unwrap();
    std::fs::write(
        place.path().join("policies/tests/mine.test.yaml"),
        "cases:\n  - name: the operator lists clients\n    principal: 'Operator::\"local\"'\n    action: client:list\n    \
         resource: 'ClientRegistry::\"main\"'\n    expect: allow\n",
    )
    .unwrap();
    let said = place.run(&["policy", "test", "policies"]);
    assert!(said.code == 0 && said.out.contains("0 failed"), "{said:?}");
    let guard = "@id(\"guard.all\")\nforbid (principal, action, resource);\n";
    std::fs::write(place.path().join("policies/guard/all.cedar"), guard).unwrap();
    let said = place.run(&["policy", "test", "policies"]);
    assert!(
        said.code == 1 && said.out.contains("FAILED") && said.out.contains("the operator lists clients"),
        "{said:?}"
    );
    assert_eq!(place.run(&["policy", "test", "nowhere"]).code, 2);
}

#[test]
fn explain_names_what_decided_and_what_is_missing() {
    let place = Place::new();
    let ask = |more: &[&str]| {
        let question = ["policy", "explain", "--principal", "Client::\"app\"", "--action", "notes:write"];
        place.run(&[&question[..], &["--resource", "Route::\"POST /demo/notes\""], more].concat())
    };
    let said = ask(&["--scope", "notes:read"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("denied") && said.out.contains("demo.notes.write"), "{said:?}");
    let said = ask(&["--scope", "notes:write"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("allowed") && said.out.contains("demo.notes.write"), "{said:?}");
    let said = ask(&["--context", "not json"]);
    assert_eq!(said.code, 2, "{said:?}");
    let said = place.run(&["policy", "explain", "--principal", "app", "--action", "a", "--resource", "b"]);
    assert_eq!(said.code, 2, "{said:?}");
}

#[test]
fn while_the_policies_do_not_load_the_command_line_decides_by_the_shipped_ones_and_says_so() {
    let place = Place::new();
    place.json(&["client", "create", "--id", "app"]);
    std::fs::write(place.path().join("policies/guard/core.cedar"), "forbid (").unwrap();
    let said = place.run(&["client", "disable", "app"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("guard/core.cedar:1") && said.err.contains("inside this binary"), "{said:?}");
    assert_eq!(place.json(&["audit", "query", "--action", "client:disable"]).as_array().unwrap().len(), 1);
}

#[test]
fn policies_older_than_the_binary_are_told_apart_and_what_they_do_not_know_is_denied() {
    let place = Place::new();
    place.json(&["user", "create", "ada"]);
    let schema = place.path().join("policies/schema/core.cedarschema");
    let text = std::fs::read_to_string(&schema).unwrap();
    std::fs::write(&schema, text.replace("\"user:disable\", ", "")).unwrap();
    let said = place.run(&["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("schema/core.cedarschema: warning: the schema lacks `user:disable`,"), "{said:?}");
    let said = place.run(&["user", "disable", "ada"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("may not `user:disable`: unknown_action; the policies are older"), "{said:?}");
    assert_eq!(place.json(&["user", "show", "ada"])["disabled"], serde_json::json!(false));
    assert_eq!(place.json(&["user", "enable", "ada"])["disabled"], serde_json::json!(false), "the rest works");
}
