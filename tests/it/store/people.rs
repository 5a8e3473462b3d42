//! People and what is kept about them, on both databases.

use std::time::Duration;

use stockade::base::Timestamp;
use stockade::model::{
    Acr, Consent, Credential, CredentialKind, Grant, LogoutDelivery, PushedRequest, Session, UpstreamLink, User,
};
use stockade::store::grants::Of;
use stockade::store::{
    Store, StoreError, Tx, consents, credentials, grants, idempotency, logout_deliveries, pushed_requests, retention,
    revocations, sessions, upstream_links, users,
};

use crate::support::stores::stores;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(super) fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

pub(super) async fn begin(store: &Store) -> Tx {
    store.begin().await.expect("begin")
}

/// A person, stored.
pub(super) async fn person(store: &Store, name: &str) -> User {
    let user = User::new(format!("usr_{name}"), name.to_owned(), NOW);
    let mut tx = begin(store).await;
    users::insert(&mut tx, &user).await.expect("insert");
    tx.commit().await.expect("commit");
    user
}

pub(crate) fn grant(id: &str, user: &User) -> Grant {
    Grant {
        grant_id: id.to_owned(),
        client_id: "app".to_owned(),
        user_id: user.user_id.clone(),
        session_id: Some("ses_1".to_owned()),
        scopes: vec!["openid".to_owned()],
        resources: vec!["https://api.example".to_owned()],
        acr: Acr::Two,
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        auth_time: NOW,
        nonce: Some("n".to_owned()),
        dpop_jkt: None,
        created_at: NOW,
        expires_at: later(3600),
        revoked_at: None,
    }
}

fn session(id: &str, user: &User) -> Session {
    Session {
        session_id: id.to_owned(),
        user_id: user.user_id.clone(),
        acr: Acr::One,
        amr: vec!["pwd".to_owned()],
        auth_time: NOW,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: later(3600),
        address: Some("192.0.2.1".to_owned()),
        user_agent: None,
    }
}

#[tokio::test]
async fn a_person_is_found_by_id_and_name_and_changed_under_a_version() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        let twin = User { user_id: "usr_twin".to_owned(), ..ada.clone() };
        assert!(matches!(users::insert(&mut tx, &twin).await, Err(StoreError::Conflict(name)) if name == "ada"));
        drop(tx);
        let bob = person(&test.store, "bob").await;
        let mut reader = test.store.read().await.expect("read");
        let found = users::find_by_username(&mut reader, "ada").await.expect("find").expect("there");
        assert_eq!((found.version, &found.user), (1, &ada), "{}", test.name);
        assert_eq!(users::find(&mut reader, "usr_ada").await.expect("find"), Some(found));
        let names = |page: Vec<users::Stored>| page.into_iter().map(|s| s.user.username).collect::<Vec<_>>();
        assert_eq!(names(users::page(&mut reader, "", 10).await.expect("page")), ["ada", "bob"]);
        assert_eq!(names(users::newest(&mut reader, None, 1).await.expect("page")), ["bob"]);
        assert_eq!(names(users::newest(&mut reader, Some("usr_bob"), 9).await.expect("page")), ["ada"]);
        drop(reader);
        let mut tx = begin(&test.store).await;
        let disabled = User { disabled: true, ..ada.clone() };
        assert_eq!(users::update(&mut tx, &disabled, 1).await.expect("update"), 2);
        assert!(matches!(users::update(&mut tx, &disabled, 1).await, Err(StoreError::Conflict(_))), "a stale version");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        let taken = User { username: "ada".to_owned(), ..bob };
        assert!(matches!(users::update(&mut tx, &taken, 1).await, Err(StoreError::Conflict(_))), "a taken name");
    }
}

#[tokio::test]
async fn what_belongs_to_a_person_goes_with_them() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        sessions::insert(&mut tx, &[1; 32], &session("ses_1", &ada)).await.expect("insert");
        grants::insert(&mut tx, &grant("gr_1", &ada)).await.expect("insert");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        assert!(users::delete(&mut tx, &ada.user_id).await.expect("delete"));
        assert!(!users::delete(&mut tx, &ada.user_id).await.expect("delete"), "only once");
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(sessions::find(&mut reader, &[1; 32]).await.expect("find"), None, "{}", test.name);
        assert_eq!(grants::find(&mut reader, "gr_1").await.expect("find"), None);
    }
}

#[tokio::test]
async fn credentials_are_listed_replaced_and_removed() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let password = Credential {
            credential_id: "cred_1".to_owned(),
            user_id: ada.user_id.clone(),
            kind: CredentialKind::Password,
            label: String::new(),
            body: b"hash".to_vec(),
            last_step: None,
            created_at: NOW,
            last_used_at: None,
        };
        let mut tx = begin(&test.store).await;
        credentials::insert(&mut tx, &password).await.expect("insert");
        assert!(credentials::replace_body(&mut tx, "cred_1", b"hash", b"stronger", NOW).await.expect("replace"));
        assert!(!credentials::replace_body(&mut tx, "cred_1", b"hash", b"late", NOW).await.expect("replace"), "stale");
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        let found = credentials::of_user(&mut reader, &ada.user_id).await.expect("list");
        let stronger = Credential { body: b"stronger".to_vec(), last_used_at: Some(NOW), ..password };
        assert_eq!(found, [stronger], "{}", test.name);
        drop(reader);
        let mut tx = begin(&test.store).await;
        assert!(!credentials::delete(&mut tx, "usr_other", "cred_1").await.expect("delete"), "not theirs");
        assert_eq!(credentials::delete_kind(&mut tx, &ada.user_id, CredentialKind::Password).await.expect("delete"), 1);
    }
}

#[tokio::test]
async fn e1_a_step_up_puts_the_session_under_another_cookie_value() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        sessions::insert(&mut tx, &[1; 32], &session("ses_1", &ada)).await.expect("insert");
        sessions::insert(&mut tx, &[9; 32], &session("ses_9", &ada)).await.expect("insert");
        let amr = ["pwd".to_owned(), "otp".to_owned()];
        let (old, new) = ([1; 32], [2; 32]);
        let at = later(60);
        let strangers =
            sessions::renew(&mut tx, &old, &new, "usr_other", (Acr::Two, &amr, at), at).await.expect("renew");
        assert_eq!(strangers, None, "another person's");
        let renewed =
            sessions::renew(&mut tx, &old, &new, &ada.user_id, (Acr::Two, &amr, at), at).await.expect("renew");
        assert_eq!(renewed.as_deref(), Some("ses_1"));
        let again =
            sessions::renew(&mut tx, &old, &[3; 32], &ada.user_id, (Acr::Two, &amr, at), at).await.expect("renew");
        assert_eq!(again, None, "once");
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(sessions::find(&mut reader, &old).await.expect("find"), None, "{}", test.name);
        let now = sessions::find(&mut reader, &new).await.expect("find").expect("there");
        assert_eq!((now.acr, now.auth_time, &*now.amr), (Acr::Two, at, &amr[..]));
        drop(reader);
        let mut tx = begin(&test.store).await;
        assert_eq!(sessions::end_all(&mut tx, &ada.user_id, Some("ses_1")).await.expect("end"), ["ses_9"]);
        assert!(!sessions::end(&mut tx, "ses_1", "usr_other").await.expect("end"), "not theirs");
        assert!(sessions::end(&mut tx, "ses_1", &ada.user_id).await.expect("end"));
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        assert!(sessions::of_user(&mut reader, &ada.user_id).await.expect("list").is_empty());
    }
}

#[tokio::test]
async fn revoking_families_puts_each_on_the_denylist_once() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let bob = person(&test.store, "bob").await;
        let mut tx = begin(&test.store).await;
        for (id, user, client, session) in [
            ("gr_1", &ada, "app", "ses_1"),
            ("gr_2", &ada, "app", "ses_2"),
            ("gr_3", &ada, "tv", "ses_2"),
            ("gr_4", &bob, "app", "ses_3"),
        ] {
            let made = grant(id, user);
            let made = Grant { client_id: client.to_owned(), session_id: Some(session.to_owned()), ..made };
            grants::insert(&mut tx, &made).await.expect("insert");
        }
        tx.commit().await.expect("commit");
        let offline = Grant { scopes: vec!["offline_access".to_owned()], ..grant("gr_5", &bob) };
        let mut tx = begin(&test.store).await;
        grants::insert(&mut tx, &offline).await.expect("insert");
        let clients = grants::clients_of_session(&mut tx, "ses_2").await.expect("list");
        assert_eq!(clients, ["app", "tv"]);
        tx.commit().await.expect("commit");
        let until = later(86_400);
        let mut revoked = Vec::new();
        for of in [
            Of::Grant("gr_1"),
            Of::Grant("gr_1"),
            Of::Session("ses_1"),
            Of::Session("ses_2"),
            Of::Pair { user_id: "usr_ada", client_id: "app" },
            Of::User("usr_ada"),
            Of::Client("app"),
        ] {
            let mut tx = begin(&test.store).await;
            let mut ids: Vec<_> = grants::revoke(&mut tx, of, NOW, until)
                .await
                .expect("revoke")
                .into_iter()
                .map(|r| r.grant_id)
                .collect();
            tx.commit().await.expect("commit");
            ids.sort();
            revoked.push(ids.join(" "));
        }
        assert_eq!(revoked, ["gr_1", "", "", "gr_2 gr_3", "", "", "gr_4 gr_5"], "{}", test.name);
        let mut reader = test.store.read().await.expect("read");
        let mut listed: Vec<_> =
            revocations::since(&mut reader, 0, 10).await.expect("since").into_iter().map(|r| (r.jti, r.exp)).collect();
        listed.sort();
        assert_eq!(listed, ["gr_1", "gr_2", "gr_3", "gr_4", "gr_5"].map(|id| (id.to_owned(), until)));
        let found = grants::find(&mut reader, "gr_1").await.expect("find").expect("there");
        assert_eq!(found, Grant { revoked_at: Some(NOW), ..grant("gr_1", &ada) });
        assert!(!found.is_live(NOW) && grant("gr_1", &ada).is_live(NOW) && !grant("gr_1", &ada).is_live(later(3600)));
        assert!(grants::live_of_user(&mut reader, "usr_ada", NOW, 10).await.expect("list").is_empty());
    }
}

#[tokio::test]
async fn a_family_belongs_to_the_first_key_that_proves_itself() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        grants::insert(&mut tx, &grant("gr_1", &ada)).await.expect("insert");
        assert!(grants::bind_key(&mut tx, "gr_1", "key-a").await.expect("bind"));
        assert!(grants::bind_key(&mut tx, "gr_1", "key-a").await.expect("bind"), "the same again");
        assert!(!grants::bind_key(&mut tx, "gr_1", "key-b").await.expect("bind"), "{}", test.name);
        tx.commit().await.expect("commit");
        let found = grants::find(&mut test.store.read().await.expect("read"), "gr_1").await.expect("find");
        assert_eq!(found.and_then(|g| g.dpop_jkt).as_deref(), Some("key-a"));
    }
}

#[tokio::test]
async fn consent_grows_until_it_is_withdrawn() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let consent = |scopes: &[&str]| Consent {
            user_id: ada.user_id.clone(),
            client_id: "app".to_owned(),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            resources: vec!["https://api.example".to_owned()],
            given_at: NOW,
        };
        let mut tx = begin(&test.store).await;
        consents::give(&mut tx, &consent(&["profile", "email"])).await.expect("give");
        let whole = consents::give(&mut tx, &consent(&["openid", "email"])).await.expect("give");
        assert_eq!(whole.scopes, ["email", "openid", "profile"]);
        tx.commit().await.expect("commit");
        let mut reader = test.store.read().await.expect("read");
        let found = consents::find(&mut reader, &ada.user_id, "app").await.expect("find").expect("there");
        assert!(found.covers(["openid", "email"], ["https://api.example"]), "{}", test.name);
        assert!(!found.covers(["openid", "phone"], []) && !found.covers([], ["https://other.example"]));
        assert_eq!(consents::of_user(&mut reader, &ada.user_id).await.expect("list"), [found]);
        drop(reader);
        let mut tx = begin(&test.store).await;
        assert!(consents::withdraw(&mut tx, &ada.user_id, "app").await.expect("withdraw"));
        assert!(!consents::withdraw(&mut tx, &ada.user_id, "app").await.expect("withdraw"));
    }
}

#[tokio::test]
async fn an_upstream_account_is_one_person_s() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let bob = person(&test.store, "bob").await;
        let link = UpstreamLink {
            issuer: "corp".to_owned(),
            subject: "s-1".to_owned(),
            user_id: ada.user_id.clone(),
            label: "ada@corp.example".to_owned(),
            created_at: NOW,
            last_used_at: None,
        };
        let mut tx = begin(&test.store).await;
        upstream_links::insert(&mut tx, &link).await.expect("insert");
        upstream_links::touch(&mut tx, "corp", "s-1", later(1)).await.expect("touch");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        let other = UpstreamLink { user_id: bob.user_id, ..link.clone() };
        assert!(matches!(upstream_links::insert(&mut tx, &other).await, Err(StoreError::Conflict(_))), "{}", test.name);
        drop(tx);
        let mut reader = test.store.read().await.expect("read");
        let used = UpstreamLink { last_used_at: Some(later(1)), ..link };
        assert_eq!(upstream_links::find(&mut reader, "corp", "s-1").await.expect("find"), Some(used.clone()));
        assert_eq!(upstream_links::find(&mut reader, "corp", "s-2").await.expect("find"), None);
        assert_eq!(upstream_links::of_user(&mut reader, &ada.user_id).await.expect("list"), [used]);
        drop(reader);
        let mut tx = begin(&test.store).await;
        assert!(upstream_links::delete(&mut tx, &ada.user_id, "corp", "s-1").await.expect("delete"));
    }
}

#[tokio::test]
async fn the_same_call_again_finds_its_answer_and_another_under_its_key_is_told() {
    use idempotency::Claim;
    for test in stores().await {
        let until = later(60);
        let mut tx = begin(&test.store).await;
        assert_eq!(idempotency::claim(&mut tx, "p", "k", &[1; 32], until).await.expect("claim"), Claim::New);
        idempotency::finish(&mut tx, "p", "k", 201, "{}").await.expect("finish");
        tx.commit().await.expect("commit");
        let mut tx = begin(&test.store).await;
        let answered = Claim::Answered { status: 201, body: "{}".to_owned() };
        assert_eq!(idempotency::claim(&mut tx, "p", "k", &[1; 32], until).await.expect("claim"), answered);
        assert_eq!(idempotency::claim(&mut tx, "p", "k", &[2; 32], until).await.expect("claim"), Claim::Other);
        assert_eq!(idempotency::claim(&mut tx, "q", "k", &[2; 32], until).await.expect("claim"), Claim::New);
        drop(tx);
        let mut tx = begin(&test.store).await;
        assert_eq!(
            idempotency::claim(&mut tx, "q", "k", &[3; 32], until).await.expect("claim"),
            Claim::New,
            "{}",
            test.name
        );
    }
}

#[tokio::test]
async fn a_logout_delivery_is_taken_by_one_and_tried_again_when_that_one_dies() {
    for test in stores().await {
        let delivery = LogoutDelivery {
            delivery_id: "lgd_1".to_owned(),
            client_id: "app".to_owned(),
            user_id: "usr_ada".to_owned(),
            session_id: None,
            attempts: 0,
            next_at: NOW,
            expires_at: later(3600),
        };
        let mut tx = begin(&test.store).await;
        logout_deliveries::insert(&mut tx, &delivery).await.expect("insert");
        tx.commit().await.expect("commit");
        let take = async |now, again| {
            let mut tx = begin(&test.store).await;
            let taken = logout_deliveries::take(&mut tx, now, again, 10).await.expect("take");
            tx.commit().await.expect("commit");
            taken.into_iter().map(|d| d.attempts).collect::<Vec<_>>()
        };
        assert_eq!(take(NOW, later(30)).await, [1], "{}", test.name);
        assert!(take(later(29), later(60)).await.is_empty(), "it is someone's");
        assert_eq!(take(later(30), later(60)).await, [2], "who has died");
        let mut tx = begin(&test.store).await;
        logout_deliveries::retry_at(&mut tx, "lgd_1", later(600)).await.expect("put off");
        tx.commit().await.expect("commit");
        assert!(take(later(60), later(90)).await.is_empty());
        let mut tx = begin(&test.store).await;
        logout_deliveries::done(&mut tx, "lgd_1").await.expect("done");
        tx.commit().await.expect("commit");
        assert!(take(later(6000), later(6001)).await.is_empty());
    }
}

#[tokio::test]
async fn what_has_expired_leaves_in_batches_and_the_rest_stays() {
    for test in stores().await {
        let ada = person(&test.store, "ada").await;
        let mut tx = begin(&test.store).await;
        for n in 0..7_u8 {
            sessions::insert(&mut tx, &[n; 32], &session(&format!("ses_{n}"), &ada)).await.expect("insert");
            let request = PushedRequest {
                client_id: "app".to_owned(),
                body: "[]".to_owned(),
                expires_at: later(60),
                used_at: None,
            };
            pushed_requests::insert(&mut tx, &[n; 32], &request).await.expect("insert");
        }
        let long = Session { expires_at: later(1_000_000), ..session("ses_long", &ada) };
        sessions::insert(&mut tx, &[99; 32], &long).await.expect("insert");
        tx.commit().await.expect("commit");
        assert_eq!(retention::sweep(&test.store, later(3000), 3).await.expect("sweep"), 0, "{}", test.name);
        assert_eq!(retention::sweep(&test.store, later(10_000), 3).await.expect("sweep"), 14, "{}", test.name);
        let mut reader = test.store.read().await.expect("read");
        let sizes = retention::sizes(&mut reader).await.expect("sizes");
        let size = |table: &str| sizes.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
        assert_eq!((size("users"), size("sessions"), size("pushed_requests")), (Some(1), Some(1), Some(0)));
    }
}
