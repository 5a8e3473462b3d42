//! What findings do to guarded calls: denied, asked to authenticate more strongly, slowed down; in a dry run only noted.

use std::sync::Arc;

use serde_json::json;
use stockade::model::Standing;
use stockade::policy::{Engine, Known, Snapshot, place};

use super::stage::Stage;

/// A stage where these are at risk: clients and people by id, addresses.
fn stage(at_risk: &[(&str, u8)], dry_run: bool) -> (Stage, Arc<Engine>) {
    let engine = Arc::new(Engine::new());
    engine.install(Snapshot::embedded().expect("loads"));
    let shared = Arc::clone(&engine);
    let stage = Stage::with(|builder| builder.snapshot(Snapshot::embedded().expect("loads")).engine(shared));
    let mut known = Known { dry_run, ..Known::default() };
    for (name, level) in at_risk {
        let standing = Standing { level: *level, finding_id: format!("fnd_{name}").into() };
        match name.parse() {
            Ok(address) => known.addresses.add(place(address), &standing),
            Err(_) if name.starts_with("usr_") => known.users.add((*name).into(), &standing),
            Err(_) => known.clients.add((*name).into(), &standing),
        }
    }
    engine.risk().show(known);
    (stage, engine)
}

fn person(stage: &Stage, acr: &str) -> String {
    let mut claims = stage.claims("app", "notes:read");
    claims["sub"] = json!("usr_ada");
    claims["gid"] = json!("gr_1");
    claims["acr"] = json!(acr);
    claims["auth_time"] = claims["iat"].clone();
    format!("Bearer {}", stage.signed(&claims))
}

#[tokio::test]
async fn a_critical_finding_about_caller_client_or_address_denies_and_the_event_names_it() {
    for name in ["robot", "192.0.2.7"] {
        let (stage, engine) = stage(&[(name, 4)], false);
        let bearer = format!("Bearer {}", stage.token("robot", "notes:read"));
        assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 403, "{name}");
        let recorded = stage.recorded();
        let [event] = recorded.as_slice() else { panic!("{recorded:?}") };
        assert_eq!(event.policies.iter().map(|id| &**id).collect::<Vec<_>>(), ["guard.risk.critical"]);
        assert_eq!(event.data.get("risk"), Some(&json!(4)));
        assert_eq!(event.data.get("finding_id"), Some(&json!(format!("fnd_{name}"))));
        engine.risk().show(Known::default());
        assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 200, "{name}: it is over");
    }
}

#[tokio::test]
async fn a_high_finding_asks_a_person_for_a_second_factor() {
    let (stage, _) = stage(&[("usr_ada", 3)], false);
    let answer = stage.call("GET", "/demo/notes", &[&person(&stage, "1")]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some_and(|wanted| wanted.contains(r#"acr_values="2""#)));
    assert_eq!(stage.call("GET", "/demo/notes", &[&person(&stage, "2")]).await.status, 200);
}

#[tokio::test]
async fn a_medium_finding_costs_the_better_tier() {
    let (stage, _) = stage(&[("robot", 2)], false);
    let bearer = format!("Bearer {}", stage.token("robot", "notes:read notes:write"));
    assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 200);
    let recorded = stage.recorded();
    assert_eq!(recorded[0].data.get("tier"), Some(&json!("reader")));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_it_would_have_changed() {
    let (stage, engine) = stage(&[("robot", 4)], true);
    let bearer = format!("Bearer {}", stage.token("robot", "notes:read notes:write"));
    assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 200);
    let recorded = stage.recorded();
    assert_eq!(recorded[0].data.get("tier"), Some(&json!("full")));
    assert_eq!(recorded[0].data.get("risk_would"), Some(&json!("forbidden")));
    assert_eq!(recorded[0].data.get("risk_would_policies"), Some(&json!(["guard.risk.critical"])));
    let mut known = Known { dry_run: true, ..Known::default() };
    known.clients.add("robot".into(), &Standing { level: 2, finding_id: "fnd_2".into() });
    engine.risk().show(known);
    assert_eq!(stage.call("GET", "/demo/notes", &[&bearer]).await.status, 200);
    let recorded = stage.recorded();
    assert_eq!(recorded[0].data.get("risk_would"), None, "it would have been allowed all the same");
    assert_eq!(recorded[0].data.get("risk_would_tier"), Some(&json!("reader")));
}
