//! C12: a policy that wants a stronger or fresher sign-in says so, and the caller learns what to ask for (RFC 9470).

use serde_json::json;
use stockade::policy::{Files, Snapshot, embedded};

use super::stage::Stage;

const POLICIES: &str = r#"
    @id("step.strong") @acr("2")
    forbid (principal is Stockade::User, action == Notes::Action::"notes:list", resource) when { context.acr < 2 };
    @id("step.fresh") @max_age("300")
    forbid (principal is Stockade::User, action == Notes::Action::"notes:list", resource)
    when { context.authAgeSeconds > 300 };
    @id("never.bob") forbid (principal == Stockade::User::"usr_bob", action == Notes::Action::"notes:list", resource);
    @id("step.client") @acr("3")
    forbid (principal == Stockade::Client::"robot", action == Notes::Action::"notes:list", resource);
"#;

fn stage() -> Stage {
    let shipped = embedded().iter().copied();
    let files = Files::new(shipped.chain([("guard/step.cedar", POLICIES)]));
    let snapshot = Snapshot::from_files(&files).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Stage::with(|builder| builder.snapshot(snapshot))
}

fn token(stage: &Stage, user: &str, acr: &str, age: i64) -> String {
    let mut claims = stage.claims("app", "notes:read");
    let now = claims["iat"].as_i64().expect("a date") + 10;
    claims["sub"] = json!(user);
    claims["gid"] = json!("gr_1");
    claims["acr"] = json!(acr);
    claims["auth_time"] = json!(now - age);
    stage.signed(&claims)
}

#[tokio::test]
async fn c12_the_challenge_names_what_would_be_strong_and_fresh_enough() {
    let stage = stage();
    for (user, acr, age, status, challenge) in [
        ("usr_ada", "2", 300, 200, None),
        ("usr_ada", "1", 0, 401, Some(r#"acr_values="2""#)),
        ("usr_ada", "2", 301, 401, Some(r#"max_age="300""#)),
        ("usr_ada", "1", 301, 401, Some(r#"acr_values="2", max_age="300""#)),
        ("usr_ada", "gold", 0, 401, Some(r#"acr_values="2""#)),
        ("usr_bob", "1", 0, 403, None),
        ("usr_bob", "3", 0, 403, None),
    ] {
        let bearer = format!("Bearer {}", token(&stage, user, acr, age));
        let answer = stage.call("GET", "/demo/notes", &[&bearer]).await;
        assert_eq!(answer.status.as_u16(), status, "{user} {acr} {age}");
        let wanted = challenge.map(|rest| format!(r#"Bearer error="insufficient_user_authentication", {rest}"#));
        assert_eq!(answer.header("www-authenticate").map(str::to_owned), wanted, "{user} {acr} {age}");
        if status == 401 {
            assert_eq!(answer.json()["type"], "urn:stockade:problem:insufficient-authentication");
        }
    }
}

#[tokio::test]
async fn c12_the_refusal_is_a_decision_like_any_other() {
    let stage = stage();
    let bearer = format!("Bearer {}", token(&stage, "usr_ada", "1", 0));
    stage.call("GET", "/demo/notes", &[&bearer]).await;
    let recorded = stage.recorded();
    let [event] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert_eq!(event.policies.iter().map(|id| &**id).collect::<Vec<_>>(), ["step.strong"]);
}

#[tokio::test]
async fn c12_a_client_has_nobody_who_could_authenticate() {
    let stage = stage();
    let bearer = format!("Bearer {}", stage.token("robot", "notes:read"));
    assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 403);
}

#[tokio::test]
async fn c12_nginx_is_told_401() {
    let stage = stage();
    let answer = stage.ask("GET", "/demo/notes", Some(&token(&stage, "usr_ada", "1", 0))).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.contains(r#"acr_values="2""#)));
}
