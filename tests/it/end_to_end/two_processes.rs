//! Two processes serve one PostgreSQL: what one does the other knows, and either may die or stop.

use std::time::Duration;

use super::load::{Load, Seen};
use super::postgres_stage::PostgresStage;
use super::stage::{SOON, Stage, until, within};
use super::wire::missing;
use crate::support::postgres::postgres;
use crate::support::skip;

/// A second, and what a debug build on a busy machine adds to it.
const WITHIN_A_SECOND: Duration = Duration::from_secs(5);

struct Pair {
    place: PostgresStage,
    one: Stage,
    other: Stage,
    id: String,
    secret: String,
}

impl Pair {
    async fn start() -> Option<Self> {
        let place = PostgresStage::new(postgres()?);
        let (id, secret) = place.client("pair-test");
        let (one, other) = (place.serve().await, place.serve().await);
        Some(Self { place, one, other, id, secret })
    }

    async fn token(&self, stage: &Stage) -> Option<String> {
        let form = [("grant_type", "client_credentials")];
        let request = stage.http.post(format!("{}/oauth/token", stage.issuer));
        let request = request.basic_auth(&self.id, Some(&self.secret)).form(&form).timeout(Duration::from_secs(5));
        let answer = stage.try_send(request).await.ok()?;
        (answer.status == 200).then(|| answer.json()["access_token"].as_str().expect("a token").to_owned())
    }

    async fn is_active(&self, stage: &Stage, token: &str) -> bool {
        let request = stage.http.post(format!("{}/oauth/introspect", stage.issuer));
        let answer = stage.send(request.basic_auth(&self.id, Some(&self.secret)).form(&[("token", token)])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["active"].as_bool().expect("`active`")
    }

    /// The log verifies, its numbers have no gaps, and every acknowledged token is in it exactly once.
    fn one_whole_log(&self, seen: &[&Seen]) {
        let export = self.one.verified();
        for seen in seen {
            let issued = seen.issued.lock();
            assert_eq!(missing(&issued, &export), Default::default());
            let twice: Vec<_> = issued.iter().filter(|jti| export.matches(jti.as_str()).count() > 2).collect();
            assert!(twice.is_empty(), "recorded more often than once issued and once revoked: {twice:?}");
        }
        let events: Vec<serde_json::Value> =
            export.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert!(!numbers.is_empty(), "no sequence numbers: {}", export.lines().next().unwrap_or_default());
        for pair in numbers.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "a gap, or two orders");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_changes_the_other_knows_within_a_second() {
    let Some(pair) = Pair::start().await else { return skip("PostgreSQL is not installed") };
    // Under load a commit may come too late for its answer, which is then 503 by design: ask again.
    let token = within(SOON, "a token", || pair.token(&pair.one)).await;
    assert!(pair.is_active(&pair.other, &token).await, "one process's keys are not the other's");

    let request = pair.one.http.post(format!("{}/oauth/revoke", pair.one.issuer));
    let answer = pair.one.send(request.basic_auth(&pair.id, Some(&pair.secret)).form(&[("token", &*token)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    within(WITHIN_A_SECOND, "the other process knows the revocation", || async {
        (!pair.is_active(&pair.other, &token).await).then_some(())
    })
    .await;

    pair.place.cli_ok(&["client", "disable", &pair.id]);
    for stage in [&pair.one, &pair.other] {
        within(WITHIN_A_SECOND, "a disabled client gets no token", || async {
            pair.token(stage).await.is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_whole_when_either_process_is_paused_and_wakes_again() {
    let Some(pair) = Pair::start().await else { return skip("PostgreSQL is not installed") };
    // One of the two holds the sequencer; whichever it is, it is paused once while the other works.
    for (paused, working) in [(&pair.one, &pair.other), (&pair.other, &pair.one)] {
        let load = Load::as_client(working, &pair.id, &pair.secret, 4);
        until("tokens are issued", || async { (load.seen.count() >= 20).then_some(()) }).await;
        paused.process.signal("STOP");
        let before = load.seen.count();
        within(2 * SOON, "the other process goes on", || async { (load.seen.count() >= before + 40).then_some(()) })
            .await;
        let last = load.seen.issued.lock().last().cloned().expect("a token");
        within(2 * SOON, "the other process sequences", || async {
            working.exported().iter().any(|event| event.to_string().contains(&last)).then_some(())
        })
        .await;
        // Awake, the former holder must find that it no longer is one.
        paused.process.signal("CONT");
        let awake = Load::as_client(paused, &pair.id, &pair.secret, 4);
        until("the woken process goes on", || async { (awake.seen.count() >= 40).then_some(()) }).await;
        let (seen, also) = (load.stop().await, awake.stop().await);
        pair.one_whole_log(&[&seen, &also]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_whole_when_either_process_is_killed() {
    let Some(mut pair) = Pair::start().await else { return skip("PostgreSQL is not installed") };
    for _ in 0..2 {
        let (load, also) = (
            Load::as_client(&pair.one, &pair.id, &pair.secret, 4),
            Load::as_client(&pair.other, &pair.id, &pair.secret, 4),
        );
        until("tokens are issued by both", || async {
            (load.seen.count() >= 20 && also.seen.count() >= 20).then_some(())
        })
        .await;
        pair.one.process.kill();
        let seen = load.stop().await;
        let before = also.seen.count();
        within(2 * SOON, "the survivor goes on", || async { (also.seen.count() >= before + 40).then_some(()) }).await;
        let also = also.stop().await;
        pair.one_whole_log(&[&seen, &also]);
        // The survivor is next, beside a fresh process.
        pair.one = pair.place.serve().await;
        std::mem::swap(&mut pair.one, &mut pair.other);
    }
}
