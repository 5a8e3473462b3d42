//! What processes hold in memory follows the store, on both databases.

mod people;
mod risk;

use std::sync::Arc;
use std::time::Duration;

use stockade::base::{Clock, ManualClock, Secret, SystemRng, Timestamp};
use stockade::crypto::keys::generate;
use stockade::crypto::rotation::Settings;
use stockade::crypto::verify::TokenError;
use stockade::crypto::{secret_text, sha256};
use stockade::live::{Live, keys};
use stockade::model::{AccessToken, Algorithm};
use stockade::store::{Store, Tx, clients, keys as stored_keys, revocations, tokens};
use stockade::telemetry::Prometheus;
use tokio::sync::watch;

use crate::store::client;
use crate::support::stores::stores;

const ISSUER: &str = "http://localhost:8080";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)))
}

async fn live(store: &Store, clock: &Arc<ManualClock>) -> Arc<Live> {
    let sealer = stockade::live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("long");
    let settings = Settings::default();
    keys::keep(store, &sealer, &settings, &**clock, &SystemRng).await.expect("keys");
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Arc::new(Live::load(store.clone(), sealer, ISSUER, clock).await.expect("loads"))
}

/// Waits until `what` holds, as another process would see it.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

async fn add_client(store: &Store) {
    let mut tx = store.begin().await.expect("begin");
    clients::insert(&mut tx, &client("c")).await.expect("insert");
    tx.commit().await.expect("commit");
}

/// An opaque token of client `c`.
async fn issue(store: &Store, now: Timestamp) -> (String, AccessToken) {
    let text = secret_text::generate(secret_text::Kind::AccessToken, &SystemRng).expose().clone();
    let exp = now.plus(Duration::from_secs(600));
    let token = AccessToken {
        scope: "notes:read".to_owned(),
        ..AccessToken::of_client("c", format!("at_{}", text.len()), "https://api.example", now, exp)
    };
    let mut tx = store.begin().await.expect("begin");
    tokens::insert(&mut tx, &sha256(text.as_bytes()), &token).await.expect("insert");
    tx.commit().await.expect("commit");
    (text, token)
}

#[tokio::test]
async fn another_process_sees_clients_and_revocations_without_being_told() {
    for test in stores().await {
        let clock = clock();
        let one = live(&test.store, &clock).await;
        let (stop, stopped) = watch::channel(false);
        let follower = tokio::spawn({
            let one = Arc::clone(&one);
            async move { one.follow(stopped).await }
        });
        // The other process is whoever else writes to the store.
        add_client(&test.store).await;
        until("the client is seen", || one.client("c").is_some()).await;
        let (text, token) = issue(&test.store, clock.now()).await;
        assert_eq!(one.verify(&text, clock.now()).await.as_deref(), Ok(&token), "{}", test.name);
        let mut tx = test.store.begin().await.expect("begin");
        revocations::insert(&mut tx, &token.jti, token.exp, clock.now()).await.expect("insert");
        tx.commit().await.expect("commit");
        until("the revocation is seen", || one.is_revoked(&token.jti)).await;
        assert_eq!(one.verify(&text, clock.now()).await, Err(TokenError::Revoked), "{}", test.name);
        stop.send(true).expect("it listens");
        follower.await.expect("it ends");
    }
}

#[tokio::test]
async fn a_disabled_client_and_a_removed_one_take_their_tokens_with_them() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let live = live(&test.store, &clock).await;
        let (text, _) = issue(&test.store, clock.now()).await;
        assert!(live.verify(&text, clock.now()).await.is_ok(), "{}", test.name);
        let mut disabled = client("c");
        disabled.disabled = true;
        let mut tx = test.store.begin().await.expect("begin");
        clients::update(&mut tx, &disabled, 1).await.expect("update");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert_eq!(live.verify(&text, clock.now()).await, Err(TokenError::Revoked));
        let mut tx = test.store.begin().await.expect("begin");
        clients::delete(&mut tx, "c").await.expect("delete");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert_eq!(live.verify(&text, clock.now()).await, Err(TokenError::Revoked));
    }
}

#[tokio::test]
async fn an_opaque_token_dies_at_its_time_and_an_invented_one_never_lived() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let live = live(&test.store, &clock).await;
        let (text, token) = issue(&test.store, clock.now()).await;
        assert!(live.verify(&text, clock.now()).await.is_ok(), "{}", test.name);
        assert_eq!(live.verify(&text, token.exp).await, Err(TokenError::Expired));
        let invented = secret_text::generate(secret_text::Kind::AccessToken, &SystemRng);
        assert_eq!(live.verify(invented.expose(), clock.now()).await, Err(TokenError::Unknown));
        assert_eq!(live.verify("stk_at_nonsense", clock.now()).await, Err(TokenError::Malformed));
    }
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_key_and_one_log_key() {
    for test in stores().await {
        let clock = clock();
        let sealer =
            stockade::live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("long");
        let settings = Settings::default();
        let starts = (0..4).map(|_| {
            let (store, sealer, settings, clock) =
                (test.store.clone(), Arc::clone(&sealer), settings.clone(), Arc::clone(&clock));
            tokio::spawn(async move {
                keys::keep(&store, &sealer, &settings, &*clock, &SystemRng).await.expect("keeps");
                keys::log_key(&store, &sealer, &SystemRng).await.expect("a log key").public()
            })
        });
        let mut public = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            public.push(start.await.expect("joined"));
        }
        public.dedup();
        assert_eq!(public.len(), 1, "{}", test.name);
        let stored = stockade::store::keys::all(&mut test.store.read().await.expect("read")).await.expect("keys");
        assert_eq!(stored.iter().map(|k| k.alg).collect::<Vec<_>>(), [Algorithm::ES256], "{}", test.name);
    }
}

/// C14: a new key is published before it signs, and the old one stays until its last token has died.
#[tokio::test]
async fn keys_rotate_by_themselves_published_before_used_and_kept_until_the_last_token_dies() {
    for test in stores().await {
        let clock = clock();
        let live = live(&test.store, &clock).await;
        let settings = Settings::default();
        let sealer =
            stockade::live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).expect("long");
        let kid = |live: &Live| {
            let ring = live.key_ring();
            ring.signer(Algorithm::ES256, clock.now()).map(|s| s.kid().to_owned()).expect("always a signer")
        };
        let first = kid(&live);
        let published = |live: &Live, kid: &str| String::from_utf8_lossy(&live.jwks()).contains(kid);
        let step = Duration::from_secs(600);
        let mut second: Option<(String, Timestamp)> = None;
        let mut gone = false;
        let mut looked = clock.now();
        for _ in 0..(40 * 24 * 6) {
            clock.advance(step);
            let steps = keys::keep(&test.store, &sealer, &settings, &*clock, &SystemRng).await.expect("keeps");
            let by_itself = live.key_ring().next_change(looked).is_some_and(|at| at <= clock.now());
            if steps == 0 && !by_itself {
                continue;
            }
            looked = clock.now();
            live.refresh().await.expect("refreshed");
            let fresh =
                Live::load(test.store.clone(), Arc::clone(&sealer), ISSUER, clock.clone()).await.expect("loads");
            let signs = kid(&fresh);
            let made = fresh.key_ring().stored().find(|k| k.kid != first).map(|k| (k.kid.clone(), k.created_at));
            if signs == first {
                if let Some(new) = made {
                    assert!(published(&fresh, &new.0), "published while the old one signs");
                    second.get_or_insert(new);
                }
            } else if let Some((new, created)) = &second
                && signs == *new
            {
                assert!(clock.now().since(*created) >= Duration::from_secs(300), "published for max-age first");
                gone = gone || !published(&fresh, &first);
            }
            if gone {
                break;
            }
        }
        assert!(gone, "{}: the old key leaves in the end", test.name);
    }
}

#[tokio::test]
async fn a_client_made_again_does_not_inherit_the_tokens_of_the_old_one() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let live = live(&test.store, &clock).await;
        let (text, _) = issue(&test.store, clock.now()).await;
        assert!(live.verify(&text, clock.now()).await.is_ok(), "{}", test.name);
        clock.advance(Duration::from_secs(2));
        let mut again = client("c");
        again.created_at = clock.now();
        let mut tx = test.store.begin().await.expect("begin");
        clients::delete(&mut tx, "c").await.expect("delete");
        clients::insert(&mut tx, &again).await.expect("insert");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert_eq!(live.verify(&text, clock.now()).await, Err(TokenError::Revoked), "{}", test.name);
    }
}

/// Every change is counted once in each process that serves, whoever makes it.
#[tokio::test]
async fn changes_of_signing_keys_are_counted_as_they_are_seen() {
    for test in stores().await {
        let clock = clock();
        let live = live(&test.store, &clock).await;
        let (prometheus, metrics) = Prometheus::new();
        live.count_in(Arc::new(metrics));
        let counts = || {
            let text = prometheus.render();
            let of = |change: &str| {
                let series = format!("stockade_key_changes_total{{change=\"{change}\"}} ");
                text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).expect("a counter")
            };
            ["published", "retired", "compromised", "deleted"].map(of)
        };
        live.refresh().await.expect("read");
        assert_eq!(counts(), [0; 4], "{}: what was there before is no change", test.name);
        let now = clock.now();
        let later = now.plus(Duration::from_secs(60));
        let old = live.key_ring().stored().next().expect("a key").kid.clone();
        let sealer = stockade::live::sealer(&[Secret::new("a sealing key of thirty-two chars".to_owned())]);
        let key = generate(Algorithm::EdDSA, &sealer.expect("long"), &SystemRng, now, later).expect("a key");
        let seen = async |tx: Tx| {
            tx.commit().await.expect("commit");
            live.refresh().await.expect("read");
            live.refresh().await.expect("and again");
            counts()
        };
        let mut tx = test.store.begin().await.expect("begin");
        stored_keys::insert(&mut tx, &key).await.expect("published");
        assert_eq!(seen(tx).await, [1, 0, 0, 0], "{}", test.name);
        let mut tx = test.store.begin().await.expect("begin");
        stored_keys::set_retired(&mut tx, &old, now, later).await.expect("retired");
        assert_eq!(seen(tx).await, [1, 1, 0, 0], "{}", test.name);
        let mut tx = test.store.begin().await.expect("begin");
        stored_keys::set_retired(&mut tx, &key.kid, now, now).await.expect("retired at once");
        assert_eq!(seen(tx).await, [1, 1, 1, 0], "{}", test.name);
        let mut tx = test.store.begin().await.expect("begin");
        stored_keys::delete(&mut tx, &old).await.expect("deleted");
        assert_eq!(seen(tx).await, [1, 1, 1, 1], "{}", test.name);
    }
}
