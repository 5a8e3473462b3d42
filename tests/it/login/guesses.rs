//! How often may be guessed (E2).

use futures_util::future::join_all;
use http::StatusCode;
use stockade::config::{self, RateLimit};

use super::authenticator::Authenticator;
use super::passkeys::enrol;
use super::stage::{ISSUER, PASSWORD, Wish, with};

fn few(account: &str, address: &str) -> Wish {
    let limit = |text| RateLimit::parse(text).unwrap();
    let login = config::Login {
        account_guesses: limit(account),
        address_guesses: limit(address),
        code_guesses: limit("1/h burst 3"),
        ..config::Login::default()
    };
    Wish { login, ..Wish::default() }
}

#[tokio::test]
async fn e2_a_hundred_guesses_at_once_are_no_more_than_one_after_the_other() {
    for stage in with(&few("1/h burst 5", "1000/h")).await {
        stage.add_with_password("ada").await;
        let browsers: Vec<_> = (0..100).map(|_| stage.browser()).collect();
        let guess =
            async |browser: &super::browser::Browser<'_>| browser.sign_in("/login", "ada", "wrong password").await;
        let pages = join_all(browsers.iter().map(guess)).await;
        let count = |status| pages.iter().filter(|page| page.status == status).count();
        let counted = (count(StatusCode::FORBIDDEN), count(StatusCode::TOO_MANY_REQUESTS), stage.hasher.hashed());
        assert_eq!(counted, (5, 95, 5), "{}", stage.name);
        let refused = pages.iter().find(|page| page.status == StatusCode::TOO_MANY_REQUESTS).unwrap();
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
        // The right one is not looked at either: nobody learns that it was.
        let right = stage.browser().from([198, 51, 100, 1]).sign_in("/login", "ada", PASSWORD).await;
        assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "{}", stage.name);
    }
}

#[tokio::test]
async fn e2_e3_a_name_that_nobody_has_is_locked_like_one_that_somebody_has() {
    for stage in with(&few("1/h burst 2", "1000/h")).await {
        stage.add_with_password("ada").await;
        for name in ["ada", "nobody"] {
            for expected in [StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
                let page = stage.browser().sign_in("/login", name, "wrong password").await;
                assert_eq!(page.status, expected, "{}: {name}", stage.name);
            }
        }
        let spelled = stage.browser().sign_in("/login", " NoBody ", "wrong password").await;
        assert_eq!(spelled.status, StatusCode::TOO_MANY_REQUESTS, "one name, however it is spelled");
    }
}

#[tokio::test]
async fn e2_one_address_may_not_try_everybody() {
    for stage in with(&few("1000/h", "1/h burst 3")).await {
        stage.add_with_password("ada").await;
        for (name, expected) in [
            ("a", StatusCode::FORBIDDEN),
            ("b", StatusCode::FORBIDDEN),
            ("c", StatusCode::FORBIDDEN),
            ("d", StatusCode::TOO_MANY_REQUESTS),
        ] {
            assert_eq!(stage.browser().sign_in("/login", name, "wrong password").await.status, expected, "{name}");
        }
        let elsewhere = stage.browser().from([198, 51, 100, 1]);
        assert_eq!(elsewhere.sign_in("/login", "ada", PASSWORD).await.leads_to(), "/account", "{}", stage.name);
    }
}

#[tokio::test]
async fn e2_whoever_knows_the_password_may_sign_in_as_often_as_they_like() {
    for stage in with(&few("1/h burst 2", "1/h burst 2")).await {
        stage.add_with_password("ada").await;
        for _ in 0..6 {
            assert_eq!(
                stage.browser().sign_in("/login", "ada", PASSWORD).await.leads_to(),
                "/account",
                "{}",
                stage.name
            );
        }
    }
}

#[tokio::test]
async fn e2_codes_are_counted_apart_from_passwords() {
    for stage in with(&few("1/h burst 4", "1000/h")).await {
        let (_, seed) = stage.add_with_totp("ada").await;
        let browser = stage.browser();
        let mut page = browser.follow(browser.sign_in("/login", "ada", PASSWORD).await).await;
        for expected in
            [StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS]
        {
            page = browser.submit(&page, &[("code", "000000")]).await;
            assert_eq!(page.status, expected, "{}", stage.name);
        }
        let right = browser.submit(&page, &[("code", &stage.code(&seed))]).await;
        assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "the right one is not looked at");
        // Starting again with the right password does not win back a single code.
        let other = stage.browser();
        let page = other.follow(other.sign_in("/login", "ada", PASSWORD).await).await;
        assert_eq!(other.submit(&page, &[("code", &stage.code(&seed))]).await.status, StatusCode::TOO_MANY_REQUESTS);
        // And the password's own count is untouched by all of this.
        for _ in 0..4 {
            assert_eq!(stage.browser().sign_in("/login", "ada", "wrong password").await.status, StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn e2_nobody_can_lock_a_person_out_of_their_passkey() {
    for stage in with(&few("1/h burst 1", "1/h burst 1")).await {
        stage.add_with_password("ada").await;
        let owner = stage.browser().signed_in("ada").await;
        let mut authenticator = Authenticator::new(ISSUER);
        enrol(&owner, &mut authenticator).await;
        for expected in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS, StatusCode::TOO_MANY_REQUESTS] {
            assert_eq!(stage.browser().sign_in("/login", "ada", "wrong password").await.status, expected);
        }
        // Also from the address that guessed.
        let browser = stage.browser();
        let page = browser.get("/login").await;
        let answer = authenticator.get(&page.options("/login/passkey"));
        let page = browser.submit_to(&page, "/login/passkey", &[("answer", &answer)]).await;
        assert_eq!(page.leads_to(), "/account", "{}", stage.name);
    }
}
