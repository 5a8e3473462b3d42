//! A database that goes away and comes back, and one that cannot be reached at all.

use super::load::Load;
use super::postgres_stage::PostgresStage;
use super::stage::until;
use super::wire::missing;
use crate::support::postgres::{Durability, Server};
use crate::support::skip;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    let Some(database) = Server::start(Durability::Full) else {
        return skip("PostgreSQL is not installed");
    };
    let place = PostgresStage::new(database.fresh_database());
    let (id, secret) = place.client("gone-test");
    let stage = place.serve().await;
    let load = Load::as_client(&stage, &id, &secret, 8);
    until("tokens are issued", || async { (load.seen.count() >= 50).then_some(()) }).await;

    database.stop();
    let readyz = format!("{}/readyz", stage.ops);
    until("`/readyz` says that the store is gone", || async {
        let answer = stage.http.get(&readyz).send().await.ok()?;
        (answer.status() == 503).then_some(())
    })
    .await;
    // Nothing can be recorded, so nothing is acknowledged; the answer says so and the process lives.
    let before = load.seen.count();
    until("tokens are refused with 503", || async { load.seen.refused.lock().contains_key(&503).then_some(()) }).await;
    let healthz = stage.http.get(format!("{}/healthz", stage.ops)).send().await.expect("an answer");
    assert_eq!(healthz.status(), 200);
    let other: Vec<u16> = load.seen.refused.lock().keys().copied().filter(|status| *status != 503).collect();
    assert!(other.is_empty(), "other answers than 503: {other:?}\n{}", stage.process.printed());
    let during = load.seen.count();
    assert!(during <= before + 8, "tokens were acknowledged while nothing could be recorded: {before} to {during}");

    database.start_again();
    stage.ready().await;
    until("tokens are issued again", || async { (load.seen.count() >= during + 50).then_some(()) }).await;
    let seen = load.stop().await;
    let export = stage.verified();
    assert_eq!(missing(&seen.issued.lock(), &export), Default::default());
    assert!(stage.process.status().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_reached_stops_the_start_with_advice() {
    let port = crate::support::postgres::free_port();
    let place = PostgresStage::new(format!("postgres://stockade@127.0.0.1:{port}/nowhere"));
    let stage = place.serve_unready();
    let status = stage.process.ended().await;
    let printed = stage.process.printed();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("database"), "{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
}
