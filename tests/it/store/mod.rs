//! The same suite on both databases.

pub(crate) mod people;
mod single_use;

use std::time::Duration;

use stockade::base::{SystemRng, Timestamp};
use stockade::model::{AccessToken, Algorithm, AuthMethod, Client, Event, GrantType, Outcome, SigningKey, event::kind};
use stockade::store::changes::{self, Topic, Watch};
use stockade::store::{Store, StoreError, assertions, clients, events, keys, leases, log, revocations, tokens};

use crate::support::stores::{sqlite, stores};

mod group_commit;
mod migrations;
mod retention;
mod search;

pub(crate) fn client(id: &str) -> Client {
    Client {
        grants: vec![GrantType::ClientCredentials],
        scopes: vec!["notes:read".to_owned()],
        resources: vec!["https://api.example".to_owned()],
        default_resource: "https://api.example".to_owned(),
        ..Client::new(id, AuthMethod::ClientSecretBasic, Timestamp::from_secs(1_800_000_000))
    }
}

#[tokio::test]
async fn every_statement_is_accepted_by_both_databases() {
    for test in stores().await {
        assert_eq!(test.store.prepare_all().await.expect("it asks"), Vec::<String>::new(), "{}", test.name);
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing_and_status_tells() {
    for test in stores().await {
        test.store.migrate().await.expect("again");
        let status = test.store.migration_status().await.expect("status");
        assert!(status.len() >= 2 && status.iter().all(|m| m.applied), "{}: {status:?}", test.name);
    }
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let Some(url) = crate::support::postgres::postgres() else { return };
    let files = |dialect: &str| {
        let dir = format!("{}/src/store/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> =
            std::fs::read_dir(dir).expect("migrations").map(|f| f.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files("sqlite"), files("postgres"), "same numbers and names");
    drop(url);
    let columns = |dialect: &str| {
        let mut found = Vec::new();
        for name in files(dialect) {
            let path = format!("{}/src/store/migrations/{dialect}/{}", env!("CARGO_MANIFEST_DIR"), name.display());
            let mut table = String::new();
            for line in std::fs::read_to_string(path).expect("readable").lines() {
                if let Some(rest) = line.strip_prefix("create table ") {
                    table = rest.split(' ').next().unwrap_or_default().to_owned();
                } else if let Some(column) = line.strip_prefix("    ") {
                    let null = column.contains("not null") || column.contains("primary key");
                    found.push(format!("{table}.{} {null}", column.split(' ').next().unwrap_or_default()));
                }
            }
        }
        found
    };
    assert_eq!(columns("sqlite"), columns("postgres"));
}

#[tokio::test]
async fn a_client_is_kept_changed_under_its_version_and_removed() {
    for test in stores().await {
        let mut tx = test.store.begin().await.expect("begin");
        clients::insert(&mut tx, &client("a")).await.expect("insert");
        clients::insert(&mut tx, &client("b")).await.expect("insert");
        tx.commit().await.expect("commit");

        let mut tx = test.store.begin().await.expect("begin");
        assert!(matches!(clients::insert(&mut tx, &client("a")).await, Err(StoreError::Conflict(_))), "{}", test.name);
        drop(tx);

        let found = clients::find(&mut test.store.read().await.expect("read"), "a").await.expect("find");
        let found = found.expect("there");
        assert_eq!((found.version, &found.client), (1, &client("a")));
        let mut changed = found.client.clone();
        changed.disabled = true;
        let mut tx = test.store.begin().await.expect("begin");
        assert_eq!(clients::update(&mut tx, &changed, 1).await.expect("update"), 2);
        assert!(matches!(clients::update(&mut tx, &changed, 1).await, Err(StoreError::Conflict(_))), "a stale version");
        tx.commit().await.expect("commit");

        let mut reader = test.store.read().await.expect("read");
        let page = clients::page(&mut reader, "a", 10).await.expect("page");
        assert_eq!(page.iter().map(|c| c.client.client_id.as_str()).collect::<Vec<_>>(), ["b"]);
        drop(reader);
        let mut tx = test.store.begin().await.expect("begin");
        assert!(clients::delete(&mut tx, "a").await.expect("delete"));
        assert!(!clients::delete(&mut tx, "a").await.expect("delete"), "only once");
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_no_trace() {
    for test in stores().await {
        let mut tx = test.store.begin().await.expect("begin");
        clients::insert(&mut tx, &client("ghost")).await.expect("insert");
        let event = Event::new(kind::CLIENT_CHANGED, Outcome::Allowed, Timestamp::from_secs(1), &SystemRng);
        events::intake(&mut tx, &event).await.expect("intake");
        drop(tx);
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(clients::find(&mut reader, "ghost").await.expect("find"), None, "{}", test.name);
        assert!(events::waiting_after(&mut reader, -1, 10).await.expect("intake").is_empty(), "{}", test.name);
    }
}

#[tokio::test]
async fn signing_keys_and_sealed_values_read_back() {
    for test in stores().await {
        let key = SigningKey {
            kid: "k1".to_owned(),
            alg: Algorithm::EdDSA,
            public_jwk: "{}".to_owned(),
            sealed: vec![0, 1, 255],
            created_at: Timestamp::from_secs(5),
            activates_at: Timestamp::from_secs(6),
            retired_at: None,
            expires_at: None,
        };
        let mut tx = test.store.begin().await.expect("begin");
        keys::insert(&mut tx, &key).await.expect("insert");
        keys::insert_sealed(&mut tx, "log-key", b"first").await.expect("insert");
        keys::insert_sealed(&mut tx, "log-key", b"second").await.expect("insert");
        tx.commit().await.expect("commit");
        let mut tx = test.store.begin().await.expect("begin");
        let (retired, expires) = (Timestamp::from_secs(7), Timestamp::from_secs(8));
        assert!(keys::set_retired(&mut tx, "k1", retired, expires).await.expect("retire"));
        assert!(!keys::set_retired(&mut tx, "k2", retired, expires).await.expect("retire"));
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        let all = keys::all(&mut reader).await.expect("all");
        assert_eq!(all, [SigningKey { retired_at: Some(retired), expires_at: Some(expires), ..key }], "{}", test.name);
        let sealed = keys::find_sealed(&mut reader, "log-key").await.expect("find");
        assert_eq!(sealed.as_deref(), Some(&b"first"[..]), "the first of two that start together stays");
    }
}

#[tokio::test]
async fn an_opaque_token_is_found_by_its_digest_and_swept_when_dead() {
    for test in stores().await {
        let (iat, exp) = (Timestamp::from_secs(10), Timestamp::from_secs(20));
        let token = AccessToken {
            scope: "notes:read".to_owned(),
            ..AccessToken::of_client("c", "at_1".to_owned(), "https://api.example", iat, exp)
        };
        let mut tx = test.store.begin().await.expect("begin");
        tokens::insert(&mut tx, &[9; 32], &token).await.expect("insert");
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(tokens::find(&mut reader, &[9; 32]).await.expect("find"), Some(token), "{}", test.name);
        assert_eq!(tokens::find(&mut reader, &[8; 32]).await.expect("find"), None);
        drop(reader);
        let mut tx = test.store.begin().await.expect("begin");
        assert_eq!(tokens::sweep(&mut tx, Timestamp::from_secs(20), 10).await.expect("sweep"), 0, "not dead yet");
        assert_eq!(tokens::sweep(&mut tx, Timestamp::from_secs(21), 10).await.expect("sweep"), 1);
    }
}

#[tokio::test]
async fn an_assertion_is_claimed_by_one_of_fifty() {
    for test in stores().await {
        let claims = (0..50).map(|_| {
            let store = test.store.clone();
            tokio::spawn(async move { claim(&store).await })
        });
        let mut first = 0;
        for claim in claims.collect::<Vec<_>>() {
            first += usize::from(claim.await.expect("joined"));
        }
        assert_eq!(first, 1, "{}", test.name);
    }
}

async fn claim(store: &Store) -> bool {
    let mut tx = store.begin().await.expect("begin");
    let won = assertions::claim(&mut tx, "c", "jti-1", Timestamp::from_secs(60)).await.expect("claim");
    tx.commit().await.expect("commit");
    won
}

#[tokio::test]
async fn revocations_are_followed_in_commit_order_and_once() {
    for test in stores().await {
        for jti in ["a", "b", "a"] {
            let mut tx = test.store.begin().await.expect("begin");
            revocations::insert(&mut tx, jti, Timestamp::from_secs(99), Timestamp::from_secs(1)).await.expect("insert");
            tx.commit().await.expect("commit");
        }
        let mut reader = test.store.read().await.expect("read");
        let all = revocations::since(&mut reader, 0, 10).await.expect("since");
        assert_eq!(all.iter().map(|r| r.jti.as_str()).collect::<Vec<_>>(), ["a", "b"], "{}", test.name);
        let later = revocations::since(&mut reader, all[0].seq, 10).await.expect("since");
        assert_eq!(later.iter().map(|r| r.jti.as_str()).collect::<Vec<_>>(), ["b"]);
        let versions = changes::versions(&mut reader).await.expect("versions");
        assert_eq!(versions.get("revocations"), Some(&3));
    }
}

#[tokio::test]
async fn a_change_wakes_who_listens() {
    for test in stores().await.into_iter().filter(|t| t.store.is_shared()) {
        let mut watch = Watch::new(test.store.clone());
        watch.wait(Duration::from_millis(1)).await;
        let store = test.store.clone();
        let waiting = tokio::spawn(async move {
            watch.wait(Duration::from_secs(600)).await;
        });
        let mut tx = store.begin().await.expect("begin");
        changes::bump(&mut tx, Topic::Clients).await.expect("bump");
        tx.commit().await.expect("commit");
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("woken").expect("joined");
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_a_late_one_is_fenced_out() {
    for test in stores().await {
        let now = Timestamp::from_secs(1_800_000_000);
        let ttl = Duration::from_millis(1);
        let first = leases::take(&test.store, "t", "one", Duration::from_secs(60), now).await.expect("take");
        let first = first.expect("free");
        assert_eq!(leases::take(&test.store, "t", "two", ttl, now).await.expect("take"), None, "{}", test.name);
        assert_eq!(leases::take(&test.store, "t", "one", ttl, now).await.expect("renew"), Some(first));
        // On PostgreSQL its own clock passes; on SQLite the time that is handed in.
        let later = now.plus(Duration::from_secs(1));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let second = loop {
            match leases::take(&test.store, "t", "two", Duration::from_secs(60), later).await.expect("take") {
                Some(fence) => break fence,
                None => assert!(tokio::time::Instant::now() < deadline, "never expired"),
            }
        };
        assert!(second > first, "the fence grows when hands change");
        let mut tx = test.store.begin_log().await.expect("begin");
        let state = log::raise_fence(&mut tx, second).await.expect("the new holder");
        tx.commit().await.expect("commit");
        let mut tx = test.store.begin_log().await.expect("begin");
        assert!(matches!(log::raise_fence(&mut tx, first).await, Err(StoreError::Fenced)), "{}", test.name);
        let stale = log::State { fence: first, ..state.clone() };
        assert!(matches!(log::append(&mut tx, state.size, &[], &stale).await, Err(StoreError::Fenced)));
    }
}

#[tokio::test]
async fn a_backup_opens_as_a_store_and_never_overwrites() {
    let test = sqlite().await;
    let mut tx = test.store.begin().await.expect("begin");
    clients::insert(&mut tx, &client("kept")).await.expect("insert");
    tx.commit().await.expect("commit");
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("copy.db");
    test.store.backup(&target).await.expect("backup");
    assert!(matches!(test.store.backup(&target).await, Err(StoreError::Conflict(_))), "it exists");
    let copy = Store::open(&format!("sqlite:{}", target.display())).await.expect("opens");
    let found = clients::find(&mut copy.read().await.expect("read"), "kept").await.expect("find");
    assert_eq!(found.map(|c| c.client), Some(client("kept")));
}

#[tokio::test]
async fn a_wrong_url_says_what_to_write_and_hides_the_password() {
    for url in ["mysql://u:hunter2@h/d", "postgres://u:hunter2@h:notaport/d", "sqlite:", "sqlite::memory:"] {
        let error = Store::open(url).await.expect_err(url).to_string();
        assert!(error.contains("sqlite:PATH") && !error.contains("hunter2"), "{error}");
    }
}
