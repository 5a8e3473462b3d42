//! `kill -9` under load: what was acknowledged is in the log, and the log verifies.

use super::load::{Load, Seen};
use super::postgres_stage::PostgresStage;
use super::stage::{Stage, until};
use super::wire::missing;
use crate::support::postgres::{Durability, Server};
use crate::support::skip;

/// Waits until the clients hold `more` tokens than before and at least one acknowledged revocation.
async fn under_load(seen: &Seen, more: usize) {
    let wanted = seen.count() + more;
    until("tokens are issued and revoked under load", || async {
        (seen.count() >= wanted && !seen.revoked.lock().is_empty()).then_some(())
    })
    .await;
}

/// Every acknowledged token and revocation is an event of a log that verifies.
fn nothing_lost(stage: &Stage, seen: &Seen) {
    let export = stage.verified();
    let issued: String = export.lines().filter(|line| line.contains("token.issued")).collect();
    let revoked: String = export.lines().filter(|line| line.contains("token.revoked")).collect();
    assert_eq!(missing(&seen.issued.lock(), &issued), Default::default(), "issued, acknowledged, not recorded");
    assert_eq!(missing(&seen.revoked.lock(), &revoked), Default::default(), "revoked, acknowledged, not recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_no_acknowledged_event() {
    let mut stage = Stage::dev().await;
    let revoked_before = stage.token("DEMO", None).await;
    let answer = stage.send(stage.form_as("DEMO", "/oauth/revoke", &[("token", &revoked_before)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for round in 1..=3 {
        let load = Load::start(&stage, 16);
        under_load(&load.seen, 100 * round).await;
        stage.process.kill();
        let seen = load.stop().await;
        // First as the kill left it, with no server to put anything right; then with the next server's work on top.
        nothing_lost(&stage, &seen);
        stage.start_again().await;
        assert!(!stage.is_active("DEMO", &revoked_before).await, "a revocation did not survive");
        nothing_lost(&stage, &seen);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_server_and_database_loses_no_acknowledged_event() {
    let Some(database) = Server::start(Durability::Full) else {
        return skip("PostgreSQL is not installed");
    };
    let place = PostgresStage::new(database.fresh_database());
    let (id, secret) = place.client("kill-test");
    let stage = place.serve().await;
    let load = Load::as_client(&stage, &id, &secret, 16);
    under_load(&load.seen, 200).await;
    stage.process.kill();
    database.stop();
    let seen = load.stop().await;
    database.start_again();
    nothing_lost(&stage, &seen);
    let stage = place.serve().await;
    nothing_lost(&stage, &seen);
}
