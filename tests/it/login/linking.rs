//! E8: linking an account elsewhere, and taking it back.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use stockade::model::{CredentialKind, User};
use stockade::store::{credentials, upstream_links};

use super::browser::{Browser, Page};
use super::provider::{Providers, Question};
use super::stage::{PASSWORD, Stage, with};
use super::upstream::link;

async fn links(stage: &Stage, user: &User) -> Vec<String> {
    let mut reader = stage.store.read().await.unwrap();
    let all = upstream_links::of_user(&mut reader, &user.user_id).await.unwrap();
    all.into_iter().map(|link| link.subject).collect()
}

/// The page that offers the account `subject` of `corp`.
async fn offered(providers: &Providers, stage: &Stage, browser: &Browser<'_>, subject: &str) -> Page {
    providers.walk(stage, browser, "/account/elsewhere/corp", subject).await
}

#[tokio::test]
async fn e8_an_account_is_linked_by_whoever_signed_in_lately_and_then_signs_them_in() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add_with_password("ada").await;
        let browser = stage.browser().signed_in("ada").await;
        assert!(browser.get("/account").await.html.contains("href=\"/account/elsewhere\""));
        let list = browser.get("/account/elsewhere").await;
        assert!(
            list.html.contains("href=\"/account/elsewhere/corp\">Link your account at Corp &#38; Co"),
            "{}",
            list.html
        );
        // Not lately: the sign-in comes first, for the page and for the way there.
        stage.clock.advance(Duration::from_secs(900));
        for path in ["/account/elsewhere", "/account/elsewhere/corp"] {
            assert_eq!(browser.get(path).await.leads_to(), "/login?again=elsewhere", "{path}");
        }
        let page = browser.sign_in("/login?again=elsewhere", "ada", PASSWORD).await;
        assert_eq!(page.leads_to(), "/account/elsewhere");
        let offer = offered(&providers, &stage, &browser, "a-1").await;
        assert_eq!(offer.title(), "Link this account?", "{}", offer.html);
        assert!(links(&stage, &ada).await.is_empty(), "an answer alone links nothing");
        let done = browser.submit(&offer, &[]).await;
        assert_eq!(done.leads_to(), "/account?done=linked", "{}", stage.name);
        assert_eq!(links(&stage, &ada).await, ["a-1"]);
        let changed = &stage.events("credential.changed", 1).await[0];
        assert_eq!((&changed["data"]["change"], &changed["data"]["provider"]), (&json!("linked"), &json!("corp")));
        let fresh = stage.browser();
        assert_eq!(providers.walk(&stage, &fresh, "/login/with/corp", "a-1").await.leads_to(), "/account");
        let account = fresh.get("/account").await;
        assert!(account.html.contains("signed in as <strong>ada</strong>"), "{}", stage.name);
        // Once more changes nothing.
        assert_eq!(offered(&providers, &stage, &browser, "a-1").await.leads_to(), "/account/elsewhere");
    }
}

#[tokio::test]
async fn e8_an_answer_is_offered_to_the_person_who_asked_while_they_are_fresh() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let (ada, bob) = (stage.add_with_password("ada").await, stage.add_with_password("bob").await);
        // Somebody else is signed in when the answer comes.
        let browser = stage.browser().signed_in("ada").await;
        let question = Question::of(&browser.get("/account/elsewhere/corp").await);
        let answer = providers.answer(&stage, &question, &providers.claims(&question, "b-1", stage.now()));
        let out = browser.get("/login/logout").await;
        browser.submit(&out, &[]).await;
        let browser = browser.signed_in("bob").await;
        assert_eq!(browser.get(&answer).await.status, StatusCode::BAD_REQUEST, "{}", stage.name);
        // The sign-in became old meanwhile.
        let browser = stage.browser().signed_in("ada").await;
        stage.clock.advance(Duration::from_secs(880));
        let question = Question::of(&browser.get("/account/elsewhere/corp").await);
        stage.clock.advance(Duration::from_secs(20));
        let answer = providers.answer(&stage, &question, &providers.claims(&question, "a-1", stage.now()));
        assert_eq!(browser.get(&answer).await.leads_to(), "/login?again=elsewhere");
        // An offer to one person is none to another, at another provider, or later.
        let hers = stage.browser().signed_in("ada").await;
        let offer = offered(&providers, &stage, &hers, "a-1").await;
        let sealed = offer.form().1.into_iter().find(|(name, _)| name == "offer").unwrap().1;
        let his = stage.browser().signed_in("bob").await;
        let page = offered(&providers, &stage, &his, "b-1").await;
        let stolen = his.submit(&page, &[("offer", &sealed)]).await;
        assert_eq!((stolen.status, stolen.alert()), (StatusCode::BAD_REQUEST, Some("Nothing was changed")));
        let (_, hidden) = offer.form();
        let fields: Vec<(&str, &str)> = hidden.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(hers.post("/account/elsewhere/other", &fields).await.status, StatusCode::BAD_REQUEST);
        let forged: Vec<(&str, &str)> = fields.iter().copied().filter(|(name, _)| *name != "csrf").collect();
        assert_eq!(hers.post("/account/elsewhere/corp", &forged).await.status, StatusCode::FORBIDDEN);
        stage.clock.advance(Duration::from_secs(300));
        assert_eq!(hers.submit(&offer, &[]).await.status, StatusCode::BAD_REQUEST);
        assert!(links(&stage, &ada).await.is_empty() && links(&stage, &bob).await.is_empty(), "{}", stage.name);
    }
}

#[tokio::test]
async fn e8_nobody_links_what_is_somebody_elses_or_what_policy_does_not_let_in() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let (ada, bob) = (stage.add_with_password("ada").await, stage.add_with_password("bob").await);
        let his = stage.browser().signed_in("bob").await;
        let offer = offered(&providers, &stage, &his, "a-1").await;
        link(&stage, &providers, &ada, "a-1").await;
        // Linked after it was offered, and before.
        let late = his.submit(&offer, &[]).await;
        assert_eq!((late.status, late.alert()), (StatusCode::CONFLICT, Some("Nothing was changed")), "{}", stage.name);
        let page = offered(&providers, &stage, &his, "a-1").await;
        assert_eq!((page.status, page.title()), (StatusCode::FORBIDDEN, "That account is linked already"));
        stage.decide_by(
            r#"@id("no") forbid (principal, action == Stockade::Action::"login:upstream", resource) unless { context.known };"#,
        );
        let page = offered(&providers, &stage, &his, "b-1").await;
        assert_eq!((page.status, page.title()), (StatusCode::FORBIDDEN, "That account cannot be linked"));
        assert!(links(&stage, &bob).await.is_empty(), "{}", stage.name);
        assert_eq!(links(&stage, &ada).await, ["a-1"]);
    }
}

#[tokio::test]
async fn a_link_is_taken_back_by_its_own_person_unless_it_is_the_last_way_in() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let (ada, _) = (stage.add_with_password("ada").await, stage.add_with_password("bob").await);
        link(&stage, &providers, &ada, "a-1").await;
        let id = format!("{} a-1", providers.issuer("corp"));
        let his = stage.browser().signed_in("bob").await;
        let token = his.get("/account").await.form().1.into_iter().find(|(n, _)| n == "csrf").unwrap().1;
        let stolen = his.post("/account/elsewhere", &[("csrf", &token), ("id", &id)]).await;
        assert_eq!(stolen.status, StatusCode::NOT_FOUND, "{}", stage.name);
        let came_by_it = stage.browser();
        providers.walk(&stage, &came_by_it, "/login/with/corp", "a-1").await;
        assert_eq!(came_by_it.get("/account").await.status, StatusCode::OK);
        let browser = stage.browser().signed_in("ada").await;
        let page = browser.get("/account/elsewhere").await;
        let done = browser.submit_to(&page, "/account/elsewhere", &[]).await;
        assert_eq!(done.leads_to(), "/account?done=unlinked");
        assert_eq!(came_by_it.get("/account").await.leads_to(), "/login", "{}", stage.name);
        assert!(links(&stage, &ada).await.is_empty(), "{}", stage.name);
        let fresh = stage.browser();
        let page = providers.walk(&stage, &fresh, "/login/with/corp", "a-1").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        // Without a password it is the last.
        link(&stage, &providers, &ada, "a-1").await;
        let password = stage.held(&ada, CredentialKind::Password).await[0].credential_id.clone();
        let mut tx = stage.store.begin().await.unwrap();
        credentials::delete(&mut tx, &ada.user_id, &password).await.unwrap();
        tx.commit().await.unwrap();
        let page = browser.get("/account/elsewhere").await;
        let last = browser.submit_to(&page, "/account/elsewhere", &[]).await;
        assert_eq!((last.status, last.alert()), (StatusCode::CONFLICT, Some("Nothing was changed")));
        assert_eq!(links(&stage, &ada).await, ["a-1"], "{}", stage.name);
    }
}
