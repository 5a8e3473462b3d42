//! What findings end, on both databases: sessions and families that policy lets nobody keep.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stockade::base::{Clock, ManualClock, Secret, SystemRng, Timestamp};
use stockade::config::{Risk, RiskMode};
use stockade::findings::Responder;
use stockade::live::{self, Live};
use stockade::model::{Acr, Session, User};
use stockade::policy::{Engine, Files, Snapshot, embedded};
use stockade::store::{Store, grants, sessions, users};
use stockade::telemetry::Metrics;

use super::recorded;
use crate::store::people::grant;
use crate::support::stores::stores;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Stage {
    store: Store,
    clock: Arc<ManualClock>,
    live: Arc<Live>,
    engine: Arc<Engine>,
    responder: Responder,
}

/// A server with these policies beside the shipped ones, and a person `ada` with a weak session, a strong one and a family
/// that needs none.
async fn stage(store: &Store, more: &'static str, settings: Risk) -> Stage {
    let user = User::new("usr_ada".to_owned(), "ada".to_owned(), START);
    let mut tx = store.begin().await.unwrap();
    users::insert(&mut tx, &user).await.unwrap();
    for (number, acr) in [(1_u8, Acr::One), (2, Acr::Two)] {
        let session = Session {
            session_id: format!("ses_{number}"),
            user_id: user.user_id.clone(),
            acr,
            amr: Vec::new(),
            auth_time: START,
            created_at: START,
            last_seen_at: START,
            expires_at: START.plus(Duration::from_secs(36_000)),
            address: None,
            user_agent: None,
        };
        sessions::insert(&mut tx, &[number; 32], &session).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let app = crate::store::client("c");
    stockade::store::clients::insert(&mut tx, &app).await.unwrap();
    let mut family = grant("gr_1", &user);
    (family.client_id, family.session_id, family.acr) = (app.client_id, None, Acr::One);
    family.expires_at = START.plus(Duration::from_secs(36_000));
    grants::insert(&mut tx, &family).await.unwrap();
    tx.commit().await.unwrap();

    let clock = Arc::new(ManualClock::at(START));
    let time = || Arc::clone(&clock) as Arc<dyn Clock>;
    let sealer = live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
    let live = Arc::new(Live::load(store.clone(), sealer, "http://localhost:8080", time()).await.unwrap());
    let engine = Arc::new(Engine::new());
    let files = embedded().iter().copied().chain([("guard/more.cedar", more)]);
    engine.install(Snapshot::from_files(&Files::new(files)).unwrap());
    live.tell_risk(Arc::clone(&engine), settings, false).await.unwrap();
    let metrics = Arc::new(Metrics::register());
    let responder =
        Responder::new(Arc::clone(&live), Arc::clone(&engine), store.clone(), metrics, time(), Arc::new(SystemRng));
    Stage { store: store.clone(), clock, live, engine, responder }
}

fn on() -> Risk {
    Risk { mode: RiskMode::On, ..Risk::default() }
}

/// A finding about somebody of this name, this bad; worse ones are newer.
fn finding(user: &str, severity: f64) -> String {
    serde_json::json!({
        "schemaVersion": "2.0", "accountId": "111122223333", "region": "eu-west-1", "id": user,
        "arn": format!("arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/{user}"), "type": "A:B/C",
        "severity": severity, "resource": {"resourceType": "AccessKey", "accessKeyDetails": {"userName": user}},
        "service": {"archived": false, "count": 1}, "createdAt": "2026-11-01T00:00:00.000Z",
        "updatedAt": format!("2026-11-01T00:00:0{severity:.0}.000Z"),
    })
    .to_string()
}

impl Stage {
    async fn bring(&self, document: &str) {
        super::bring(&self.store, document).await;
        self.live.refresh().await.unwrap();
        self.responder.tick().await.unwrap();
    }

    /// What `ada` still has.
    async fn has(&self) -> BTreeSet<String> {
        let mut reader = self.store.read().await.unwrap();
        let sessions = sessions::of_user(&mut reader, "usr_ada").await.unwrap();
        let families = grants::live_of_user(&mut reader, "usr_ada", self.clock.now(), 10).await.unwrap();
        let sessions = sessions.into_iter().map(|session| session.session_id);
        sessions.chain(families.into_iter().map(|family| family.grant_id)).collect()
    }
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_critical_finding_ends_everything_and_a_high_one_nothing() {
    for test in stores().await {
        let stage = stage(&test.store, "", on()).await;
        stage.bring(&finding("ada", 8.0)).await;
        assert_eq!(stage.has().await, names(&["gr_1", "ses_1", "ses_2"]), "{}", test.name);
        stage.bring(&finding("ada", 9.0)).await;
        assert_eq!(stage.has().await, names(&[]), "{}", test.name);
        assert!(stage.live.is_revoked("gr_1"), "{}: at once", test.name);
        let events = recorded(&test.store).await;
        let ended: Vec<_> = events.iter().filter(|event| event["reason"] == "at_risk").collect();
        assert_eq!(ended.len(), 3, "{}: {events:?}", test.name);
        assert!(ended.iter().all(|event| event["data"]["finding_id"].is_string()), "{}", test.name);
    }
}

#[tokio::test]
async fn a_policy_may_end_only_what_is_weak() {
    const WEAK: &str = r#"@id("weak") forbid (principal is Stockade::User, action == Stockade::Action::"session:keep", resource)
        when { context.risk.level >= 3 && context.acr < 2 };"#;
    for test in stores().await {
        let stage = stage(&test.store, WEAK, on()).await;
        stage.bring(&finding("ada", 8.0)).await;
        assert_eq!(stage.has().await, names(&["ses_2"]), "{}", test.name);
    }
}

#[tokio::test]
async fn nothing_ends_in_a_dry_run_of_those_who_are_spared_and_without_policies() {
    for test in stores().await {
        let stage = stage(&test.store, "", Risk::default()).await;
        stage.bring(&finding("ada", 9.0)).await;
        assert_eq!(stage.has().await.len(), 3, "{}: a dry run", test.name);
        // The same rows, seen by a server that spares her and by one that has no policies.
        let spared = Risk { break_glass: vec!["ada".to_owned()], ..on() };
        for (settings, has_policies) in [(spared, true), (on(), false)] {
            let engine = Arc::new(Engine::new());
            if has_policies {
                engine.install(Snapshot::embedded().unwrap());
            }
            let sealer = live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
            let time = || Arc::clone(&stage.clock) as Arc<dyn Clock>;
            let live = Arc::new(Live::load(test.store.clone(), sealer, "http://localhost:8080", time()).await.unwrap());
            live.tell_risk(Arc::clone(&engine), settings, false).await.unwrap();
            let (metrics, rng) = (Arc::new(Metrics::register()), Arc::new(SystemRng));
            let responder = Responder::new(live, engine, test.store.clone(), metrics, time(), rng);
            stage.clock.advance(Duration::from_secs(60));
            responder.tick().await.unwrap();
            assert_eq!(stage.has().await.len(), 3, "{}: {has_policies}", test.name);
        }
        assert!(stage.engine.snapshot().is_some());
    }
}

#[tokio::test]
async fn whoever_signs_in_again_under_a_critical_finding_does_not_stay() {
    for test in stores().await {
        let stage = stage(&test.store, "", on()).await;
        stage.bring(&finding("ada", 9.0)).await;
        let mut tx = test.store.begin().await.unwrap();
        let session = Session {
            session_id: "ses_3".to_owned(),
            user_id: "usr_ada".to_owned(),
            acr: Acr::Three,
            amr: Vec::new(),
            auth_time: START,
            created_at: START,
            last_seen_at: START,
            expires_at: START.plus(Duration::from_secs(36_000)),
            address: None,
            user_agent: None,
        };
        sessions::insert(&mut tx, &[3; 32], &session).await.unwrap();
        tx.commit().await.unwrap();
        stage.clock.advance(Duration::from_secs(10));
        stage.responder.tick().await.unwrap();
        assert_eq!(stage.has().await, names(&[]), "{}", test.name);
    }
}

#[tokio::test]
async fn that_names_are_held_back_is_an_event_once_a_minute() {
    for test in stores().await {
        let stage = stage(&test.store, "", Risk { new_a_minute: 1, ..on() }).await;
        stage.bring(&format!("{}\n{}", finding("bob", 8.0), finding("eve", 8.0))).await;
        stage.responder.tick().await.unwrap();
        let held = async || {
            let events = recorded(&test.store).await;
            let held = events.into_iter().filter(|event| event["kind"] == "risk.held_back");
            held.map(|event| event["data"]["held_back"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(held().await, [1], "{}: how many wait", test.name);
    }
}
