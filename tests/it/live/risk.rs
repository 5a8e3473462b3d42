//! Who is at risk follows the findings in the store, on both databases.

use std::sync::Arc;
use std::time::Duration;

use stockade::base::{Clock, ManualClock, SystemRng, Timestamp};
use stockade::config::{Ours, Risk, RiskMode};
use stockade::findings::import;
use stockade::live::{Live, RiskTally};
use stockade::model::{GrantType, PrincipalRef, User};
use stockade::policy::{Engine, Facts};
use stockade::store::changes::{self, Topic};
use stockade::store::{Store, clients, risk, users};
use tokio::sync::watch;

use super::{clock, live, until};
use crate::store::client;
use crate::support::stores::stores;

const ADDRESS: &str = "198.51.100.7";

/// A finding of GuardDuty about a user of IAM who came from [`ADDRESS`].
fn finding(id: &str, revision: u32, severity: f64, user: &str, archived: bool, sample: bool) -> String {
    serde_json::json!({
        "schemaVersion": "2.0", "accountId": "111122223333", "region": "eu-west-1", "id": id,
        "arn": format!("arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/{id}"),
        "type": "UnauthorizedAccess:IAMUser/ConsoleLogin", "severity": severity,
        "resource": {"resourceType": "AccessKey", "accessKeyDetails": {
            "accessKeyId": format!("AKIA{id}"), "principalId": format!("AIDA{id}"), "userName": user, "userType": "IAMUser"}},
        "service": {"archived": archived, "count": 1, "additionalInfo": {"sample": sample}, "action": {
            "actionType": "AWS_API_CALL", "awsApiCallAction": {"remoteIpDetails": {"ipAddressV4": ADDRESS}}}},
        "createdAt": "2026-11-01T00:00:00.000Z", "updatedAt": format!("2026-11-01T00:00:{revision:02}.000Z"),
    })
    .to_string()
}

async fn bring(store: &Store, clock: &ManualClock, document: &str) {
    let by = PrincipalRef::new("Operator", "local");
    import(store, document.as_bytes(), &by, clock, &SystemRng).await.expect("imported");
}

fn on() -> Risk {
    Risk { mode: RiskMode::On, ..Risk::default() }
}

/// A process: what it holds in memory, and its policies.
async fn process(store: &Store, clock: &Arc<ManualClock>, settings: Risk, fetches: bool) -> (Arc<Live>, Arc<Engine>) {
    let live = live(store, clock).await;
    let engine = Arc::new(Engine::new());
    live.tell_risk(Arc::clone(&engine), settings, fetches).await.expect("told");
    (live, engine)
}

fn level(engine: &Engine, clock: &ManualClock, kind: &str, id: &str, address: &str) -> u8 {
    let facts = Facts::at(clock.now()).address(address.parse().ok());
    engine.risk().told(&PrincipalRef::new(kind, id), facts).ambient.shown().risk_level
}

async fn add_user(store: &Store, id: &str, name: &str, roles: &[&str]) {
    let mut user = User::new(id.to_owned(), name.to_owned(), Timestamp::from_secs(1_700_000_000));
    user.roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let mut tx = store.begin().await.expect("begin");
    users::insert(&mut tx, &user).await.expect("inserted");
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn another_process_sees_that_a_finding_names_somebody_and_that_it_is_over() {
    for test in stores().await {
        let clock = clock();
        add_user(&test.store, "usr_ada", "ada", &[]).await;
        let (one, engine) = process(&test.store, &clock, on(), false).await;
        let (stop, stopped) = watch::channel(false);
        let follower = tokio::spawn(async move { one.follow(stopped).await });
        let at_risk = |kind: &str, id: &str, address: &str| level(&engine, &clock, kind, id, address);

        bring(&test.store, &clock, &finding("f1", 1, 8.0, "Ada", false, false)).await;
        until("the person is at risk", || at_risk("User", "usr_ada", "") == 3).await;
        assert_eq!(at_risk("Client", "other", ADDRESS), 3, "{}: and the address", test.name);
        assert_eq!(at_risk("AccessKey", "AKIAf1", ""), 3, "{}: and the key, for those who ask about it", test.name);
        assert_eq!(at_risk("User", "usr_bob", "198.51.100.8"), 0, "{}", test.name);

        bring(&test.store, &clock, &finding("f1", 2, 8.0, "Ada", true, false)).await;
        until("it is over", || at_risk("User", "usr_ada", ADDRESS) == 0).await;
        bring(&test.store, &clock, &finding("f1", 3, 9.5, "Ada", false, false)).await;
        until("it is back, and worse", || at_risk("User", "usr_ada", ADDRESS) == 4).await;
        stop.send(true).expect("it listens");
        follower.await.expect("it ends");
    }
}

#[tokio::test]
async fn made_up_findings_and_informational_ones_put_nobody_at_risk() {
    for test in stores().await {
        let clock = clock();
        bring(&test.store, &clock, &finding("f1", 1, 9.0, "ada", false, true)).await;
        bring(&test.store, &clock, &finding("f2", 1, 0.0, "ada", false, false)).await;
        let (live, engine) = process(&test.store, &clock, on(), false).await;
        assert_eq!(level(&engine, &clock, "Client", "ada", ADDRESS), 0, "{}", test.name);
        assert_eq!(live.risk_tally(), RiskTally::default(), "{}", test.name);
    }
}

#[tokio::test]
async fn by_default_it_is_only_noted_and_switched_off_not_even_that() {
    for test in stores().await {
        let clock = clock();
        bring(&test.store, &clock, &finding("f1", 1, 9.0, "ada", false, false)).await;
        let noted = |engine: &Engine| {
            let facts = Facts::at(clock.now());
            let ambient = engine.risk().told(&PrincipalRef::new("Client", "ada"), facts).ambient;
            (ambient.risk_level, ambient.shown().risk_level)
        };
        let (_, engine) = process(&test.store, &clock, Risk::default(), false).await;
        assert_eq!(noted(&engine), (4, 0), "{}", test.name);
        let (_, engine) = process(&test.store, &clock, Risk { mode: RiskMode::Off, ..on() }, false).await;
        assert_eq!(noted(&engine), (0, 0), "{}", test.name);
    }
}

#[tokio::test]
async fn break_glass_and_the_last_who_can_administer_are_spared() {
    for test in stores().await {
        let clock = clock();
        for (id, name, roles) in [
            ("usr_1", "ada", &["admin"][..]),
            ("usr_2", "bob", &["admin"]),
            ("usr_3", "glass", &[]),
            ("usr_4", "eve", &[]),
        ] {
            add_user(&test.store, id, name, roles).await;
        }
        let mut robot = client("robot");
        robot.scopes = vec!["admin".to_owned()];
        robot.grants = vec![GrantType::ClientCredentials];
        let mut tx = test.store.begin().await.expect("begin");
        clients::insert(&mut tx, &robot).await.expect("inserted");
        tx.commit().await.expect("commit");
        let settings = Risk { break_glass: vec!["Glass".to_owned()], ..on() };
        let (live, engine) = process(&test.store, &clock, settings, false).await;
        let at_risk = |id: &str| level(&engine, &clock, if id == "robot" { "Client" } else { "User" }, id, ADDRESS);

        for (id, name) in [("f1", "ada"), ("f3", "glass"), ("f4", "eve"), ("f5", "robot")] {
            bring(&test.store, &clock, &finding(id, 1, 9.0, name, false, false)).await;
        }
        live.refresh().await.expect("refreshed");
        assert_eq!([at_risk("usr_1"), at_risk("usr_4")], [4, 4], "{}: bob can still administer", test.name);
        assert_eq!([at_risk("usr_3"), at_risk("robot")], [0, 0], "{}", test.name);
        assert_eq!(live.risk_tally().spared, 2, "{}", test.name);

        clock.advance(Duration::from_secs(1));
        bring(&test.store, &clock, &finding("f2", 1, 9.0, "bob", false, false)).await;
        live.refresh().await.expect("refreshed");
        assert_eq!([at_risk("usr_1"), at_risk("usr_2")], [4, 0], "{}: the one that came last is spared", test.name);
    }
}

#[tokio::test]
async fn a_flood_is_let_in_as_the_minutes_pass() {
    for test in stores().await {
        let clock = clock();
        let settings = Risk { new_a_minute: 4, ..on() };
        let (live, engine) = process(&test.store, &clock, settings, false).await;
        let all: Vec<String> =
            (0..4).map(|n| finding(&format!("f{n}"), 1, 9.0, &format!("c{n}"), false, false)).collect();
        bring(&test.store, &clock, &all.join("\n")).await;
        live.refresh().await.expect("refreshed");
        // Each names a key, an identity and a person, and all of them one address.
        let first = live.risk_tally();
        assert_eq!((first.at_risk, first.held_back), (4, 9), "{}", test.name);
        let at_risk = || (0..4).filter(|n| level(&engine, &clock, "Client", &format!("c{n}"), "") > 0).count();
        assert!(at_risk() < 4, "{}", test.name);
        for _ in 0..3 {
            clock.advance(Duration::from_secs(60));
            live.refresh().await.expect("refreshed");
        }
        assert_eq!((live.risk_tally().held_back, at_risk()), (0, 4), "{}", test.name);
    }
}

#[tokio::test]
async fn what_aws_calls_a_client_is_the_client_and_shared_addresses_are_nobody() {
    for test in stores().await {
        let clock = clock();
        bring(&test.store, &clock, &finding("f1", 1, 9.0, "deploy", false, false)).await;
        let settings = Risk {
            known_as: [("AKIAf1".to_owned(), Ours::Client("orders".to_owned()))].into(),
            spared_networks: vec!["198.51.100.0/24".parse().expect("a network")],
            ..on()
        };
        let (_, engine) = process(&test.store, &clock, settings, false).await;
        assert_eq!(level(&engine, &clock, "Client", "orders", ""), 4, "{}", test.name);
        assert_eq!(level(&engine, &clock, "Client", "other", ADDRESS), 0, "{}", test.name);
    }
}

#[tokio::test]
async fn how_old_the_findings_are_is_told_where_they_are_fetched() {
    for test in stores().await {
        let clock = clock();
        let age = |engine: &Engine| {
            engine.risk().told(&PrincipalRef::new("Client", "c"), Facts::at(clock.now())).ambient.feed_age_secs
        };
        let (live, engine) = process(&test.store, &clock, on(), true).await;
        let (_, elsewhere) = process(&test.store, &clock, on(), false).await;
        clock.advance(Duration::from_secs(1000));
        assert_eq!((age(&engine), age(&elsewhere)), (960, 0), "{}: never read since the start", test.name);
        let mut tx = test.store.begin().await.expect("begin");
        risk::mark_read(&mut tx, clock.now()).await.expect("marked");
        changes::bump(&mut tx, Topic::Findings).await.expect("announced");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert_eq!(age(&engine), 0, "{}", test.name);
    }
}
