//! What may be used once is used once, by however many at once, on both databases. B6, B11.

use std::future::Future;

use stockade::base::Timestamp;
use stockade::model::{
    AuthorizationCode, Credential, CredentialKind, DeviceCode, DeviceState, PushedRequest, RefreshState, RefreshToken,
};
use stockade::store::grants::Of;
use stockade::store::{Store, Tx, codes, credentials, device_codes, grants, pushed_requests, refresh_tokens, users};

use super::people::{NOW, begin, grant, later, person};
use crate::support::stores::stores;

/// How many of fifty that try at once succeed.
async fn of_fifty<F, T>(store: &Store, attempt: F) -> usize
where
    F: Fn(Tx) -> T,
    T: Future<Output = (bool, Tx)> + Send + 'static,
{
    let mut tries = Vec::new();
    for _ in 0..50 {
        // Begun one after the other on SQLite, at once on PostgreSQL; the work itself runs side by side.
        let store = store.clone();
        let attempt = &attempt;
        tries.push(async move {
            let (won, tx) = attempt(store.begin().await.expect("begin")).await;
            tx.commit().await.expect("commit");
            won
        });
    }
    futures_util::future::join_all(tries).await.into_iter().filter(|won| *won).count()
}

pub(super) fn refresh(digest: [u8; 32], parent: Option<[u8; 32]>, at: Timestamp) -> RefreshToken {
    RefreshToken {
        digest,
        grant_id: "gr_1".to_owned(),
        parent,
        state: RefreshState::Active,
        issued_at: at,
        used_at: None,
        expires_at: later(1000),
        access_jti: format!("at_{}", digest[0]),
        access_exp: later(600),
    }
}

async fn family(store: &Store) {
    let ada = person(store, "ada").await;
    let mut tx = begin(store).await;
    grants::insert(&mut tx, &grant("gr_1", &ada)).await.expect("insert");
    tx.commit().await.expect("commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_a_code_is_used_by_one_of_fifty_and_its_second_use_is_recognised() {
    for test in stores().await {
        family(&test.store).await;
        let code = AuthorizationCode {
            grant_id: "gr_1".to_owned(),
            client_id: "app".to_owned(),
            redirect_uri: "https://app.example/cb".to_owned(),
            code_challenge: None,
            dpop_jkt: None,
            resources: Vec::new(),
            expires_at: later(60),
        };
        let mut tx = begin(&test.store).await;
        codes::insert(&mut tx, &[7; 32], &code).await.expect("insert");
        assert_eq!(codes::use_up(&mut tx, &[7; 32], "other", NOW).await.expect("use"), None, "another client's");
        assert_eq!(codes::used(&mut tx, &[7; 32], "app").await.expect("find"), None);
        tx.commit().await.expect("commit");
        let won = of_fifty(&test.store, |mut tx| async move {
            let used = codes::use_up(&mut tx, &[7; 32], "app", NOW).await.expect("use");
            (used.is_some(), tx)
        });
        assert_eq!(won.await, 1, "{}", test.name);
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(codes::used(&mut reader, &[7; 32], "app").await.expect("find"), Some(code));
        assert_eq!(codes::used(&mut reader, &[7; 32], "other").await.expect("find"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b11_a_refresh_token_is_rotated_by_one_of_fifty() {
    for test in stores().await {
        family(&test.store).await;
        let mut tx = begin(&test.store).await;
        refresh_tokens::insert(&mut tx, &refresh([1; 32], None, NOW)).await.expect("insert");
        tx.commit().await.expect("commit");
        let won = of_fifty(&test.store, |mut tx| async move {
            let rotated = refresh_tokens::rotate(&mut tx, &[1; 32], later(1)).await.expect("rotate");
            (rotated.is_some(), tx)
        });
        assert_eq!(won.await, 1, "{}", test.name);
        let found = refresh_tokens::find(&mut test.store.read().await.expect("read"), &[1; 32]).await.expect("find");
        let rotated =
            RefreshToken { state: RefreshState::Rotated, used_at: Some(later(1)), ..refresh([1; 32], None, NOW) };
        assert_eq!(found, Some(rotated));
    }
}

#[tokio::test]
async fn b11_a_rotation_that_is_rolled_back_leaves_no_trace() {
    for test in stores().await {
        family(&test.store).await;
        let mut tx = begin(&test.store).await;
        refresh_tokens::insert(&mut tx, &refresh([1; 32], None, NOW)).await.expect("insert");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        assert!(refresh_tokens::rotate(&mut tx, &[1; 32], NOW).await.expect("rotate").is_some());
        refresh_tokens::insert(&mut tx, &refresh([2; 32], Some([1; 32]), NOW)).await.expect("insert");
        drop(tx);
        let mut reader = test.store.read().await.expect("read");
        let found = refresh_tokens::find(&mut reader, &[1; 32]).await.expect("find");
        assert_eq!(found, Some(refresh([1; 32], None, NOW)), "{}", test.name);
        assert_eq!(refresh_tokens::find(&mut reader, &[2; 32]).await.expect("find"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_of_fifty_lost_answers_one_child_is_left_alive() {
    for test in stores().await {
        family(&test.store).await;
        let mut tx = begin(&test.store).await;
        refresh_tokens::insert(&mut tx, &refresh([1; 32], None, NOW)).await.expect("insert");
        refresh_tokens::rotate(&mut tx, &[1; 32], NOW).await.expect("rotate").expect("active");
        refresh_tokens::insert(&mut tx, &refresh([100; 32], Some([1; 32]), NOW)).await.expect("insert");
        tx.commit().await.expect("commit");
        let next = std::sync::atomic::AtomicU8::new(101);
        let replaced = of_fifty(&test.store, |mut tx| {
            let own = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move {
                let parent = refresh_tokens::lock(&mut tx, &[1; 32]).await.expect("lock").expect("there");
                assert_eq!(parent.state, RefreshState::Rotated);
                let child = refresh_tokens::replace_child(&mut tx, &[1; 32]).await.expect("replace");
                let child = child.expect("each finds the one that is alive");
                assert_eq!(child.state, RefreshState::Replaced);
                refresh_tokens::insert(&mut tx, &refresh([own; 32], Some([1; 32]), NOW)).await.expect("insert");
                (true, tx)
            }
        });
        assert_eq!(replaced.await, 50, "{}", test.name);
        let mut alive = 0;
        let mut reader = test.store.read().await.expect("read");
        for own in 100..=150_u8 {
            let child = refresh_tokens::find(&mut reader, &[own; 32]).await.expect("find").expect("there");
            alive += usize::from(child.state == RefreshState::Active);
        }
        assert_eq!(alive, 1, "{}", test.name);
    }
}

#[tokio::test]
async fn b10_a_child_that_was_used_is_not_replaced() {
    for test in stores().await {
        family(&test.store).await;
        let mut tx = begin(&test.store).await;
        refresh_tokens::insert(&mut tx, &refresh([1; 32], None, NOW)).await.expect("insert");
        refresh_tokens::rotate(&mut tx, &[1; 32], NOW).await.expect("rotate").expect("active");
        refresh_tokens::insert(&mut tx, &refresh([2; 32], Some([1; 32]), NOW)).await.expect("insert");
        refresh_tokens::rotate(&mut tx, &[2; 32], NOW).await.expect("rotate").expect("active");
        assert_eq!(refresh_tokens::replace_child(&mut tx, &[1; 32]).await.expect("replace"), None, "{}", test.name);
    }
}

#[tokio::test]
async fn b14_nothing_of_a_revoked_or_expired_family_is_refreshed() {
    for test in stores().await {
        family(&test.store).await;
        let mut tx = begin(&test.store).await;
        refresh_tokens::insert(&mut tx, &refresh([1; 32], None, NOW)).await.expect("insert");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        let over = later(1000);
        assert_eq!(refresh_tokens::rotate(&mut tx, &[1; 32], over).await.expect("rotate"), None, "it has expired");
        let (end, kept) = (later(2000), ("at_2", later(700)));
        assert!(refresh_tokens::keep(&mut tx, &[1; 32], NOW, end, kept).await.expect("keep").is_some());
        let family_over = later(3600);
        let (end, kept) = (later(9000), ("at_3", later(9000)));
        assert!(refresh_tokens::keep(&mut tx, &[1; 32], family_over, end, kept).await.expect("keep").is_none());
        grants::revoke(&mut tx, Of::Grant("gr_1"), NOW, later(10)).await.expect("revoke");
        assert_eq!(refresh_tokens::rotate(&mut tx, &[1; 32], NOW).await.expect("rotate"), None, "{}", test.name);
        assert_eq!(refresh_tokens::keep(&mut tx, &[1; 32], NOW, end, kept).await.expect("keep"), None);
        users::delete(&mut tx, "usr_ada").await.expect("delete");
        assert_eq!(refresh_tokens::rotate(&mut tx, &[1; 32], NOW).await.expect("rotate"), None, "no family at all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_code_a_recovery_code_and_a_pushed_request_are_used_by_one_of_fifty() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        for (id, kind) in [("cred_1", CredentialKind::Totp), ("cred_2", CredentialKind::Recovery)] {
            let credential = Credential {
                credential_id: id.to_owned(),
                user_id: ada.user_id.clone(),
                kind,
                label: String::new(),
                body: vec![5; 32],
                last_step: None,
                created_at: NOW,
                last_used_at: None,
            };
            credentials::insert(&mut tx, &credential).await.expect("insert");
        }
        let request =
            PushedRequest { client_id: "app".to_owned(), body: "[]".to_owned(), expires_at: later(60), used_at: None };
        pushed_requests::insert(&mut tx, &[3; 32], &request).await.expect("insert");
        tx.commit().await.expect("commit");
        let step = of_fifty(&test.store, |mut tx| async move {
            (credentials::use_step(&mut tx, "cred_1", 42, NOW).await.expect("use"), tx)
        });
        assert_eq!(step.await, 1, "{}", test.name);
        let mut tx = begin(&test.store).await;
        assert!(!credentials::use_step(&mut tx, "cred_1", 41, NOW).await.expect("use"), "an earlier step");
        assert!(credentials::use_step(&mut tx, "cred_1", 43, NOW).await.expect("use"), "the next step");
        drop(tx);
        let recovery = of_fifty(&test.store, |mut tx| async move {
            (credentials::use_recovery(&mut tx, "usr_ada", &[5; 32]).await.expect("use"), tx)
        });
        assert_eq!(recovery.await, 1, "{}", test.name);
        let pushed = of_fifty(&test.store, |mut tx| async move {
            (pushed_requests::use_up(&mut tx, &[3; 32], NOW).await.expect("use"), tx)
        });
        assert_eq!(pushed.await, 1, "{}", test.name);
        let found = pushed_requests::find(&mut test.store.read().await.expect("read"), &[3; 32]).await.expect("find");
        assert_eq!(found, Some(PushedRequest { used_at: Some(NOW), ..request }));
    }
}

fn device() -> DeviceCode {
    DeviceCode {
        digest: [4; 32],
        user_code: "BCDFGHJK".to_owned(),
        client_id: "tv".to_owned(),
        scopes: vec!["openid".to_owned()],
        resources: vec!["https://api.example".to_owned()],
        dpop_jkt: None,
        state: DeviceState::Pending,
        grant_id: None,
        interval_secs: 5,
        polled_at: None,
        created_at: NOW,
        expires_at: later(600),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_decided_once_and_served_once() {
    for test in stores().await {
        let mut tx = begin(&test.store).await;
        device_codes::insert(&mut tx, &device()).await.expect("insert");
        assert_eq!(device_codes::use_up(&mut tx, &[4; 32], "tv", NOW).await.expect("use"), None, "not approved");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        let twin = DeviceCode { digest: [5; 32], ..device() };
        assert!(device_codes::insert(&mut tx, &twin).await.is_err(), "the user code is taken");
        drop(tx);
        let approved = of_fifty(&test.store, |mut tx| async move {
            (device_codes::approve(&mut tx, "BCDFGHJK", "gr_1", NOW).await.expect("approve"), tx)
        });
        assert_eq!(approved.await, 1, "{}", test.name);
        let mut tx = begin(&test.store).await;
        assert!(!device_codes::deny(&mut tx, "BCDFGHJK", NOW).await.expect("deny"), "it is decided");
        assert_eq!(device_codes::use_up(&mut tx, &[4; 32], "other", NOW).await.expect("use"), None, "another client");
        assert_eq!(device_codes::use_up(&mut tx, &[4; 32], "tv", later(600)).await.expect("use"), None, "too late");
        drop(tx);
        let served = of_fifty(&test.store, |mut tx| async move {
            let family = device_codes::use_up(&mut tx, &[4; 32], "tv", NOW).await.expect("use");
            (family.as_deref() == Some("gr_1"), tx)
        });
        assert_eq!(served.await, 1, "{}", test.name);
        let found =
            device_codes::by_user_code(&mut test.store.read().await.expect("read"), "BCDFGHJK").await.expect("find");
        let used = DeviceCode { state: DeviceState::Used, grant_id: Some("gr_1".to_owned()), ..device() };
        assert_eq!(found, Some(used));
    }
}

#[tokio::test]
async fn a_device_that_polls_too_fast_is_slowed_down() {
    for test in stores().await {
        let mut tx = begin(&test.store).await;
        device_codes::insert(&mut tx, &device()).await.expect("insert");
        let mut intervals = Vec::new();
        for at in [0, 5, 9, 19, 21] {
            let polled = device_codes::poll(&mut tx, &[4; 32], "tv", later(at)).await.expect("poll").expect("there");
            intervals.push(polled.interval_secs);
        }
        assert_eq!(intervals, [5, 5, 10, 10, 15], "{}", test.name);
        assert_eq!(device_codes::poll(&mut tx, &[4; 32], "other", NOW).await.expect("poll"), None);
    }
}
