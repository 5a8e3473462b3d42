//! `stockade plan`, `apply`, `drift`: files against a store.

use serde_json::Value;

use super::{Place, Said};

const FILE: &str = r#"
[[client]]
client_id = "app"
grants = ["client_credentials"]
scopes = ["notes:read"]

[[client]]
client_id = "web"
kind = "public"
grants = ["authorization_code", "refresh_token"]
scopes = ["openid"]
redirect_uris = ["https://app.example/cb"]

[[user]]
username = "Ada"
name = "Ada Lovelace"
roles = ["admin"]
"#;

fn declare(place: &Place, text: &str) {
    std::fs::create_dir_all(place.path().join("people")).unwrap();
    std::fs::write(place.path().join("people/all.toml"), text).unwrap();
}

fn declared() -> Place {
    let place = Place::new();
    declare(&place, FILE);
    place
}

/// `apply --yes`, which must succeed: what it tells.
fn apply(place: &Place, more: &[&str]) -> Value {
    place.json(&[&["apply", "people", "--yes"], more].concat())
}

fn drifts(place: &Place, more: &[&str]) -> i32 {
    place.run(&[&["drift", "people"], more].concat()).code
}

#[test]
fn what_is_applied_is_there_and_a_second_time_changes_nothing() {
    let place = declared();
    let said = place.run(&["plan", "people"]);
    assert_eq!(said.code, 0, "{said:?}");
    for line in ["+ client app", "    scopes: notes:read", "+ user ada", "3 to create, 0 to update, 0 to delete; plan "]
    {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert_eq!(place.json(&["client", "list"]).as_array().unwrap().len(), 0, "a plan does nothing");
    assert_eq!(drifts(&place, &[]), 1);

    let done = apply(&place, &[]);
    let secret = |id: &str, name: &str| {
        let one = done.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
        one.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    assert!(secret("app", "client_secret").is_some_and(|secret| secret.len() > 20));
    assert!(secret("web", "client_secret").is_none() && secret("ada", "password").is_some());
    assert_eq!(place.json(&["client", "show", "app"])["scopes"], serde_json::json!(["notes:read"]));
    assert_eq!(place.json(&["user", "show", "ada"])["roles"], serde_json::json!(["admin"]));

    assert_eq!(drifts(&place, &[]), 0);
    let again = place.run(&["apply", "people", "--yes"]);
    assert!(again.code == 0 && again.out.contains("nothing to do"), "{again:?}");
    let log = place.run(&["audit", "query", "--kind", "client.changed", "--output", "json"]);
    assert_eq!(log.out.matches("\"change\": \"created\"").count(), 2, "{log:?}");
}

#[test]
fn what_differs_is_named_member_by_member_and_put_right() {
    let place = declared();
    apply(&place, &[]);
    declare(&place, &FILE.replace("\"notes:read\"", "\"notes:read\", \"notes:write\"").replace("[\"admin\"]", "[]"));
    let said = place.run(&["plan", "people"]);
    for line in
        ["~ client app", "    scopes: notes:read -> notes:read notes:write", "~ user ada", "    roles: admin -> "]
    {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert!(!said.out.contains("client web"), "{said:?}");
    assert!(said.out.contains("0 to create, 2 to update, 0 to delete"), "{said:?}");
    let before = place.json(&["client", "show", "app"]);
    apply(&place, &[]);
    let after = place.json(&["client", "show", "app"]);
    assert_eq!(before["secrets"], after["secrets"], "its secret stays");
    assert_eq!(place.json(&["user", "show", "ada"])["roles"], serde_json::json!([]));
    assert_eq!(drifts(&place, &[]), 0);
    // Somebody changes it by hand.
    assert_eq!(place.run(&["client", "delete", "web"]).code, 0);
    assert_eq!(drifts(&place, &[]), 1);
}

#[test]
fn a_client_that_becomes_confidential_is_given_a_secret() {
    let place = declared();
    apply(&place, &[]);
    declare(&place, &FILE.replace("kind = \"public\"", "kind = \"confidential\""));
    let done = apply(&place, &[]);
    assert!(done[0]["client_secret"].is_string(), "{done}");
    assert_eq!(drifts(&place, &[]), 0);
}

#[test]
fn who_was_shut_out_stays_out_unless_a_file_says_otherwise() {
    let place = declared();
    apply(&place, &[]);
    assert_eq!(place.run(&["client", "disable", "app"]).code, 0);
    assert_eq!(place.run(&["user", "disable", "ada"]).code, 0);
    assert_eq!(drifts(&place, &[]), 0);
    declare(&place, &FILE.replace("scopes = [\"notes:read\"]", "scopes = [\"notes:read\"]\ndisabled = false"));
    apply(&place, &[]);
    assert_eq!(place.json(&["client", "show", "app"])["disabled"], false);
    assert_eq!(place.json(&["user", "show", "ada"])["disabled"], true);
    declare(&place, &format!("{FILE}\n[[user]]\nusername = \"eve\"\ndisabled = true\n"));
    apply(&place, &[]);
    assert_eq!(place.json(&["user", "show", "eve"])["disabled"], true);
    assert_eq!(drifts(&place, &[]), 0);
}

#[test]
fn nothing_is_deleted_unless_that_is_asked_for() {
    let place = declared();
    apply(&place, &[]);
    declare(&place, "[[client]]\nclient_id = \"app\"\ngrants = [\"client_credentials\"]\nscopes = [\"notes:read\"]\n");
    let said = place.run(&["plan", "people"]);
    assert!(said.code == 0 && said.out.contains("nothing to do"), "{said:?}");
    assert!(said.err.contains("client web, user ada"), "{said:?}");
    assert_eq!(drifts(&place, &[]), 0);
    assert_eq!(drifts(&place, &["--prune"]), 1);
    let done = apply(&place, &["--prune"]);
    assert_eq!(done.as_array().unwrap().len(), 2, "{done}");
    assert_eq!(place.run(&["client", "show", "web"]).code, 1);
    assert_eq!(place.json(&["user", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn every_mistake_is_told_at_once_with_its_file_and_line() {
    let place = declared();
    let text = "[[client]]\nclient_id = \"app\"\nscope = [\"x\"]\ngrants = [\n  \"client_credentials\",\n  \"implicit\",\n]\n\
                [[client]]\nclient_id = \"spa\"\nkind = \"public\"\nredirect_uris = [\"http://app.example/cb\"]\n\
                [[user]]\nusername = \"ada\"\nemail = \"nobody\"\npassword = \"x\"\n";
    declare(&place, text);
    std::fs::write(place.path().join("people/more.toml"), "[[clients]]\n").unwrap();
    let said = place.run(&["plan", "people"]);
    assert_eq!(said.code, 2, "{said:?}");
    for start in [
        "people/all.toml:3: `scope`: there is no such member: did you mean `scopes`?",
        "people/all.toml:4: `grants`: ",
        "people/all.toml:11: `redirect_uris`: ",
        "people/all.toml:14: `email`: ",
        "people/all.toml:15: `password`: secrets are never in files",
        "people/more.toml:1: `clients`: there is no such member: did you mean `client`?",
    ] {
        assert!(said.err.contains(&format!("error: {start}")), "{start}: {said:?}");
    }
    assert_eq!(said.err.lines().count(), 6, "{said:?}");
    assert_eq!(place.run(&["apply", "people", "--yes"]).code, 2);
    assert_eq!(place.json(&["client", "list"]).as_array().unwrap().len(), 0, "nothing of it was done");
    assert_eq!(place.run(&["plan", "nowhere"]).code, 2);
}

fn digest(said: &Said) -> String {
    said.out.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_plan_that_is_no_longer_the_plan_is_refused() {
    let place = declared();
    apply(&place, &[]);
    declare(&place, &FILE.replace("\"notes:read\"", "\"notes:write\""));
    let plan = digest(&place.run(&["plan", "people"]));
    assert_eq!(digest(&place.run(&["plan", "people"])), plan, "the same plan has one name");
    // What would be done is the same; what it would be done to is not.
    assert_eq!(place.run(&["client", "rotate-secret", "app"]).code, 0);
    let said = place.run(&["apply", "people", "--yes", "--plan", &plan]);
    assert!(said.code == 1 && said.err.contains(&plan), "{said:?}");
    assert_eq!(place.json(&["client", "show", "app"])["scopes"], serde_json::json!(["notes:read"]));
    let plan = digest(&place.run(&["plan", "people"]));
    assert_eq!(place.run(&["apply", "people", "--yes", "--plan", &plan]).code, 0);
    assert_eq!(drifts(&place, &[]), 0);
}

#[test]
fn nobody_to_ask_and_no_leave_mean_no() {
    let place = declared();
    let said = place.run_with(&["apply", "people"], "yes\n");
    assert!(said.code == 2 && said.err.contains("--yes"), "{said:?}");
    assert_eq!(place.json(&["client", "list"]).as_array().unwrap().len(), 0);
    let forbid = "@id(\"no-apply\")\nforbid (principal, action == Stockade::Action::\"user:create\", resource);\n";
    std::fs::write(place.path().join("policies/guard/no_apply.cedar"), forbid).unwrap();
    let said = place.run(&["apply", "people", "--yes"]);
    assert!(said.code == 1 && said.err.contains("may not `user:create`") && said.err.contains("no-apply"), "{said:?}");
    assert_eq!(place.json(&["client", "list"]).as_array().unwrap().len(), 0, "the plan as a whole is refused");
    let log = place.run(&["audit", "query", "--outcome", "denied", "--output", "json"]);
    assert!(log.out.contains("user:create"), "a denial is recorded: {log:?}");
}
