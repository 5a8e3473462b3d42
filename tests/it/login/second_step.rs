//! The second step (E4).

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use stockade::http::flow::Needs;
use stockade::model::{Acr, CredentialKind};

use super::browser::{Browser, Page};
use super::stage::{PASSWORD, Stage, stages};

async fn second<'a>(stage: &'a Stage, username: &str) -> (Browser<'a>, Page) {
    let browser = stage.browser();
    let page = browser.sign_in("/login", username, PASSWORD).await;
    assert_eq!(page.leads_to(), "/login/second");
    assert_eq!(browser.get("/account").await.leads_to(), "/login", "a password alone is not enough");
    let page = browser.get("/login/second").await;
    (browser, page)
}

#[tokio::test]
async fn e4_a_code_signs_in_once() {
    for stage in stages().await {
        let (_, seed) = stage.add_with_totp("ada").await;
        let (browser, page) = second(&stage, "ada").await;
        let code = stage.code(&seed);
        assert_eq!(browser.submit(&page, &[("code", &code)]).await.leads_to(), "/account", "{}", stage.name);
        let started = &stage.events("session.started", 1).await[0];
        assert_eq!(
            (&started["data"]["acr"], &started["data"]["amr"]),
            (&"2".into(), &serde_json::json!(["pwd", "otp", "mfa"]))
        );
        let (browser, page) = second(&stage, "ada").await;
        assert_eq!(browser.submit(&page, &[("code", &code)]).await.status, StatusCode::FORBIDDEN, "{}", stage.name);
        stage.clock.advance(Duration::from_secs(60));
        let page = browser.get("/login/second").await;
        assert_eq!(browser.submit(&page, &[("code", &stage.code(&seed))]).await.leads_to(), "/account");
    }
}

#[tokio::test]
async fn e4_of_twenty_who_use_one_code_at_once_one_is_signed_in() {
    for stage in stages().await {
        let (_, seed) = stage.add_with_totp("ada").await;
        let (browser, page) = second(&stage, "ada").await;
        let code = stage.code(&seed);
        let copies: Vec<_> = (0..5).map(|_| browser.copy()).collect();
        let fields = [("code", code.as_str())];
        let pages = join_all(copies.iter().map(|copy| copy.submit(&page, &fields))).await;
        let signed_in = pages.iter().filter(|page| page.status == StatusCode::SEE_OTHER).count();
        assert_eq!(signed_in, 1, "{}: {pages:?}", stage.name);
    }
}

#[tokio::test]
async fn e4_a_recovery_code_works_once_however_it_is_typed() {
    for stage in stages().await {
        let (ada, _) = stage.add_with_totp("ada").await;
        let code = stage.add_recovery(&ada).await;
        let stored = &stage.held(&ada, CredentialKind::Recovery).await[0];
        assert_eq!(stored.body.len(), 32, "a digest");
        let (browser, page) = second(&stage, "ada").await;
        assert!(page.html.contains("/login/second?with=recovery"), "{}", page.html);
        let page = browser.get("/login/second?with=recovery").await;
        let wrong = browser.submit(&page, &[("recovery_code", "00000-00000-00000-00000-000000")]).await;
        assert_eq!(wrong.status, StatusCode::FORBIDDEN);
        let typed = code.to_uppercase().replace('-', " ");
        let page = browser.submit(&page, &[("recovery_code", &typed)]).await;
        assert_eq!(page.leads_to(), "/account", "{}", stage.name);
        let (browser, _) = second(&stage, "ada").await;
        let page = browser.get("/login/second?with=recovery").await;
        assert_eq!(
            browser.submit(&page, &[("recovery_code", &code)]).await.status,
            StatusCode::FORBIDDEN,
            "{}",
            stage.name
        );
    }
}

#[tokio::test]
async fn the_second_step_is_over_after_five_minutes_and_after_a_change_of_password() {
    for stage in stages().await {
        let (ada, seed) = stage.add_with_totp("ada").await;
        let (browser, page) = second(&stage, "ada").await;
        stage.clock.advance(Duration::from_secs(300));
        assert_eq!(browser.submit(&page, &[("code", &stage.code(&seed))]).await.leads_to(), "/login", "{}", stage.name);
        let (browser, page) = second(&stage, "ada").await;
        stage.clock.advance(Duration::from_secs(1));
        stage.give(&ada, CredentialKind::Password, b"another").await;
        assert_eq!(browser.submit(&page, &[("code", &stage.code(&seed))]).await.leads_to(), "/login", "{}", stage.name);
    }
}

#[tokio::test]
async fn nobody_takes_the_second_step_without_the_first() {
    for stage in stages().await {
        stage.add_with_totp("ada").await;
        let browser = stage.browser();
        assert_eq!(browser.get("/login/second").await.leads_to(), "/login");
        browser.get("/login").await;
        browser.keep(&format!("{}=AAAA", "stockade-x-l"));
        assert_eq!(browser.get("/login/second").await.leads_to(), "/login");
    }
}

#[tokio::test]
async fn a_flow_that_wants_two_factors_steps_a_session_up() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let old = browser.cookie("-s").unwrap();
        stage.clock.advance(Duration::from_secs(900));
        let needs = Needs { acr: Some(Acr::Two), ..Needs::default() };
        let flow = stage.flow(&browser, needs);
        let path = format!("/login?flow={}", flow.flow_id);
        let page = browser.get(&path).await;
        assert_eq!((page.status, page.title()), (StatusCode::OK, "One more step"), "{}", stage.name);
        assert!(page.html.contains("/account/totp"), "the way to set it up is shown");

        let seed = stockade::crypto::totp::Seed::generate(&stockade::base::SystemRng);
        stage.give(&ada, CredentialKind::Totp, seed.expose()).await;
        let page = browser.get(&path).await;
        assert_eq!(page.leads_to(), format!("/login/second?flow={}", flow.flow_id));
        let page = browser.follow(page).await;
        let page = browser.submit(&page, &[("code", &stage.code(&seed))]).await;
        assert_eq!(page.leads_to(), format!("/oauth/authorize?flow={}", flow.flow_id));
        assert_ne!(browser.cookie("-s").unwrap(), old, "E1: a new cookie");
        let started = stage.events("session.started", 2).await;
        assert_eq!(started[0]["data"]["sid"], started[1]["data"]["sid"]);
        assert_eq!(started[1]["data"]["acr"], "2");
        // E8: the code made it stronger, not fresh; what concerns credentials wants the password again.
        assert_eq!(browser.get("/account/password").await.leads_to(), "/login?again=password", "{}", stage.name);
    }
}
