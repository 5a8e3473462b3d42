//! Devices (RFC 8628 3.3, B22).

use std::time::Duration;

use http::StatusCode;
use stockade::base::SystemRng;
use stockade::model::{DeviceCode, DeviceState};
use stockade::store::{consents, device_codes, grants};

use super::stage::{PASSWORD, Stage, stages};

async fn device(stage: &Stage, user_code: &str) -> [u8; 32] {
    let digest = stockade::base::rng::bytes::<32>(&SystemRng);
    let code = DeviceCode {
        digest,
        user_code: user_code.to_owned(),
        client_id: "app".to_owned(),
        scopes: vec!["notes:read".to_owned()],
        resources: vec!["https://api.example".to_owned()],
        dpop_jkt: None,
        state: DeviceState::Pending,
        grant_id: None,
        interval_secs: 5,
        polled_at: None,
        created_at: stage.now(),
        expires_at: stage.now().plus(Duration::from_secs(600)),
    };
    let mut tx = stage.store.begin().await.unwrap();
    device_codes::insert(&mut tx, &code).await.unwrap();
    tx.commit().await.unwrap();
    digest
}

async fn state(stage: &Stage, digest: &[u8; 32]) -> DeviceCode {
    device_codes::find(&mut stage.store.read().await.unwrap(), digest).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_person_lets_a_device_in_once() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let digest = device(&stage, "WDJBMJHT").await;
        let browser = stage.browser();
        // The link that a device shows carries its code through the sign-in.
        let first = browser.get("/device?user_code=WDJB-MJHT").await;
        assert_eq!(first.leads_to(), "/login?again=device&user_code=WDJBMJHT");
        let page = browser.sign_in(first.leads_to(), "ada", PASSWORD).await;
        let page = browser.follow(page).await;
        for words in ["Notes &#38; More", "WDJB-MJHT", "notes:read", "ada"] {
            assert!(page.html.contains(words), "{words}: {}", page.html);
        }
        let done = browser.submit(&page, &[]).await;
        assert_eq!(done.title(), "Your device is connected", "{}", stage.name);
        let code = state(&stage, &digest).await;
        assert_eq!(code.state, DeviceState::Approved);
        let mut reader = stage.store.read().await.unwrap();
        let grant = grants::find(&mut reader, &code.grant_id.unwrap()).await.unwrap().unwrap();
        assert_eq!((grant.user_id.as_str(), grant.client_id.as_str()), (ada.user_id.as_str(), "app"));
        assert_eq!(grant.scopes, ["notes:read"]);
        assert!(consents::find(&mut reader, &ada.user_id, "app").await.unwrap().is_some(), "it can be withdrawn");
        drop(reader);
        let again = browser.submit(&page, &[]).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST, "{}", stage.name);
        let decided = &stage.events("device.decided", 1).await[0];
        assert_eq!((&decided["outcome"], &decided["data"]["client_id"]), (&"allowed".into(), &"app".into()));
    }
}

#[tokio::test]
async fn refusing_is_a_link_and_only_from_our_own_page() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let digest = device(&stage, "WDJBMJHT").await;
        let browser = stage.browser().signed_in("ada").await;
        let page = browser.get("/device").await;
        let page = browser.submit(&page, &[("user_code", "wdjb mjht")]).await;
        assert!(page.html.contains("<a href=\"/device/refuse?user_code=WDJBMJHT\">Refuse</a>"), "{}", page.html);
        let request = http::Request::get("/device/refuse?user_code=WDJBMJHT").header("sec-fetch-site", "cross-site");
        let foreign = browser.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(foreign.title(), "Allow Notes &#38; More on your device?");
        assert_eq!(state(&stage, &digest).await.state, DeviceState::Pending, "{}", stage.name);
        let done = browser.get("/device/refuse?user_code=WDJBMJHT").await;
        assert_eq!(done.title(), "Nothing was allowed");
        assert_eq!(state(&stage, &digest).await.state, DeviceState::Denied, "{}", stage.name);
        assert_eq!(stage.events("device.decided", 1).await[0]["outcome"], "denied");
    }
}

#[tokio::test]
async fn b22_after_five_wrong_codes_not_even_the_right_one_counts() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let digest = device(&stage, "WDJBMJHT").await;
        let browser = stage.browser().signed_in("ada").await;
        let page = browser.get("/device").await;
        for _ in 0..5 {
            let page = browser.submit(&page, &[("user_code", "BBBB-BBBB")]).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST);
        }
        let page = browser.submit(&page, &[("user_code", "WDJB-MJHT")]).await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", stage.name);
        // Nor from another session at the same address, nor from this session at another address.
        let other = stage.browser().signed_in("ada").await;
        assert_eq!(other.get("/device?user_code=WDJBMJHT").await.status, StatusCode::TOO_MANY_REQUESTS);
        let moved = browser.from([198, 51, 100, 9]);
        assert_eq!(moved.get("/device?user_code=WDJBMJHT").await.status, StatusCode::TOO_MANY_REQUESTS);
        let elsewhere = stage.browser().from([198, 51, 100, 10]).signed_in("ada").await;
        assert_eq!(elsewhere.get("/device?user_code=WDJBMJHT").await.status, StatusCode::OK);
        assert_eq!(state(&stage, &digest).await.state, DeviceState::Pending);
    }
}

#[tokio::test]
async fn a_code_that_is_over_fits_no_more() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        device(&stage, "WDJBMJHT").await;
        let browser = stage.browser().signed_in("ada").await;
        stage.clock.advance(Duration::from_secs(600));
        assert_eq!(browser.get("/device?user_code=WDJBMJHT").await.status, StatusCode::BAD_REQUEST, "{}", stage.name);
    }
}
