//! Passkeys (E5), with an authenticator in software.

use std::time::Duration;

use http::StatusCode;
use stockade::crypto::b64url;
use stockade::http::flow::Needs;
use stockade::model::{Acr, CredentialKind};

use super::authenticator::Authenticator;
use super::browser::{Browser, Page};
use super::stage::{ISSUER, stages};

/// Adds a passkey to the account of whoever is signed in.
pub(crate) async fn enrol(browser: &Browser<'_>, authenticator: &mut Authenticator) -> Page {
    let page = browser.get("/account/passkeys").await;
    let answer = authenticator.create(&page.options("/account/passkeys"));
    browser.submit_to(&page, "/account/passkeys", &[("answer", &answer), ("label", "my key")]).await
}

async fn enter(browser: &Browser<'_>, authenticator: &mut Authenticator) -> Page {
    let page = browser.get("/login").await;
    let answer = authenticator.get(&page.options("/login/passkey"));
    browser.submit_to(&page, "/login/passkey", &[("answer", &answer)]).await
}

#[tokio::test]
async fn a_passkey_signs_in_without_name_and_password() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        assert_eq!(enrol(&owner, &mut authenticator).await.leads_to(), "/account?done=passkey");
        let page = enter(&stage.browser(), &mut authenticator).await;
        assert_eq!(page.leads_to(), "/account", "{}", stage.name);
        let started = stage.events("session.started", 2).await;
        assert_eq!(started[1]["data"]["acr"], "3");
        assert_eq!(started[1]["personal"]["principal"], format!("User::\"{}\"", ada.user_id));
        let held = &stage.held(&ada, CredentialKind::Passkey).await[0];
        assert_eq!(held.label, "my key");
        assert!(held.last_used_at.is_some() && !held.body.windows(7).any(|w| w == b"cred_id"), "sealed");
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.leads_to(), "/account", "and again");
    }
}

#[tokio::test]
async fn e5_an_answer_counts_once_and_for_five_minutes() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&owner, &mut authenticator).await;
        let browser = stage.browser();
        let page = browser.get("/login").await;
        let answer = authenticator.get(&page.options("/login/passkey"));
        let copy = browser.copy();
        let first = browser.submit_to(&page, "/login/passkey", &[("answer", &answer)]).await;
        assert_eq!(first.leads_to(), "/account");
        let again = copy.submit_to(&page, "/login/passkey", &[("answer", &answer)]).await;
        assert_eq!(again.status, StatusCode::FORBIDDEN, "{}", stage.name);
        let page = copy.get("/login").await;
        let answer = authenticator.get(&page.options("/login/passkey"));
        stage.clock.advance(Duration::from_secs(300));
        let late = copy.submit_to(&page, "/login/passkey", &[("answer", &answer)]).await;
        assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", stage.name);
    }
}

#[tokio::test]
async fn e5_only_our_origin_counts_to_the_letter() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&owner, &mut authenticator).await;
        for origin in [
            "http://localhost:8081",
            "https://localhost:8080",
            "http://localhost:8080/",
            "http://x.localhost:8080",
            "http://evillocalhost:8080",
            "http://localhost:8080.evil.example",
            "null",
            "",
        ] {
            authenticator.origin = origin.to_owned();
            let page = enter(&stage.browser(), &mut authenticator).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{}: {origin}", stage.name);
        }
        let mut elsewhere = Authenticator::new("https://localhost.evil.example");
        let page = enrol(&owner, &mut elsewhere).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}: enrolled at another origin", stage.name);
    }
}

#[tokio::test]
async fn e5_the_user_must_be_verified() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        authenticator.verifies = false;
        assert_eq!(enrol(&owner, &mut authenticator).await.status, StatusCode::BAD_REQUEST, "{}", stage.name);
        authenticator.verifies = true;
        enrol(&owner, &mut authenticator).await;
        authenticator.verifies = false;
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.status, StatusCode::FORBIDDEN, "{}", stage.name);
        assert_eq!(stage.held(&ada, CredentialKind::Passkey).await.len(), 1);
    }
}

#[tokio::test]
async fn e5_a_passkey_is_added_to_whoever_is_signed_in_and_to_nobody_else() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let bob = stage.add_with_password("bob").await;
        let hers = stage.browser().signed_in("ada").await;
        let his = stage.browser().signed_in("bob").await;
        let mut authenticator = Authenticator::new(ISSUER);
        let page = hers.get("/account/passkeys").await;
        let answer = authenticator.create(&page.options("/account/passkeys"));
        // His form, her challenge: what was sealed for her does not open for him.
        let state = page.form_to("/account/passkeys").1.into_iter().find(|(name, _)| name == "state").unwrap().1;
        let own = his.get("/account/passkeys").await;
        let moved = his.submit_to(&own, "/account/passkeys", &[("answer", &answer), ("state", &state)]).await;
        assert_eq!(moved.status, StatusCode::BAD_REQUEST, "{}", stage.name);
        assert!(stage.held(&bob, CredentialKind::Passkey).await.is_empty());
        let page = hers.submit_to(&page, "/account/passkeys", &[("answer", &answer)]).await;
        assert_eq!(page.leads_to(), "/account?done=passkey");
        // Her key does not sign in as him, whatever it says.
        let mut number = b64url::decode_strict(authenticator.handle()).unwrap();
        let bobs = stockade::base::id::number("usr", &bob.user_id).unwrap();
        number.copy_from_slice(&bobs.to_be_bytes());
        let mine = authenticator.handle().to_owned();
        authenticator.claim_to_be(&b64url::encode(&number));
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.status, StatusCode::FORBIDDEN, "{}", stage.name);
        authenticator.claim_to_be(&mine);
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.leads_to(), "/account");
        assert_eq!(stage.held(&ada, CredentialKind::Passkey).await.len(), 1);
    }
}

#[tokio::test]
async fn e5_a_copied_authenticator_is_noticed_by_its_counter() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&owner, &mut authenticator).await;
        for _ in 0..3 {
            assert_eq!(enter(&stage.browser(), &mut authenticator).await.leads_to(), "/account");
        }
        authenticator.turn_back();
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.status, StatusCode::FORBIDDEN, "{}", stage.name);
    }
}

#[tokio::test]
async fn nonsense_instead_of_an_answer_is_refused() {
    for stage in stages().await {
        let browser = stage.browser();
        let page = browser.get("/login").await;
        for answer in ["", "{}", "null", "[]", "{\"id\":\"x\"}", &"[".repeat(5000)] {
            let page = browser.submit_to(&page, "/login/passkey", &[("answer", answer)]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{answer}");
        }
    }
}

#[tokio::test]
async fn b24_a_disabled_person_s_passkey_opens_nothing() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&owner, &mut authenticator).await;
        stage.change(&ada, |user| user.disabled = true).await;
        assert_eq!(enter(&stage.browser(), &mut authenticator).await.status, StatusCode::FORBIDDEN, "{}", stage.name);
    }
}

#[tokio::test]
async fn a_flow_that_wants_a_passkey_gets_one() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&browser, &mut authenticator).await;
        let flow = stage.flow(&browser, Needs { acr: Some(Acr::Three), ..Needs::default() });
        let page = browser.get(&format!("/login?flow={}", flow.flow_id)).await;
        assert_eq!(page.title(), "One more step", "{}", stage.name);
        let action = format!("/login/passkey?flow={}", flow.flow_id);
        let answer = authenticator.get(&page.options(&action));
        let page = browser.submit_to(&page, &action, &[("answer", &answer)]).await;
        assert_eq!(page.leads_to(), format!("/oauth/authorize?flow={}", flow.flow_id));
    }
}
