//! What people change about themselves, and what they cannot.

use std::time::Duration;

use http::StatusCode;
use stockade::crypto::totp::{self, Seed};
use stockade::model::CredentialKind;
use stockade::store::users;

use super::authenticator::Authenticator;
use super::passkeys::enrol;
use super::stage::{ISSUER, PASSWORD, stages};

const NEW: &str = "a better one, and longer";

#[tokio::test]
async fn b14_a_new_password_ends_every_other_session_and_everything_that_was_granted() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let here = stage.browser().signed_in("ada").await;
        let there = stage.browser().signed_in("ada").await;
        let before = here.copy();
        let grant = stage.grant(&ada, None).await;
        stage.secrets.lock().push(NEW.to_owned());
        stage.clock.advance(Duration::from_secs(1));
        let page = here.get("/account/password").await;
        let done = here.submit(&page, &[("current", PASSWORD), ("new", NEW), ("again", NEW)]).await;
        assert_eq!(done.leads_to(), "/account?done=password", "{}", stage.name);
        assert_eq!(here.follow(done).await.status, StatusCode::OK, "this browser stays");
        assert_eq!(there.get("/account").await.leads_to(), "/login", "{}", stage.name);
        assert_eq!(before.get("/account").await.leads_to(), "/login", "with a new cookie: {}", stage.name);
        assert!(stage.live.is_revoked(&grant), "{}", stage.name);
        assert_eq!(stage.browser().sign_in("/login", "ada", PASSWORD).await.status, StatusCode::FORBIDDEN);
        assert_eq!(stage.browser().sign_in("/login", "ada", NEW).await.leads_to(), "/account");
        assert_eq!(stage.held(&ada, CredentialKind::Password).await.len(), 1);
        let changed = &stage.events("credential.changed", 1).await[0];
        assert_eq!(changed["data"]["credential"], "password");
    }
}

#[tokio::test]
async fn a_password_that_may_not_be_chosen_changes_nothing() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada.lovelace@example.com").await;
        let browser = stage.browser().signed_in("ada.lovelace@example.com").await;
        let page = browser.get("/account/password").await;
        let long = "x".repeat(129);
        for (current, new, again, status) in [
            ("wrong password", NEW, NEW, StatusCode::FORBIDDEN),
            (PASSWORD, NEW, "another one, as long", StatusCode::BAD_REQUEST),
            (PASSWORD, "too short", "too short", StatusCode::BAD_REQUEST),
            (PASSWORD, &long, &long, StatusCode::BAD_REQUEST),
            (PASSWORD, PASSWORD, PASSWORD, StatusCode::BAD_REQUEST),
            (PASSWORD, "Ada.Lovelace@example.com", "Ada.Lovelace@example.com", StatusCode::BAD_REQUEST),
        ] {
            let page = browser.submit(&page, &[("current", current), ("new", new), ("again", again)]).await;
            assert_eq!(page.status, status, "{new}");
            assert_eq!(page.alert(), Some("Nothing was changed"));
        }
        assert_eq!(stage.browser().sign_in("/login", &ada.username, PASSWORD).await.leads_to(), "/account");
    }
}

#[tokio::test]
async fn an_app_is_set_up_when_a_code_of_it_came_back() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let page = browser.get("/account/totp").await;
        let uri = page.element("otpauth");
        assert!(uri.starts_with("otpauth://totp/localhost%3A8080:ada?secret="), "{uri}");
        let text: String = page.element("secret").split(' ').collect();
        assert!(uri.contains(&format!("secret={text}&issuer=localhost%3A8080")), "{uri}");
        let seed = Seed::from_bytes(decode(&text));
        let wrong = browser.submit(&page, &[("code", "000000")]).await;
        assert_eq!((wrong.status, wrong.element("otpauth")), (StatusCode::FORBIDDEN, uri), "the same seed again");
        assert!(stage.held(&ada, CredentialKind::Totp).await.is_empty(), "nothing is kept yet");
        let code = stage.code(&seed);
        let done = browser.submit(&wrong, &[("code", &code)]).await;
        assert_eq!(done.leads_to(), "/account?done=totp", "{}", stage.name);
        let held = &stage.held(&ada, CredentialKind::Totp).await[0];
        assert_eq!(held.last_step, Some(totp::step(stage.now())), "the code that set it up is used");
        assert!(!held.body.windows(20).any(|w| w == seed.expose()), "sealed");
        let other = stage.browser();
        let page = other.follow(other.sign_in("/login", "ada", PASSWORD).await).await;
        assert_eq!(other.submit(&page, &[("code", &code)]).await.status, StatusCode::FORBIDDEN);
    }
}

fn decode(text: &str) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        let digit = stockade::crypto::base32::RFC4648.iter().position(|known| *known == c).unwrap();
        held = held << 5 | u32::try_from(digit).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 255).unwrap());
        }
    }
    out
}

#[tokio::test]
async fn e9_a_set_up_that_was_changed_or_is_another_person_s_is_not_taken() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let bob = stage.add_with_password("bob").await;
        let hers = stage.browser().signed_in("ada").await;
        let his = stage.browser().signed_in("bob").await;
        let page = hers.get("/account/totp").await;
        let setup = page.form().1.into_iter().find(|(name, _)| name == "setup").unwrap().1;
        let seed = Seed::from_bytes(decode(&page.element("secret").replace(' ', "")));
        let own = his.get("/account/totp").await;
        let mut changed = setup.clone();
        changed.replace_range(50..51, if setup.get(50..51) == Some("A") { "B" } else { "A" });
        for setup in [setup.as_str(), changed.as_str(), ""] {
            let page = his.submit(&own, &[("setup", setup), ("code", &stage.code(&seed))]).await;
            assert_eq!(page.leads_to(), "/account/totp", "{}", stage.name);
        }
        assert!(stage.held(&bob, CredentialKind::Totp).await.is_empty());
        stage.clock.advance(Duration::from_secs(899));
        let late = hers.submit(&page, &[("setup", &setup), ("code", &stage.code(&seed))]).await;
        assert_eq!(late.leads_to(), "/account?done=totp", "within its time");
    }
}

#[tokio::test]
async fn recovery_codes_are_shown_once_and_replace_those_before() {
    for stage in stages().await {
        let (ada, seed) = stage.add_with_totp("ada").await;
        let old = stage.add_recovery(&ada).await;
        let browser = stage.browser();
        let page = browser.follow(browser.sign_in("/login", "ada", PASSWORD).await).await;
        browser.submit(&page, &[("code", &stage.code(&seed))]).await;
        let page = browser.get("/account/recovery").await;
        let page = browser.submit(&page, &[]).await;
        let codes: Vec<_> =
            page.html.split("<code>").skip(1).map(|c| c.split('<').next().unwrap().to_owned()).collect();
        assert_eq!(codes.len(), 10, "{}", stage.name);
        stage.secrets.lock().extend(codes.iter().cloned());
        browser.get("/account").await;
        browser.get("/account/recovery").await;
        assert_eq!(stage.held(&ada, CredentialKind::Recovery).await.len(), 10);
        let other = stage.browser();
        other.sign_in("/login", "ada", PASSWORD).await;
        let page = other.get("/login/second?with=recovery").await;
        assert_eq!(other.submit(&page, &[("recovery_code", &old)]).await.status, StatusCode::FORBIDDEN);
        assert_eq!(other.submit(&page, &[("recovery_code", &codes[3])]).await.leads_to(), "/account");
        stage.events("credential.changed", 1).await;
    }
}

#[tokio::test]
async fn turning_the_second_step_off_throws_the_recovery_codes_away() {
    for stage in stages().await {
        let (ada, seed) = stage.add_with_totp("ada").await;
        stage.add_recovery(&ada).await;
        let browser = stage.browser();
        let page = browser.follow(browser.sign_in("/login", "ada", PASSWORD).await).await;
        browser.submit(&page, &[("code", &stage.code(&seed))]).await;
        let page = browser.get("/account/totp/remove").await;
        assert_eq!(browser.submit(&page, &[]).await.leads_to(), "/account?done=totp-off", "{}", stage.name);
        for kind in [CredentialKind::Totp, CredentialKind::Recovery] {
            assert!(stage.held(&ada, kind).await.is_empty());
        }
        assert_eq!(stage.browser().sign_in("/login", "ada", PASSWORD).await.leads_to(), "/account");
    }
}

#[tokio::test]
async fn what_concerns_credentials_asks_for_a_recent_sign_in_and_comes_back() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        stage.clock.advance(Duration::from_secs(900));
        for page in ["password", "totp", "recovery", "passkeys"] {
            let path = format!("/account/{page}");
            assert_eq!(browser.get(&path).await.leads_to(), format!("/login?again={page}"), "{}", stage.name);
        }
        assert_eq!(browser.get("/account").await.status, StatusCode::OK);
        let page = browser.sign_in("/login?again=totp", "ada", PASSWORD).await;
        assert_eq!(page.leads_to(), "/account/totp");
        assert_eq!(browser.get("/account/totp").await.status, StatusCode::OK);
        // Only names of our own list lead anywhere.
        for other in ["https://evil.example", "//evil.example", "admin", "/account/totp"] {
            let fresh = stage.browser();
            let page = fresh.sign_in(&format!("/login?again={other}"), "ada", PASSWORD).await;
            assert_eq!(page.leads_to(), "/account", "{other}");
        }
    }
}

#[tokio::test]
async fn a_passkey_is_removed_by_its_own_person_alone() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        stage.add_with_password("bob").await;
        let hers = stage.browser().signed_in("ada").await;
        let his = stage.browser().signed_in("bob").await;
        enrol(&hers, &mut Authenticator::new(ISSUER)).await;
        enrol(&his, &mut Authenticator::new(ISSUER)).await;
        let id = stage.held(&ada, CredentialKind::Passkey).await[0].credential_id.clone();
        let password = stage.held(&ada, CredentialKind::Password).await[0].credential_id.clone();
        let page = his.get("/account").await;
        let done = his.submit_to(&page, "/account/passkeys/remove", &[("id", &id)]).await;
        assert_eq!(done.status, StatusCode::NOT_FOUND, "{}", stage.name);
        let page = hers.get("/account").await;
        let done = hers.submit_to(&page, "/account/passkeys/remove", &[("id", &password)]).await;
        assert_eq!(done.status, StatusCode::NOT_FOUND, "a password is no passkey");
        let done = hers.submit_to(&page, "/account/passkeys/remove", &[("id", &id)]).await;
        assert_eq!(done.leads_to(), "/account?done=passkey-off", "{}", stage.name);
        assert!(stage.held(&ada, CredentialKind::Passkey).await.is_empty());
    }
}

#[tokio::test]
async fn a_passkey_that_is_the_last_way_in_stays() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        enrol(&browser, &mut Authenticator::new(ISSUER)).await;
        let password = stage.held(&ada, CredentialKind::Password).await[0].credential_id.clone();
        let mut tx = stage.store.begin().await.unwrap();
        stockade::store::credentials::delete(&mut tx, &ada.user_id, &password).await.unwrap();
        tx.commit().await.unwrap();
        let page = browser.get("/account").await;
        let refused = browser.submit_to(&page, "/account/passkeys/remove", &[]).await;
        assert_eq!((refused.status, refused.alert()), (StatusCode::CONFLICT, Some("No passkey was removed")));
        assert_eq!(stage.held(&ada, CredentialKind::Passkey).await.len(), 1, "{}", stage.name);
    }
}

#[tokio::test]
async fn e9_nobody_writes_roles_or_a_verified_address_into_themselves() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        stage.secrets.lock().push(NEW.to_owned());
        let page = browser.get("/account/password").await;
        let more = [("roles", "admin"), ("email_verified", "true"), ("username", "root"), ("user_id", "usr_x")];
        let fields = [&[("current", PASSWORD), ("new", NEW), ("again", NEW)][..], &more].concat();
        assert_eq!(browser.submit(&page, &fields).await.leads_to(), "/account?done=password");
        let stored = users::find(&mut stage.store.read().await.unwrap(), &ada.user_id).await.unwrap().unwrap();
        assert_eq!(stored.user, ada, "{}", stage.name);
    }
}
