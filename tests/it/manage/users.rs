//! `/api/v1/users`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use stockade::crypto::password::{self, Password};
use stockade::model::event::kind;
use stockade::model::{Acr, CredentialKind, Grant, Session};
use stockade::store::{credentials, grants, sessions};

use super::stage::{ISSUER, START, Stage, stages};

/// Adds a person; the path of it.
async fn ada(stage: &Stage) -> (String, Value) {
    let made = stage.post("/api/v1/users", json!({ "username": "Ada", "email": "ada@example.com" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    (made.header("location").unwrap().to_owned(), made.body)
}

/// Signs the person in, with a family of tokens in that session and one outside.
async fn sign_in(stage: &Stage, user_id: &str, n: u8) -> String {
    let session_id = format!("ses_{n}");
    let session = Session {
        session_id: session_id.clone(),
        user_id: user_id.to_owned(),
        acr: Acr::One,
        amr: vec!["pwd".to_owned()],
        auth_time: START,
        created_at: START,
        last_seen_at: START,
        expires_at: START.plus(Duration::from_secs(3600)),
        address: None,
        user_agent: None,
    };
    let family = |grant_id: String, session_id: Option<String>| Grant {
        grant_id,
        client_id: "other".to_owned(),
        user_id: user_id.to_owned(),
        session_id,
        scopes: vec!["x".to_owned()],
        resources: vec![ISSUER.to_owned()],
        acr: Acr::One,
        amr: Vec::new(),
        auth_time: START,
        nonce: None,
        dpop_jkt: None,
        created_at: START,
        expires_at: START.plus(Duration::from_secs(3600)),
        revoked_at: None,
    };
    let mut tx = stage.store().begin().await.unwrap();
    sessions::insert(&mut tx, &[n; 32], &session).await.unwrap();
    grants::insert(&mut tx, &family(format!("gr_in_{n}"), Some(session_id.clone()))).await.unwrap();
    grants::insert(&mut tx, &family(format!("gr_out_{n}"), None)).await.unwrap();
    tx.commit().await.unwrap();
    session_id
}

async fn password_fits(stage: &Stage, user_id: &str, text: &str) -> bool {
    let held = credentials::of_user(&mut stage.store().read().await.unwrap(), user_id).await.unwrap();
    let of_password: Vec<_> = held.iter().filter(|one| one.kind == CredentialKind::Password).collect();
    assert_eq!(of_password.len(), 1, "one password");
    password::verify(&Password::new(text).unwrap(), std::str::from_utf8(&of_password[0].body).unwrap()).fits()
}

#[tokio::test]
async fn a_person_is_added_with_a_password_that_is_shown_once() {
    for stage in stages().await {
        let (path, body) = ada(&stage).await;
        let (id, made) = (body["user_id"].as_str().unwrap(), body["password"].as_str().unwrap());
        assert_eq!((&body["username"], made.len()), (&json!("ada"), 27));
        assert!(password_fits(&stage, id, made).await, "{}", stage.name);
        let shown = stage.get(&path).await;
        assert!(shown.body.get("password").is_none() && shown.header("etag").is_some(), "{shown:?}");
        let again = stage.post("/api/v1/users", json!({ "username": "ADA" })).await;
        assert_eq!(again.problem(), (409, "conflict"), "however it is typed");
        let events = json!(stage.events(kind::USER_CHANGED).await).to_string();
        assert!(!events.contains(made) && !events.contains("ada@example.com"), "nothing secret or personal: {events}");
    }
}

#[tokio::test]
async fn mistakes_in_a_person_are_told_at_once_and_a_weak_password_too() {
    for stage in stages().await {
        let wrong = stage.post("/api/v1/users", json!({ "disabled": 1, "email": "x", "username": "a" })).await;
        assert_eq!(wrong.pointers(), ["/disabled"]);
        let wrong = stage.post("/api/v1/users", json!({ "email": "x", "username": "" })).await;
        assert_eq!(wrong.pointers(), ["/username", "/email"]);
        for weak in ["short", "a-long-username"] {
            let body = json!({ "username": "a-long-username", "password": weak });
            let wrong = stage.post("/api/v1/users", body).await;
            assert_eq!((wrong.problem(), wrong.pointers()), ((422, "invalid-member"), vec!["/password"]));
            assert!(!wrong.body.to_string().contains("short\""), "it is not repeated");
        }
        assert!(stage.changes(kind::USER_CHANGED).await.is_empty(), "{}", stage.name);
    }
}

#[tokio::test]
async fn a_patch_changes_what_a_person_is_called_and_only_the_call_for_roles_gives_roles() {
    for stage in stages().await {
        let (path, _) = ada(&stage).await;
        let patched = stage.send(Method::PATCH, &path, Some(json!({ "name": "Ada L.", "email": null }))).await;
        assert_eq!((&patched.body["name"], patched.body.get("email")), (&json!("Ada L."), None), "{patched:?}");
        let wrong = stage.send(Method::PATCH, &path, Some(json!({ "roles": ["admin"] }))).await;
        assert_eq!(wrong.pointers(), ["/roles"]);
        let roles = format!("{path}/roles");
        let given = stage.send(Method::PUT, &roles, Some(json!({ "roles": ["auditor", "auditor"] }))).await;
        assert_eq!(given.body["roles"], json!(["auditor"]));
        let old = [("if-match", patched.etag())];
        let old: Vec<(&str, &str)> = old.iter().map(|(name, tag)| (*name, tag.as_str())).collect();
        let late = stage.send_with(Method::PUT, &roles, Some(json!({ "roles": [] })), &old).await;
        assert_eq!(late.problem(), (412, "precondition-failed"));
        assert_eq!(stage.send(Method::PUT, &roles, Some(json!({}))).await.pointers(), ["/roles"]);
        assert_eq!(stage.changes(kind::USER_CHANGED).await, ["created", "changed", "roles_set"], "{}", stage.name);
    }
}

#[tokio::test]
async fn a_disabled_person_loses_every_session_and_family() {
    for stage in stages().await {
        let (path, body) = ada(&stage).await;
        let id = body["user_id"].as_str().unwrap();
        sign_in(&stage, id, 1).await;
        let done = stage.send(Method::POST, &format!("{path}/disable"), None).await;
        assert_eq!((done.status, &done.body["disabled"]), (StatusCode::OK, &json!(true)), "{done:?}");
        for family in ["gr_in_1", "gr_out_1"] {
            assert!(stage.live.is_revoked(family), "{family} on {}", stage.name);
        }
        assert_eq!(stage.get(&format!("{path}/sessions")).await.body["items"], json!([]));
        assert_eq!(stage.events(kind::GRANT_REVOKED).await.len(), 2);
        let done = stage.send(Method::POST, &format!("{path}/enable"), None).await;
        assert_eq!(done.body["disabled"], false);
    }
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_ends_what_it_opened() {
    for stage in stages().await {
        let (path, body) = ada(&stage).await;
        let (id, old) = (body["user_id"].as_str().unwrap(), body["password"].as_str().unwrap());
        sign_in(&stage, id, 1).await;
        let path = format!("{path}/password");
        let given = stage.post(&path, json!({ "password": "correct horse battery" })).await;
        assert_eq!(given.status, StatusCode::OK, "{given:?}");
        assert!(given.body.get("password").is_none(), "whoever chose it knows it");
        assert!(password_fits(&stage, id, "correct horse battery").await && !password_fits(&stage, id, old).await);
        assert!(stage.live.is_revoked("gr_out_1"), "{}", stage.name);
        let made = stage.send(Method::POST, &path, None).await;
        assert!(password_fits(&stage, id, made.body["password"].as_str().unwrap()).await);
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_or_all() {
    for stage in stages().await {
        let (path, body) = ada(&stage).await;
        let id = body["user_id"].as_str().unwrap();
        let (one, _) = (sign_in(&stage, id, 1).await, sign_in(&stage, id, 2).await);
        let path = format!("{path}/sessions");
        assert_eq!(stage.get(&path).await.body["items"].as_array().unwrap().len(), 2);
        let ended = stage.send(Method::DELETE, &format!("{path}/{one}"), None).await;
        assert_eq!((&ended.body["sessions_ended"], &ended.body["grants_revoked"]), (&json!(["ses_1"]), &json!(1)));
        assert!(stage.live.is_revoked("gr_in_1") && !stage.live.is_revoked("gr_in_2"), "{}", stage.name);
        let again = stage.send(Method::DELETE, &format!("{path}/{one}"), None).await;
        assert_eq!(again.problem(), (404, "not-found"));

        let other = stage.post("/api/v1/users", json!({ "username": "bob" })).await;
        let theirs = format!("{}/sessions/ses_2", other.header("location").unwrap());
        assert_eq!(stage.send(Method::DELETE, &theirs, None).await.problem(), (404, "not-found"), "not that person's");

        let ended = stage.send(Method::DELETE, &path, None).await;
        assert_eq!(ended.body["sessions_ended"], json!(["ses_2"]));
        assert!(!stage.live.is_revoked("gr_out_2"), "what was granted outside of them stays");
    }
}

#[tokio::test]
async fn a_deleted_person_is_gone_with_everything() {
    for stage in stages().await {
        let (path, body) = ada(&stage).await;
        let id = body["user_id"].as_str().unwrap();
        sign_in(&stage, id, 1).await;
        let gone = stage.send(Method::DELETE, &path, None).await;
        assert_eq!((gone.status, &gone.body["username"]), (StatusCode::OK, &json!("ada")));
        assert_eq!(stage.get(&path).await.problem(), (404, "not-found"));
        assert!(stage.live.is_revoked("gr_in_1") && stage.live.is_revoked("gr_out_1"), "{}", stage.name);
        assert_eq!(stage.changes(kind::USER_CHANGED).await, ["created", "deleted"]);
    }
}

#[tokio::test]
async fn people_are_listed_newest_first() {
    for stage in stages().await {
        for name in ["a", "b", "c"] {
            stage.clock.advance(Duration::from_secs(1));
            stage.post("/api/v1/users", json!({ "username": name })).await;
        }
        let page = stage.get("/api/v1/users?limit=2").await.body;
        let names =
            |page: &Value| page["items"].as_array().unwrap().iter().map(|u| u["username"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&page), ["c", "b"], "{}", stage.name);
        let next = format!("/api/v1/users?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
        let rest = stage.get(&next).await.body;
        assert_eq!((names(&rest), &rest["next_cursor"]), (vec![json!("a")], &Value::Null));
    }
}

#[tokio::test]
async fn a_person_is_found_by_name_however_it_is_typed() {
    for stage in stages().await {
        let (_, ada) = ada(&stage).await;
        stage.post("/api/v1/users", json!({ "username": "bob" })).await;
        let found = stage.get("/api/v1/users?username=ADA").await;
        let items = found.body["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["user_id"]), (1, &ada["user_id"]), "{}", stage.name);
        assert_eq!(stage.get("/api/v1/users?username=nobody").await.body["items"], json!([]));
        assert_eq!(stage.get("/api/v1/users?username=a%00").await.problem(), (400, "invalid-parameter"));
    }
}
