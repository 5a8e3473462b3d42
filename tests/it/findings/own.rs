//! What this server notices by itself is a finding like those of AWS, on both databases.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stockade::audit_log::{self, AuditLog, Thresholds};
use stockade::base::{Clock, ManualClock, Rng, Secret, SystemRng, Timestamp};
use stockade::config::{Risk, RiskMode};
use stockade::findings::{Own, PRODUCT};
use stockade::live::{self, Live};
use stockade::model::event::kind;
use stockade::model::filter::FindingField;
use stockade::model::{EntityKind, Event, FindingState, Outcome, PrincipalRef, Severity};
use stockade::policy::{Engine, Facts};
use stockade::store::Store;
use stockade::store::findings::{self, Filter, Stored};
use stockade::telemetry::Metrics;

use super::recorded;
use crate::support::stores::stores;

const QUIET: Duration = Duration::from_secs(600);
const FEW: Thresholds = Thresholds { replays: true, denials: 3, names: 3, limited: 3 };

struct Stage {
    own: Own,
    clock: Arc<ManualClock>,
    store: Store,
    // Nothing of it runs: signals come before the log's worker.
    _worker: audit_log::Worker,
}

async fn stage(store: &Store) -> Stage {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
    let rng = Arc::new(SystemRng) as Arc<dyn Rng>;
    let sealer = live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
    let key = live::keys::log_key(store, &sealer, &SystemRng).await.unwrap();
    let settings = audit_log::Settings {
        origin: "test".to_owned(),
        queue: 1024,
        patience: Duration::from_secs(30),
        checkpoint_every: Duration::from_secs(3600),
    };
    let metrics = Arc::new(Metrics::register());
    let time = || Arc::clone(&clock) as Arc<dyn Clock>;
    let (audit, _worker) = AuditLog::new(store.clone(), key, settings, Arc::clone(&metrics), time(), Arc::clone(&rng));
    audit.notice(FEW);
    let own =
        Own { audit, store: store.clone(), metrics, clock: time(), rng, quiet: QUIET, looked_at: Mutex::default() };
    Stage { own, clock, store: store.clone(), _worker }
}

impl Stage {
    /// Refuses somebody this often.
    fn refuse(&self, times: usize, kind: &'static str, who: &PrincipalRef) {
        for _ in 0..times {
            let mut event = Event::new(kind, Outcome::Denied, self.clock.now(), &SystemRng);
            event.principal = Some(who.clone());
            self.own.audit.queue(event);
        }
    }

    async fn found(&self) -> Vec<Stored> {
        let filter = Filter::is(FindingField::Product, PRODUCT);
        findings::page(&mut self.store.read().await.unwrap(), &filter, None, 10).await.unwrap()
    }

    async fn one(&self) -> Stored {
        let found = self.found().await;
        let [one] = found.as_slice() else { panic!("{found:?}") };
        one.clone()
    }
}

#[tokio::test]
async fn a_burst_of_denials_is_a_finding_that_grows_is_over_and_may_come_back() {
    for test in stores().await {
        let stage = stage(&test.store).await;
        let client = PrincipalRef::new("Client", "noisy");
        stage.refuse(2, kind::DECISION, &client);
        stage.own.tick().await.unwrap();
        assert!(stage.found().await.is_empty(), "{}: two are no burst", test.name);

        stage.refuse(2, kind::DECISION, &client);
        stage.own.tick().await.unwrap();
        let first = stage.one().await;
        let finding = &first.finding;
        assert_eq!((finding.severity, finding.state, finding.count), (Severity::Medium, FindingState::Open, Some(3)));
        assert_eq!(finding.problem, None);
        let entities: Vec<_> = finding.entities.iter().map(|one| (one.kind, &*one.value)).collect();
        assert_eq!(entities, [(EntityKind::Client, "noisy")], "{}", test.name);

        stage.clock.advance(Duration::from_secs(90));
        stage.refuse(3, kind::DECISION, &client);
        stage.own.tick().await.unwrap();
        let second = stage.one().await;
        assert_eq!((&second.finding_id, second.finding.count), (&first.finding_id, Some(6)), "{}", test.name);
        assert_eq!(second.finding.first_seen, finding.first_seen, "{}", test.name);

        stage.clock.advance(QUIET - Duration::from_secs(1));
        stage.own.tick().await.unwrap();
        assert_eq!(stage.one().await.finding.state, FindingState::Open, "{}", test.name);
        stage.clock.advance(Duration::from_secs(60));
        stage.own.tick().await.unwrap();
        let over = stage.one().await;
        assert_eq!((over.finding.state, over.revisions), (FindingState::Resolved, 3), "{}", test.name);
        assert_eq!(over.finding.entities, finding.entities, "{}", test.name);

        stage.refuse(3, kind::DECISION, &client);
        stage.own.tick().await.unwrap();
        let back = stage.one().await;
        assert_eq!((back.finding.state, back.finding.count), (FindingState::Open, Some(3)), "{}", test.name);
        let revised = recorded(&test.store).await;
        let revised: Vec<_> = revised.iter().filter(|event| event["kind"] == "finding.revised").collect();
        assert_eq!(revised.len(), 4, "{}: each is an event", test.name);
        assert!(revised.iter().all(|event| event["data"]["origin"] == PRODUCT), "{}", test.name);
    }
}

#[tokio::test]
async fn whom_our_own_findings_name_is_at_risk_and_no_import_can_name_a_client_so() {
    for test in stores().await {
        let stage = stage(&test.store).await;
        stage.refuse(3, kind::RATE_LIMITED, &PrincipalRef::new("Client", "noisy"));
        stage.own.audit.replayed("usr_ada", stage.clock.now());
        stage.own.tick().await.unwrap();
        let mut forged: serde_json::Value = serde_json::from_str(
            r#"{"class_uid": 2004, "severity_id": 5, "finding_info": {"uid": "x", "title": "t"}, "time": 1800000000000,
                "metadata": {"product": {"uid": "stockade"}}, "evidences": [{"actor": {"app_uid": "victim"}}]}"#,
        )
        .unwrap();
        forged["type_uid"] = 200_401.into();
        super::bring(&test.store, &forged.to_string()).await;

        let sealer = live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
        let clock = Arc::clone(&stage.clock) as Arc<dyn Clock>;
        let live = Live::load(test.store.clone(), sealer, "http://localhost:8080", clock).await.unwrap();
        let engine = Arc::new(Engine::new());
        let on = Risk { mode: RiskMode::On, ..Risk::default() };
        live.tell_risk(Arc::clone(&engine), on, false).await.unwrap();
        let level = |kind, id| {
            let facts = Facts::at(stage.clock.now());
            engine.risk().told(&PrincipalRef::new(kind, id), facts).ambient.risk_level
        };
        assert_eq!([level("Client", "noisy"), level("User", "usr_ada")], [2, 3], "{}", test.name);
        assert_eq!(level("Client", "victim"), 0, "{}", test.name);
    }
}

#[tokio::test]
async fn one_address_that_tries_many_people_is_a_finding_about_the_address() {
    for test in stores().await {
        let stage = stage(&test.store).await;
        for name in ["usr_a", "usr_b", "usr_c", "usr_d", "usr_e", "usr_f"] {
            let mut event = Event::new(kind::LOGIN_FAILED, Outcome::Denied, stage.clock.now(), &SystemRng);
            event.principal = Some(PrincipalRef::new("User", name));
            event.address = Some("203.0.113.9".parse().unwrap());
            stage.own.audit.queue(event);
        }
        stage.own.tick().await.unwrap();
        let finding = stage.one().await.finding;
        let entities: Vec<_> = finding.entities.iter().map(|one| (one.kind, &*one.value)).collect();
        assert_eq!(entities, [(EntityKind::Address, "203.0.113.9")], "{}: those tried are no suspects", test.name);
    }
}
