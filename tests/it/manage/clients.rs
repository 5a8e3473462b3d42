//! `/api/v1/clients`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use stockade::crypto::secret_text;
use stockade::model::event::kind;
use stockade::model::{Acr, Consent, Grant, User};
use stockade::store::{consents, grants, users};

use super::stage::{ISSUER, START, stages};

fn ids(body: &Value) -> Vec<String> {
    body["items"].as_array().unwrap().iter().map(|item| item["client_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_client_is_made_shown_changed_and_deleted_each_time_recorded() {
    for stage in stages().await {
        let made = stage.create(json!({ "client_id": "app", "grants": ["client_credentials"], "scopes": ["x"] })).await;
        assert_eq!(made.header("location"), Some("/api/v1/clients/app"));
        let secret = made.body["client_secret"].as_str().unwrap();
        assert_eq!(secret_text::check(secret), Some(secret_text::Kind::ClientSecret));
        assert!(stage.live.client("app").is_some(), "known here at once");

        let shown = stage.get("/api/v1/clients/app").await;
        assert_eq!(shown.etag(), made.etag());
        assert_eq!((&shown.body["scopes"], &shown.body["default_resource"]), (&json!(["x"]), &json!(ISSUER)));
        let text = shown.body.to_string();
        assert!(!text.contains("digest") && !text.contains("stk_cs_"), "{text}");

        let patched = stage
            .send(Method::PATCH, "/api/v1/clients/app", Some(json!({ "scopes": ["x", "y"], "roles": ["r"] })))
            .await;
        assert_eq!((patched.status, &patched.body["scopes"]), (StatusCode::OK, &json!(["x", "y"])));
        assert_ne!(patched.etag(), made.etag());

        let gone = stage.send(Method::DELETE, "/api/v1/clients/app", None).await;
        assert_eq!((gone.status, &gone.body), (StatusCode::OK, &patched.body), "what it was");
        assert_eq!(stage.get("/api/v1/clients/app").await.problem(), (404, "not-found"));

        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, ["created", "changed", "deleted"], "{}", stage.name);
        let events = stage.events(kind::CLIENT_CHANGED).await;
        assert_eq!(events[0]["resource"], "Client::\"app\"");
        assert_eq!((&events[0]["action"], &events[0]["policies"]), (&json!("client:create"), &json!(["admin.scope"])));
        assert_eq!(events[1]["data"]["members"], json!(["scopes", "roles"]), "names and no values");
        assert!(!json!(events).to_string().contains("stk_cs_"));
    }
}

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    for stage in stages().await {
        let wrong = stage
            .post(
                "/api/v1/clients",
                json!({
                    "client_id": "a b", "kind": "public", "grants": ["client_credentials"],
                    "redirect_uris": ["http://evil.example/cb"], "default_resource": "https://nobody.example",
                }),
            )
            .await;
        assert_eq!(wrong.problem(), (422, "invalid-member"));
        assert_eq!(wrong.pointers(), ["/client_id", "/grants", "/resources/0", "/redirect_uris/0"]);
        let wrong = stage.post("/api/v1/clients", json!({ "redirect_uri": "https://a.example" })).await;
        assert_eq!(wrong.body["detail"], "`redirect_uri`: there is no such member: did you mean `redirect_uris`?");
        for (body, problem) in
            [("[]", (400, "invalid-body")), ("{", (400, "invalid-body")), ("", (400, "invalid-body"))]
        {
            let body = Value::from(body);
            let answer = stage.send(Method::POST, "/api/v1/clients", Some(body)).await;
            assert_eq!(answer.problem(), problem);
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let answer = stage.send_with(Method::POST, "/api/v1/clients", Some(json!({})), &form).await;
        assert_eq!(answer.problem(), (415, "unsupported-media-type"));
        let answer = stage.get("/api/v1/clients?limit=0&offset=3").await;
        assert_eq!(answer.problem(), (400, "invalid-parameter"));
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 2);
        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_id_is_taken_once() {
    for stage in stages().await {
        stage.create(json!({ "client_id": "app" })).await;
        let second = stage.post("/api/v1/clients", json!({ "client_id": "app" })).await;
        assert_eq!(second.problem(), (409, "conflict"));
        let unnamed = stage.create(json!({})).await;
        assert!(unnamed.body["client_id"].as_str().unwrap().starts_with("client_"));
    }
}

#[tokio::test]
async fn pages_come_newest_first_and_meet_without_gap_or_overlap() {
    for stage in stages().await {
        for n in 0..7 {
            // Three moments, so that some were made in the same one.
            if n % 3 == 0 {
                stage.clock.advance(Duration::from_secs(1));
            }
            stage.create(json!({ "client_id": format!("c{n}") })).await;
        }
        let (mut all, mut path) = (Vec::new(), "/api/v1/clients?limit=4".to_owned());
        let mut pages = 0;
        loop {
            let page = stage.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            all.extend(ids(&page.body));
            pages += 1;
            // What is made meanwhile is newer than the first page.
            stage.clock.advance(Duration::from_secs(1));
            stage.create(json!({ "client_id": format!("late{pages}") })).await;
            match page.body["next_cursor"].as_str() {
                Some(cursor) => path = format!("/api/v1/clients?limit=4&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(all, ["c6", "c5", "c4", "c3", "c2", "c1", "c0", "other", "admin"], "{}", stage.name);
        assert_eq!(pages, 3);

        let page = stage.get("/api/v1/clients?limit=1").await;
        let cursor = page.body["next_cursor"].as_str().unwrap();
        let token = stage.token("other", "admin").await;
        let authorization = format!("Bearer {token}");
        let path = format!("/api/v1/clients?cursor={cursor}");
        let stolen = stage.send_with(Method::GET, &path, None, &[("authorization", &authorization)]).await;
        assert_eq!(stolen.problem(), (400, "invalid-parameter"), "a cursor is its caller's");
    }
}

#[tokio::test]
async fn a_rotated_secret_is_shown_once_and_overlaps_with_the_last() {
    for stage in stages().await {
        let first = stage.create(json!({ "client_id": "app" })).await;
        let second = stage.send(Method::POST, "/api/v1/clients/app/rotate-secret", None).await;
        assert_eq!(second.status, StatusCode::OK, "{second:?}");
        assert_ne!(second.body["client_secret"], first.body["client_secret"]);
        let until = START.plus(Duration::from_secs(86_400)).to_string();
        assert_eq!(second.body["secrets"][1]["expires_at"], until);
        let third = stage.post("/api/v1/clients/app/rotate-secret", json!({ "overlap_secs": 0 })).await;
        assert_eq!(third.body["secrets"].as_array().unwrap().len(), 1);
        for wrong in [json!({ "overlap_secs": -1 }), json!({ "overlap_secs": 9_999_999 }), json!({ "overlap": 1 })] {
            let answer = stage.post("/api/v1/clients/app/rotate-secret", wrong).await;
            assert_eq!(answer.problem(), (422, "invalid-member"));
        }
        stage.create(json!({ "client_id": "spa", "kind": "public" })).await;
        let none = stage.send(Method::POST, "/api/v1/clients/spa/rotate-secret", None).await;
        assert_eq!(none.problem(), (409, "conflict"));
    }
}

#[tokio::test]
async fn a_disabled_client_holds_nothing_until_it_is_let_in_again() {
    for stage in stages().await {
        let token = stage.token("other", "admin").await;
        let now = stage.clock.now();
        use stockade::base::Clock as _;
        stage.live.verify(&token, now).await.unwrap();
        let answer = stage.send(Method::POST, "/api/v1/clients/other/disable", None).await;
        assert_eq!((answer.status, &answer.body["disabled"]), (StatusCode::OK, &json!(true)));
        stage.live.verify(&token, now).await.unwrap_err();
        let answer = stage.send(Method::POST, "/api/v1/clients/other/enable", None).await;
        assert_eq!((answer.status, &answer.body["disabled"]), (StatusCode::OK, &json!(false)));
        stage.live.verify(&token, now).await.unwrap();
        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, ["disabled", "enabled"]);
    }
}

#[tokio::test]
async fn what_people_granted_a_client_goes_with_it() {
    for stage in stages().await {
        stage.create(json!({ "client_id": "app" })).await;
        let mut tx = stage.store().begin().await.unwrap();
        users::insert(&mut tx, &User::new("usr_1".to_owned(), "ada".to_owned(), START)).await.unwrap();
        let grant = Grant {
            grant_id: "gr_1".to_owned(),
            client_id: "app".to_owned(),
            user_id: "usr_1".to_owned(),
            session_id: None,
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
        grants::insert(&mut tx, &grant).await.unwrap();
        let consent = Consent {
            user_id: "usr_1".to_owned(),
            client_id: "app".to_owned(),
            scopes: vec!["x".to_owned()],
            resources: Vec::new(),
            given_at: START,
        };
        consents::give(&mut tx, &consent).await.unwrap();
        tx.commit().await.unwrap();

        stage.send(Method::DELETE, "/api/v1/clients/app", None).await;
        let mut reader = stage.store().read().await.unwrap();
        assert!(grants::find(&mut reader, "gr_1").await.unwrap().unwrap().revoked_at.is_some());
        assert!(consents::find(&mut reader, "usr_1", "app").await.unwrap().is_none());
        assert!(stage.live.is_revoked("gr_1"), "on the denylist");
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_leaves_no_trace() {
    for stage in stages().await {
        let would = stage.post("/api/v1/clients?dry_run=true", json!({ "client_id": "app" })).await;
        assert_eq!((would.status, &would.body["client_id"]), (StatusCode::CREATED, &json!("app")));
        assert!(would.body.get("client_secret").is_none());
        assert_eq!(stage.get("/api/v1/clients/app").await.problem(), (404, "not-found"));
        let wrong = stage.post("/api/v1/clients?dry_run=true", json!({ "client_id": "other" })).await;
        assert_eq!(wrong.problem(), (409, "conflict"));
        let would = stage.send(Method::DELETE, "/api/v1/clients/other?dry_run=true", None).await;
        assert_eq!(would.status, StatusCode::OK);
        assert_eq!(stage.get("/api/v1/clients/other").await.status, StatusCode::OK);
        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, Vec::<String>::new());
        let answer = stage.post("/api/v1/clients?dry_run=maybe", json!({})).await;
        assert_eq!(answer.problem(), (400, "invalid-parameter"));
    }
}
