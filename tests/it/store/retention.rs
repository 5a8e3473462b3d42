//! Retention: what has an end leaves after it, by itself and in batches, from every table, on both databases.

use std::path::Path;

use stockade::model::{
    AccessToken, Acr, AuthorizationCode, DeviceCode, DeviceState, PushedRequest, RefreshState, RefreshToken, Session,
};
use stockade::store::{
    Tx, assertions, codes, device_codes, grants, idempotency, pushed_requests, refresh_tokens, retention, revocations,
    sessions, tokens,
};
use stockade::telemetry::labels::{Label as _, Table};

use super::people::{NOW, begin, grant, later, person};
use crate::support::stores::stores;

/// Tables that [`fill`] gives a row, and the sweep takes it from.
const SWEPT: [&str; 10] = [
    "access_tokens",
    "revocations",
    "client_assertions",
    "sessions",
    "authorization_codes",
    "refresh_tokens",
    "grants",
    "pushed_requests",
    "device_codes",
    "idempotency_keys",
];

/// Tables with an end that leave otherwise: a key by its rotation, a lease by whoever takes it next, a delivery when it is given
/// up, with its event; a suppression ends with its event and stays to be looked at.
const OTHERWISE: [&str; 4] = ["signing_keys", "leases", "logout_deliveries", "finding_suppressions"];

/// One row in each table, numbered `n`, which ends after `secs`.
async fn fill(tx: &mut Tx, user: &stockade::model::User, n: u8, secs: u64) {
    let (end, digest) = (later(secs), [n; 32]);
    let token = AccessToken::of_client("app", format!("at_{n}"), "https://api.example", NOW, end);
    tokens::insert(tx, &digest, &token).await.expect("access token");
    revocations::insert(tx, &format!("at_{n}"), end, NOW).await.expect("revocation");
    assert!(assertions::claim(tx, "app", &format!("jti_{n}"), end).await.expect("assertion"));
    let session = Session {
        session_id: format!("ses_{n}"),
        user_id: user.user_id.clone(),
        acr: Acr::One,
        amr: vec!["pwd".to_owned()],
        auth_time: NOW,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: end,
        address: None,
        user_agent: None,
    };
    sessions::insert(tx, &digest, &session).await.expect("session");
    let mut family = grant(&format!("gr_{n}"), user);
    family.expires_at = end;
    grants::insert(tx, &family).await.expect("grant");
    let code = AuthorizationCode {
        grant_id: family.grant_id.clone(),
        client_id: "app".to_owned(),
        redirect_uri: "https://app.example/cb".to_owned(),
        code_challenge: None,
        dpop_jkt: None,
        resources: Vec::new(),
        expires_at: end,
    };
    codes::insert(tx, &digest, &code).await.expect("code");
    let refresh = RefreshToken {
        digest,
        grant_id: family.grant_id,
        parent: None,
        state: RefreshState::Active,
        issued_at: NOW,
        used_at: None,
        expires_at: end,
        access_jti: format!("at_{n}"),
        access_exp: end,
    };
    refresh_tokens::insert(tx, &refresh).await.expect("refresh token");
    let pushed = PushedRequest { client_id: "app".to_owned(), body: "[]".to_owned(), expires_at: end, used_at: None };
    pushed_requests::insert(tx, &digest, &pushed).await.expect("pushed request");
    let device = DeviceCode {
        digest,
        user_code: format!("CODE{n}"),
        client_id: "tv".to_owned(),
        scopes: Vec::new(),
        resources: Vec::new(),
        dpop_jkt: None,
        state: DeviceState::Pending,
        grant_id: None,
        interval_secs: 5,
        polled_at: None,
        created_at: NOW,
        expires_at: end,
    };
    device_codes::insert(tx, &device).await.expect("device code");
    let claimed = idempotency::claim(tx, "p", &format!("k{n}"), &digest, end).await.expect("idempotency key");
    assert_eq!(claimed, idempotency::Claim::New);
}

#[tokio::test]
async fn every_table_loses_what_has_expired_and_keeps_the_rest() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        for n in 0..4 {
            fill(&mut tx, &ada, n, 60).await;
        }
        fill(&mut tx, &ada, 9, 1_000_000).await;
        tx.commit().await.expect("commit");
        let sizes = async || {
            let sizes = retention::sizes(&mut test.store.read().await.expect("read")).await.expect("sizes");
            let of = |table: &str| sizes.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
            SWEPT.map(|table| (table, of(table).unwrap_or_else(|| panic!("{table} has no size"))))
        };
        assert_eq!(sizes().await, SWEPT.map(|table| (table, 5)), "{}", test.name);
        assert_eq!(retention::sweep(&test.store, later(59), 3).await.expect("sweep"), 0, "{}", test.name);
        // More rows than a batch holds.
        let gone = retention::sweep(&test.store, later(10_000), 3).await.expect("sweep");
        assert_eq!(gone, 4 * SWEPT.len() as u64, "{}", test.name);
        assert_eq!(sizes().await, SWEPT.map(|table| (table, 1)), "{}", test.name);
        assert_eq!(retention::sweep(&test.store, later(10_000), 3).await.expect("sweep"), 0, "{}", test.name);
    }
}

#[tokio::test]
async fn every_table_that_grows_with_use_has_a_size_in_the_metrics() {
    for test in stores().await {
        let sizes = retention::sizes(&mut test.store.read().await.expect("read")).await.expect("sizes");
        let mut measured: Vec<&str> = sizes.iter().map(|(name, _)| name.as_str()).collect();
        let mut shown: Vec<&str> = Table::ALL.iter().map(|table| table.as_str()).collect();
        measured.sort_unstable();
        shown.sort_unstable();
        assert_eq!(measured, shown, "{}", test.name);
    }
}

#[test]
fn no_table_has_an_end_and_nobody_who_looks_at_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations/sqlite");
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).expect("migrations") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for table in text.split("create table ").skip(1) {
            let (name, rest) = table.split_once(" (").expect("columns");
            let columns = rest.split(';').next().expect("an end");
            let ends = |line: &str| line.trim().starts_with("expires_at ") || line.trim().starts_with("exp ");
            if columns.lines().any(ends) {
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    let mut known: Vec<_> = SWEPT.iter().chain(&OTHERWISE).map(|name| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(found, known);
}
