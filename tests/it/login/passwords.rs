//! Signing in with a password: who is told what.

use http::StatusCode;
use stockade::crypto::hasher;
use stockade::http::flow::Needs;
use stockade::model::CredentialKind;

use super::stage::{PASSWORD, Wish, stages, with};

#[tokio::test]
async fn a_person_with_a_password_comes_to_their_account_and_stays_signed_in() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser();
        let page = browser.sign_in("/login", " ADA ", PASSWORD).await;
        assert_eq!(page.leads_to(), "/account");
        let account = browser.get("/account").await;
        assert_eq!((account.status, account.title()), (StatusCode::OK, "Your account"));
        assert_eq!(browser.get("/login").await.leads_to(), "/account", "who is signed in is not asked again");
        let started = &stage.events("session.started", 1).await[0];
        assert_eq!(started["personal"]["principal"], format!("User::\"{}\"", ada.user_id));
        assert_eq!((&started["data"]["acr"], &started["data"]["amr"][0]), (&"1".into(), &"pwd".into()));
    }
}

#[tokio::test]
async fn e3_every_wrong_sign_in_reads_the_same_and_costs_the_same() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        stage.add("nopassword").await;
        let off = stage.add_with_password("off").await;
        stage.change(&off, |user| user.disabled = true).await;
        stage.add_with_totp("second").await;
        let long = "x".repeat(200);
        let mut pages = Vec::new();
        for (username, password, hashes) in [
            ("ada", "wrong password", 1),
            ("nobody", "wrong password", 1),
            ("nopassword", "wrong password", 1),
            ("off", "wrong password", 1),
            ("off", PASSWORD, 1),
            ("second", "wrong password", 1),
            ("ada", "", 1),
            ("nobody", "", 1),
            ("", PASSWORD, 1),
            ("\u{1}", PASSWORD, 1),
            ("ada", long.as_str(), 0),
            ("nobody", long.as_str(), 0),
        ] {
            let before = stage.hasher.hashed();
            let page = stage.browser().sign_in("/login", username, password).await;
            assert_eq!(stage.hasher.hashed() - before, hashes, "{}: {username:?}", stage.name);
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{username:?}");
            assert!(page.header("set-cookie").is_none() || !page.header("set-cookie").unwrap().contains("stk_ss_"));
            pages.push((
                page.alert().unwrap().to_owned(),
                page.html.len() - page.html.matches("value=\"\"").count(),
                username,
            ));
        }
        assert!(pages.iter().all(|(alert, ..)| *alert == pages[0].0), "{pages:?}");
        let failed = stage.events("login.failed", 12).await;
        assert!(failed.iter().all(|event| event["outcome"] == "denied"), "{failed:?}");
        let unknown: Vec<_> = failed.iter().filter(|e| e["personal"]["principal"].is_null()).collect();
        assert!(
            !unknown.is_empty() && !format!("{failed:?}").contains("nobody"),
            "what was typed is not kept: {failed:?}"
        );
    }
}

#[tokio::test]
async fn e3_a_wrong_password_reads_the_same_in_a_flow_and_to_the_byte_but_for_the_name() {
    for stage in stages().await {
        stage.add_with_password("adaada").await;
        let read = async |username: &str| {
            let browser = stage.browser();
            let flow = stage.flow(&browser, Needs::default());
            let page = browser.sign_in(&format!("/login?flow={}", flow.flow_id), username, "wrong password").await;
            let mut text = page.html.replace(&flow.flow_id, "FLOW").replace(username, "NAME");
            // What is random on every page.
            let passkey = page.form_to(&format!("/login/passkey?flow={}", flow.flow_id));
            for (_, value) in page.form().1.iter().chain(&passkey.1) {
                if value.len() > 20 {
                    text = text.replace(value.as_str(), "RANDOM");
                }
            }
            let options = super::browser::between(&text, "data-options=\"", "\"").unwrap().to_owned();
            (page.status, text.replace(&options, "OPTIONS"))
        };
        assert_eq!(read("adaada").await, read("nobody").await, "{}", stage.name);
    }
}

#[tokio::test]
async fn e6_when_too_many_passwords_wait_nobody_else_does() {
    let wish = Wish { hashing: hasher::Settings { threads: 0, queue: 1 }, ..Wish::default() };
    for stage in with(&wish).await {
        stage.add_with_password("ada").await;
        let browser = stage.browser();
        let page = browser.get("/login").await;
        let first = browser.submit(&page, &[("username", "ada"), ("password", PASSWORD)]);
        let mut first = Box::pin(first);
        // The first waits in the queue for a thread that there is not.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let other = stage.browser();
        let form = other.get("/login").await;
        let refused = loop {
            assert!(tokio::time::Instant::now() < deadline, "the queue is never full");
            if futures_util::future::poll_immediate(&mut first).await.is_some() {
                panic!("nobody hashes");
            }
            tokio::task::yield_now().await;
            if format!("{:?}", stage.hasher).contains("waiting: 1") {
                break other.submit(&form, &[("username", "ada"), ("password", PASSWORD)]).await;
            }
        };
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", stage.name);
        assert_eq!((refused.header("retry-after"), stage.hasher.hashed()), (Some("5"), 0));
    }
}

#[tokio::test]
async fn a_password_stored_at_another_cost_is_stored_anew() {
    for stage in stages().await {
        let ada = stage.add("ada").await;
        // argon2-cffi: PasswordHasher(time_cost=3, memory_cost=64, parallelism=2).hash("password", salt=b"somesalt")
        let old = b"$argon2id$v=19$m=64,t=3,p=2$c29tZXNhbHQ$x5BLYwHQNnasvU3WV0hsQlCczG0BE/zmSV70tpM5L78";
        stage.give(&ada, CredentialKind::Password, old).await;
        let page = stage.browser().sign_in("/login", "ada", "password").await;
        assert_eq!(page.leads_to(), "/account", "{}", stage.name);
        let held = &stage.held(&ada, CredentialKind::Password).await[0];
        assert!(held.body.starts_with(b"$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stage.name);
        assert_eq!(stage.browser().sign_in("/login", "ada", "password").await.leads_to(), "/account");
    }
}

#[tokio::test]
async fn a_flow_goes_back_to_the_authorization_endpoint() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser();
        let flow = stage.flow(&browser, Needs::default());
        let path = format!("/login?flow={}", flow.flow_id);
        let page = browser.get(&path).await;
        assert!(page.html.contains("Notes &#38; More"), "{}", page.html);
        assert!(page.html.contains(&format!("/oauth/authorize?flow={}&#38;refused=1", flow.flow_id)), "{}", page.html);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("form-action 'self' https://app.example"), "{policy}");
        let page = browser.submit(&page, &[("username", "ada"), ("password", PASSWORD)]).await;
        assert_eq!(page.leads_to(), format!("/oauth/authorize?flow={}", flow.flow_id));
        assert_eq!(browser.get(&path).await.leads_to(), format!("/oauth/authorize?flow={}", flow.flow_id));
    }
}

#[tokio::test]
async fn a_flow_that_wants_a_recent_sign_in_asks_again_and_one_that_does_not_does_not() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let sid = stage.events("session.started", 1).await[0]["data"]["sid"].clone();
        stage.clock.advance(std::time::Duration::from_secs(60));
        let since = Some(stage.now());
        let flow = stage.flow(&browser, Needs { since, ..Needs::default() });
        let path = format!("/login?flow={}", flow.flow_id);
        let page = browser.sign_in(&path, "ada", PASSWORD).await;
        assert!(page.leads_to().starts_with("/oauth/authorize?"), "{}", stage.name);
        let started = stage.events("session.started", 2).await;
        assert_eq!(started[1]["data"]["sid"], sid, "the session goes on under its id");
    }
}
