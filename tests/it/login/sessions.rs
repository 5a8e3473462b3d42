//! Sessions, as people see them (E1).

use http::StatusCode;
use stockade::store::sessions;

use super::stage::{PASSWORD, stages};

#[tokio::test]
async fn e1_a_cookie_that_was_kept_is_nothing_after_signing_out() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        let sid = stage.events("session.started", 1).await[0]["data"]["sid"].as_str().unwrap().to_owned();
        let grant = stage.grant(&ada, Some(&sid)).await;
        let elsewhere = stage.grant(&ada, None).await;
        let kept = browser.copy();
        let page = browser.get("/login/logout").await;
        assert_eq!(page.title(), "Sign out?");
        assert!(page.html.contains("<a href=\"/account\">Stay signed in</a>"), "refusing is a link");
        let out = browser.submit(&page, &[]).await;
        assert_eq!(browser.follow(out).await.title(), "You are signed out");
        assert_eq!(browser.cookie("-s"), None);
        assert_eq!(kept.get("/account").await.leads_to(), "/login", "{}", stage.name);
        assert!(stage.live.is_revoked(&grant) && !stage.live.is_revoked(&elsewhere), "{}", stage.name);
        let revoked = stage.events("grant.revoked", 1).await;
        assert_eq!(revoked[0]["resource"], format!("Grant::{grant:?}"));
        stage.events("session.ended", 1).await;
        let mut tx = stage.store.begin().await.unwrap();
        let told = stockade::store::logout_deliveries::take(&mut tx, stage.now(), stage.now(), 10).await.unwrap();
        assert_eq!(
            told.iter().map(|d| (d.client_id.as_str(), d.session_id.as_deref())).collect::<Vec<_>>(),
            [("app", Some(&*sid))]
        );
    }
}

#[tokio::test]
async fn e1_a_session_fixed_by_somebody_else_is_not_the_one_that_is_used() {
    for stage in stages().await {
        stage.add_with_password("ada").await;
        stage.add_with_password("mallory").await;
        let mallory = stage.browser().signed_in("mallory").await;
        // The victim's browser holds the attacker's session, and signs in over it.
        let victim = mallory.copy();
        let again = victim.get("/login?again=password").await;
        assert_eq!(again.leads_to(), "/account/password", "it is fresh");
        stage.clock.advance(std::time::Duration::from_secs(1000));
        let page = victim.sign_in("/login?again=password", "ada", PASSWORD).await;
        assert_eq!(page.leads_to(), "/account/password");
        assert_eq!(mallory.get("/account").await.leads_to(), "/login", "{}", stage.name);
        assert!(victim.get("/account").await.html.contains("ada"), "{}", stage.name);
    }
}

#[tokio::test]
async fn e1_sessions_are_listed_and_ended_one_by_one() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        let here = stage.browser().signed_in("ada").await;
        let there = stage.browser().from([198, 51, 100, 7]).signed_in("ada").await;
        let third = stage.browser().from([198, 51, 100, 8]).signed_in("ada").await;
        let page = here.get("/account").await;
        assert_eq!(page.html.matches("Firefox on Linux<").count(), 3, "{}", page.html);
        assert_eq!(page.html.matches("this browser").count(), 1);
        let sessions = sessions::of_user(&mut stage.store.read().await.unwrap(), &ada.user_id).await.unwrap();
        let theirs = sessions.iter().find(|s| s.address.as_deref() == Some("198.51.100.7")).unwrap();
        let done = here.submit_to(&page, "/account/sessions/end", &[("id", &theirs.session_id)]).await;
        assert_eq!(done.leads_to(), "/account?done=session", "{}", stage.name);
        assert_eq!(there.get("/account").await.leads_to(), "/login");
        assert_eq!(
            (here.get("/account").await.status, third.get("/account").await.status),
            (StatusCode::OK, StatusCode::OK)
        );
        let again = here.submit_to(&page, "/account/sessions/end", &[("id", &theirs.session_id)]).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn nobody_ends_the_session_of_another() {
    for stage in stages().await {
        let ada = stage.add_with_password("ada").await;
        stage.add_with_password("bob").await;
        let hers = stage.browser().signed_in("ada").await;
        let his = stage.browser().signed_in("bob").await;
        let second = stage.browser().signed_in("bob").await;
        let sessions = sessions::of_user(&mut stage.store.read().await.unwrap(), &ada.user_id).await.unwrap();
        let page = his.get("/account").await;
        let done = his.submit_to(&page, "/account/sessions/end", &[("id", &sessions[0].session_id)]).await;
        assert_eq!(done.status, StatusCode::NOT_FOUND, "{}", stage.name);
        assert_eq!(hers.get("/account").await.status, StatusCode::OK);
        assert_eq!(second.get("/account").await.status, StatusCode::OK);
    }
}
