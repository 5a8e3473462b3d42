//! `stockade token`, without a running service.

use serde_json::Value;

use super::Place;

fn place() -> Place {
    let place = Place::new();
    let text = std::fs::read_to_string(place.file()).unwrap();
    let resources = r#"resources = [{ id = "https://opaque.example", tokens = "opaque" }]"#;
    std::fs::write(place.file(), text.replace("\nresources = []", &format!("\n{resources}"))).unwrap();
    place.json(&["key", "rotate", "--alg", "ES256"]);
    place.json(&[
        "client",
        "create",
        "--id",
        "app",
        "--grant",
        "client_credentials",
        "--scope",
        "a",
        "--scope",
        "b",
        "--resource",
        "http://localhost:8080",
        "--resource",
        "https://opaque.example",
    ]);
    place
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_issued_token_is_alive_until_it_is_revoked_whatever_its_form() {
    let place = place();
    for (flags, prefix) in [(&["--scope", "a"][..], "eyJ"), (&["--resource", "https://opaque.example"], "stk_at_")] {
        let issued = place.json(&[&["token", "issue", "--client", "app"], flags].concat());
        let token = issued["access_token"].as_str().unwrap();
        assert!(token.starts_with(prefix), "{prefix}");
        let said = place.run_with(&["token", "introspect", "--output", "json"], token);
        assert_eq!(said.code, 0, "{said:?}");
        let claims = parsed(&said.out);
        assert_eq!((&claims["client_id"], &claims["jti"]), (&"app".into(), &issued["jti"]));
        assert_eq!(claims["scope"], issued["scope"]);

        assert_eq!(place.run_with(&["token", "revoke"], token).code, 0);
        let said = place.run_with(&["token", "introspect", "--output", "json"], token);
        assert_eq!((said.code, parsed(&said.out)), (1, serde_json::json!({ "active": false })), "{prefix}");
        let events = place.json(&["audit", "query", "--limit", "500"]);
        let of_kind = |kind: &str| {
            let mut all = events.as_array().unwrap().iter();
            all.any(|e| e["kind"] == kind && e["data"]["jti"] == issued["jti"])
        };
        assert!(of_kind("token.issued") && of_kind("token.revoked"), "{events}");
        assert!(!events.to_string().contains(token), "the token is in the log");
    }
}

#[test]
fn a_token_is_issued_within_what_the_client_registered_and_the_policies_allow() {
    let place = place();
    let issue = |flags: &[&str]| place.run(&[&["token", "issue"], flags].concat());
    for (flags, told) in [
        (&["--client", "nobody"][..], "there is no client `nobody`"),
        (&["--client", "app", "--scope", "c"], "not registered for the scope `c`"),
        (&["--client", "app", "--resource", "https://other.example"], "not registered for `https://other.example`"),
    ] {
        let said = issue(flags);
        assert!(said.code == 1 && said.err.contains(told), "{flags:?}: {said:?}");
    }
    place.json(&["client", "disable", "app"]);
    let said = issue(&["--client", "app"]);
    assert!(said.code == 1 && said.err.contains("refuse"), "{said:?}");
    let refused = place.json(&["audit", "query", "--kind", "token.refused"]);
    assert_eq!(refused[0]["policies"][0], "guard.disabled.client", "{refused}");
}

#[test]
fn what_is_no_token_is_not_active_and_nothing_to_revoke() {
    let place = place();
    for text in ["nonsense", "eyJhbGciOiJub25lIn0.e30.", "stk_at_x"] {
        let said = place.run_with(&["token", "introspect", "--output", "json"], text);
        assert_eq!((said.code, parsed(&said.out)), (1, serde_json::json!({ "active": false })), "{said:?}");
        assert!(!said.err.contains(text), "{said:?}");
        assert_eq!(place.run_with(&["token", "revoke"], text).code, 1);
    }
    assert_eq!(place.run_with(&["token", "introspect"], " \n").code, 2);
}

#[test]
fn a_token_is_explained_for_people_and_for_programs() {
    let place = place();
    let issued = place.json(&["token", "issue", "--client", "app", "--scope", "a"]);
    let (jti, token) = (issued["jti"].as_str().unwrap(), issued["access_token"].as_str().unwrap());
    let said = place.run(&["token", "explain", jti]);
    assert_eq!(said.code, 0, "{said:?}");
    for line in
        ["verdict", "issued", "tokens.scope.registered: it is given the scopes it registered", "(in force)", jti]
    {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    let by_token = place.run_with(&["token", "explain", "--output", "json"], token);
    assert_eq!(parsed(&by_token.out)[0]["jti"], jti);
    assert!(!by_token.out.contains(token));

    place.json(&["client", "disable", "app"]);
    assert_eq!(place.run(&["token", "issue", "--client", "app"]).code, 1);
    let refused = place.json(&["audit", "query", "--kind", "token.refused"]);
    let told = place.json(&["token", "explain", refused[0]["request_id"].as_str().unwrap()]);
    assert_eq!(
        (&told[0]["verdict"], &told[0]["policies"][0]["id"]),
        (&"refused".into(), &"guard.disabled.client".into())
    );

    // Other policies are in force by now: what decided then is still told, by its name.
    std::fs::write(
        place.path().join("policies/guard/x.cedar"),
        "@id(\"guard.x\")\nforbid (principal == Stockade::User::\"x\", action, resource);\n",
    )
    .unwrap();
    let said = place.run(&["token", "explain", jti]);
    assert!(said.out.contains("tokens.scope.registered") && said.out.contains("(no longer in force)"), "{said:?}");
    let nobody = place.run(&["token", "explain", "at_01J9ZZZZZZZZZZZZZZZZZZZZZZ"]);
    assert!(nobody.code == 1 && nobody.err.contains("issued elsewhere, or never"), "{nobody:?}");
    assert_eq!(place.run(&["token", "revoke", jti]).code, 0, "by its id");
    assert_eq!(place.run_with(&["token", "introspect"], token).code, 1);
}
