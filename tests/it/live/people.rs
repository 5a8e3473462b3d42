//! People in memory, and every level at which their tokens die (C6).

use std::sync::Arc;
use std::time::Duration;

use stockade::base::{Clock as _, SystemRng, Timestamp};
use stockade::crypto::verify::TokenError;
use stockade::crypto::{secret_text, sha256};
use stockade::live::Live;
use stockade::model::{AccessToken, User};
use stockade::store::grants::Of;
use stockade::store::{Store, grants, revocations, tokens, users};

use super::{add_client, clock, live};
use crate::store::people::grant;
use crate::support::stores::stores;

/// A token of `user` through client `c`, of family `gr_1`.
async fn issue(store: &Store, user: &User, now: Timestamp) -> (String, AccessToken) {
    let text = secret_text::generate(secret_text::Kind::AccessToken, &SystemRng).expose().clone();
    let (jti, exp) = (stockade::base::id::new("at", now, &SystemRng), now.plus(Duration::from_secs(600)));
    let token = AccessToken {
        sub: user.user_id.clone(),
        gid: Some("gr_1".to_owned()),
        sid: Some("ses_1".to_owned()),
        acr: Some(2),
        auth_time: Some(now),
        ..AccessToken::of_client("c", jti, "https://api.example", now, exp)
    };
    let mut tx = store.begin().await.expect("begin");
    tokens::insert(&mut tx, &sha256(text.as_bytes()), &token).await.expect("insert");
    tx.commit().await.expect("commit");
    (text, token)
}

async fn add_person(store: &Store) -> User {
    let user = User::new("usr_ada".to_owned(), "ada".to_owned(), Timestamp::from_secs(1_800_000_000));
    let mut tx = store.begin().await.expect("begin");
    users::insert(&mut tx, &user).await.expect("insert");
    grants::insert(&mut tx, &grant("gr_1", &user)).await.expect("insert");
    tx.commit().await.expect("commit");
    user
}

async fn update(store: &Store, live: &Live, change: impl FnOnce(&mut User)) {
    let mut tx = store.begin().await.expect("begin");
    let mut stored = users::find(&mut tx, "usr_ada").await.expect("find").expect("there");
    change(&mut stored.user);
    users::update(&mut tx, &stored.user, stored.version).await.expect("update");
    tx.commit().await.expect("commit");
    live.refresh().await.expect("refreshed");
}

#[tokio::test]
async fn a_person_s_token_speaks_for_the_stored_person() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let ada = add_person(&test.store).await;
        let live = live(&test.store, &clock).await;
        let (text, token) = issue(&test.store, &ada, clock.now()).await;
        let (said, principal) = live.known(&text, clock.now()).await.expect("alive");
        assert_eq!(*said, token, "{}", test.name);
        assert_eq!(principal.reference().to_string(), r#"User::"usr_ada""#);
        assert!(principal.is_known());
        let before = live.user("usr_ada").await.expect("answers").expect("there");
        assert!(Arc::ptr_eq(&before, &live.user("usr_ada").await.expect("answers").expect("there")), "remembered");
        update(&test.store, &live, |user| user.roles.push("admin".to_owned())).await;
        let after = live.user("usr_ada").await.expect("answers").expect("there");
        assert_eq!((after.version, &*after.user.roles), (2, &["admin".to_owned()][..]), "{}", test.name);
        assert!(live.user("usr_nobody").await.expect("answers").is_none());
    }
}

#[tokio::test]
async fn c6_a_token_dies_with_itself_its_family_or_its_person() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let ada = add_person(&test.store).await;
        let now = clock.now();
        let until = now.plus(Duration::from_secs(86_400));
        let live = live(&test.store, &clock).await;
        let (text, token) = issue(&test.store, &ada, now).await;
        let (other, _) = issue(&test.store, &ada, now).await;
        let mut tx = test.store.begin().await.expect("begin");
        revocations::insert(&mut tx, &token.jti, until, now).await.expect("insert");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert_eq!(live.verify(&text, now).await, Err(TokenError::Revoked), "{}: itself", test.name);
        assert!(live.verify(&other, now).await.is_ok(), "{}: not the other", test.name);

        update(&test.store, &live, |user| user.disabled = true).await;
        assert_eq!(live.verify(&other, now).await, Err(TokenError::Revoked), "{}: disabled", test.name);
        update(&test.store, &live, |user| user.disabled = false).await;
        assert!(live.verify(&other, now).await.is_ok(), "{}: enabled again", test.name);

        let mut tx = test.store.begin().await.expect("begin");
        grants::revoke(&mut tx, Of::User("usr_ada"), now, until).await.expect("revoke");
        tx.commit().await.expect("commit");
        live.refresh().await.expect("refreshed");
        assert!(live.is_revoked("gr_1") && !live.is_revoked("usr_ada"));
        assert_eq!(live.verify(&other, now).await, Err(TokenError::Revoked), "{}: the family", test.name);
    }
}

#[tokio::test]
async fn c6_a_person_on_the_denylist_and_one_who_is_gone_have_no_live_tokens() {
    for test in stores().await {
        let clock = clock();
        add_client(&test.store).await;
        let ada = add_person(&test.store).await;
        let now = clock.now();
        let live = live(&test.store, &clock).await;
        let (text, _) = issue(&test.store, &ada, now).await;
        assert!(live.verify(&text, now).await.is_ok());
        let mut tx = test.store.begin().await.expect("begin");
        users::delete(&mut tx, "usr_ada").await.expect("delete");
        tx.commit().await.expect("commit");
        live.forget_users();
        assert_eq!(live.verify(&text, now).await, Err(TokenError::Revoked), "{}: gone", test.name);
        add_person(&test.store).await;
        live.refresh().await.expect("refreshed");
        assert!(live.verify(&text, now).await.is_ok());
        live.revoke("usr_ada", now.plus(Duration::from_secs(60)));
        assert_eq!(live.verify(&text, now).await, Err(TokenError::Revoked), "{}: on the list", test.name);
    }
}
