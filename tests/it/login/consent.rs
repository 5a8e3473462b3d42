//! What people allow clients, and take back.

use http::StatusCode;
use stockade::crypto::sha256;
use stockade::http::flow::{Authorization, Kept, Needs, Requested, Wishes};
use stockade::model::{Acr, PushedRequest};
use stockade::store::{consents, pushed_requests};

use super::stage::stages;

#[tokio::test]
async fn consent_names_the_client_and_what_it_asks_for_and_is_remembered() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let flow = stage.flow(&browser, Needs::default());
        let path = format!("/consent?flow={}", flow.flow_id);
        let page = browser.get(&path).await;
        assert_eq!(page.title(), "Allow Notes &#38; More?", "{}", stage.name);
        for words in ["Know that it is you", "notes:read", "https://api.example", "app.example"] {
            assert!(page.html.contains(words), "{words}: {}", page.html);
        }
        let refuse = format!("<a href=\"/oauth/authorize?flow={}&#38;refused=1\">Refuse</a>", flow.flow_id);
        assert!(page.html.contains(&refuse), "refusing is a link: {}", page.html);
        let done = browser.submit(&page, &[]).await;
        assert_eq!(done.leads_to(), format!("/oauth/authorize?flow={}", flow.flow_id));
        let mut reader = stage.store.read().await.unwrap();
        let consent = consents::find(&mut reader, &ada.user_id, "app").await.unwrap().unwrap();
        assert!(consent.covers(["openid", "notes:read"], ["https://api.example"]), "{}: {consent:?}", stage.name);
        let given = &stage.events("consent.given", 1).await[0];
        assert_eq!(
            (&given["data"]["client_id"], &given["data"]["scope"]),
            (&"app".into(), &"openid notes:read".into())
        );
    }
}

#[tokio::test]
async fn what_was_allowed_is_taken_back_with_everything_that_came_of_it() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let flow = stage.flow(&browser, Needs::default());
        let page = browser.get(&format!("/consent?flow={}", flow.flow_id)).await;
        browser.submit(&page, &[]).await;
        let grant = stage.grant(&ada, None).await;
        let page = browser.get("/account").await;
        assert!(page.html.contains("Notes &#38; More"));
        let done = browser.submit_to(&page, "/account/apps/withdraw", &[]).await;
        assert_eq!(done.leads_to(), "/account?done=app", "{}", stage.name);
        assert!(stage.live.is_revoked(&grant), "{}", stage.name);
        let mut reader = stage.store.read().await.unwrap();
        assert!(consents::find(&mut reader, &ada.user_id, "app").await.unwrap().is_none());
        drop(reader);
        stage.events("consent.withdrawn", 1).await;
        let again = browser.submit_to(&page, "/account/apps/withdraw", &[]).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a19_a_flow_of_another_browser_is_no_flow() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let hers = stage.browser().signed_in("ada").await;
        let attacker = stage.browser();
        let flow = stage.flow(&attacker, Needs::default());
        for path in ["/consent", "/login", "/login/second"] {
            let page = hers.get(&format!("{path}?flow={}", flow.flow_id)).await;
            assert_eq!((page.status, page.title()), (StatusCode::BAD_REQUEST, "This sign-in is over"), "{path}");
        }
        // Her form, his flow.
        let own = stage.flow(&hers, Needs::default());
        let page = hers.get(&format!("/consent?flow={}", own.flow_id)).await;
        let (_, hidden) = page.form();
        let fields: Vec<_> = hidden.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let page = hers.post(&format!("/consent?flow={}", flow.flow_id), &fields).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        let mut reader = stage.store.read().await.unwrap();
        assert!(consents::find(&mut reader, &ada.user_id, "app").await.unwrap().is_none(), "{}", stage.name);
    }
}

#[tokio::test]
async fn consent_needs_a_person_who_is_signed_in_as_strongly_as_the_flow_wants() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser();
        let flow = stage.flow(&browser, Needs::default());
        let page = browser.get(&format!("/consent?flow={}", flow.flow_id)).await;
        assert_eq!(page.leads_to(), format!("/login?flow={}", flow.flow_id), "{}", stage.name);
        let browser = browser.signed_in("ada").await;
        let strong = stage.flow(&browser, Needs { acr: Some(Acr::Three), ..Needs::default() });
        let page = browser.get(&format!("/consent?flow={}", strong.flow_id)).await;
        assert_eq!(page.leads_to(), format!("/login?flow={}", strong.flow_id), "{}", stage.name);
        assert_eq!(
            browser.get("/consent").await.status,
            StatusCode::BAD_REQUEST,
            "without a flow there is nothing to allow"
        );
    }
}

#[tokio::test]
async fn a21_a_pushed_request_is_read_where_it_lies() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let uri = "urn:ietf:params:oauth:request_uri:abc";
        let kept = Kept {
            authorization: Authorization {
                scopes: vec!["email".to_owned(), "notes:write".to_owned()],
                resources: vec!["https://api.example".to_owned()],
                ..Authorization::default()
            },
            wishes: Wishes::default(),
        };
        let pushed = PushedRequest {
            client_id: "app".to_owned(),
            body: serde_json::to_string(&kept).unwrap(),
            expires_at: stage.now().plus(std::time::Duration::from_secs(60)),
            used_at: None,
        };
        let mut tx = stage.store.begin().await.unwrap();
        pushed_requests::insert(&mut tx, &sha256(uri.as_bytes()), &pushed).await.unwrap();
        tx.commit().await.unwrap();
        let flow = stage.flow_of(&browser, Requested::Pushed(uri.to_owned()), Needs::default());
        let path = format!("/consent?flow={}", flow.flow_id);
        let page = browser.get(&path).await;
        assert!(page.html.contains("See your email address") && page.html.contains("notes:write"), "{}", page.html);
        let mut tx = stage.store.begin().await.unwrap();
        pushed_requests::use_up(&mut tx, &sha256(uri.as_bytes()), stage.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(browser.get(&path).await.status, StatusCode::BAD_REQUEST, "{}: used up", stage.name);
    }
}
