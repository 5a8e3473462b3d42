//! E11: a client sends its person to sign out.

use http::{Method, header};
use serde_json::json;
use stockade::model::Acr;

use super::fence::{Answer, ISSUER};
use super::people::People;

const BACK: &str = "https://web.example/bye";

async fn signed_in() -> (People, String) {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.agree("one").await;
    people.fence.change("web", |client| client.post_logout_redirect_uris = vec![BACK.to_owned()]).await;
    let hint = people.tokens("web", &[]).await["id_token"].as_str().unwrap().to_owned();
    (people, hint)
}

async fn logout(people: &People, pairs: &[(&str, &str)]) -> Answer {
    people.get(&format!("/oauth/logout?{}", serde_urlencoded::to_string(pairs).unwrap())).await
}

/// Whether this browser is still signed in.
async fn is_in(people: &People) -> bool {
    people.authorize("web", &[("prompt", "none")]).await.header(header::LOCATION).unwrap().contains("code=")
}

fn asks(answer: &Answer) -> bool {
    answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(r#"<button type="submit">"#)
}

/// The one form of a page: where it goes, and its token.
fn form(answer: &Answer) -> (String, String) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let between = |start: &str| text.split_once(start).unwrap().1.split_once('"').unwrap().0.to_owned();
    let action = between(r#"action=""#).replace("&#38;", "&").replace("&amp;", "&");
    (action, between(r#"name="csrf" value=""#))
}

#[tokio::test]
async fn e11_an_id_token_of_this_session_ends_it_and_leads_back_with_the_state() {
    let (people, hint) = signed_in().await;
    let tokens = people.tokens("web", &[]).await;
    let answer =
        logout(&people, &[("id_token_hint", &hint), ("post_logout_redirect_uri", BACK), ("state", "a b")]).await;
    assert_eq!(answer.header(header::LOCATION), Some("https://web.example/bye?state=a+b"), "{answer:?}");
    assert_eq!(answer.status, 303);
    assert!(!is_in(&people).await);
    assert!(!people.is_alive(&tokens).await, "what was granted in it is dead");
    let event = &people.fence.events_of("session.ended", 1).await[0];
    assert_eq!((&event["reason"], &event["data"]["asked_by"]), (&json!("logout"), &json!("web")), "{event}");
    assert_eq!(event["personal"]["principal"], r#"User::"usr_ada""#);
}

#[tokio::test]
async fn e11_a_saved_cookie_is_worth_nothing_after_logout() {
    let (people, hint) = signed_in().await;
    let saved = people.cookies();
    logout(&people, &[("id_token_hint", &hint)]).await;
    people.forget_cookies();
    for (name, value) in &saved {
        people.set_cookie(name.rsplit('-').next().unwrap(), value);
    }
    assert!(!is_in(&people).await);
}

#[tokio::test]
async fn e11_an_expired_hint_counts() {
    let (people, hint) = signed_in().await;
    people.fence.clock.advance(std::time::Duration::from_secs(3600));
    let answer = logout(&people, &[("id_token_hint", &hint), ("post_logout_redirect_uri", BACK)]).await;
    assert_eq!(answer.header(header::LOCATION), Some(BACK));
    assert!(!is_in(&people).await);
}

#[tokio::test]
async fn e11_without_a_hint_of_this_session_the_person_is_asked() {
    let (people, hint) = signed_in().await;
    let access = people.tokens("web", &[]).await["access_token"].as_str().unwrap().to_owned();
    let forged = format!("{}x", hint.rsplit_once('.').unwrap().0.to_owned() + ".AAAA");
    for pairs in [
        &[][..],
        &[("client_id", "web"), ("post_logout_redirect_uri", BACK)],
        &[("id_token_hint", "a.b.c")],
        &[("id_token_hint", &forged)],
        &[("id_token_hint", &access)],
    ] {
        assert!(asks(&logout(&people, pairs).await), "{pairs:?}");
        assert!(is_in(&people).await, "{pairs:?}");
    }
    people.sign_in(Acr::One).await;
    assert!(asks(&logout(&people, &[("id_token_hint", &hint)]).await), "of another session");
    assert!(is_in(&people).await);
}

#[tokio::test]
async fn e11_who_says_yes_is_signed_out_and_goes_where_the_client_registered() {
    let (people, _) = signed_in().await;
    let page = logout(&people, &[("client_id", "web"), ("post_logout_redirect_uri", BACK), ("state", "s")]).await;
    let (action, token) = form(&page);
    let wrong = people.visit(Method::POST, &action, Some("csrf=AAAA".to_owned())).await;
    assert_eq!(wrong.status, 403, "a form of another page");
    assert!(is_in(&people).await);
    let body = serde_urlencoded::to_string([("csrf", token)]).unwrap();
    let answer = people.visit(Method::POST, &action, Some(body)).await;
    assert_eq!(answer.header(header::LOCATION), Some("https://web.example/bye?state=s"), "{answer:?}");
    assert!(!is_in(&people).await);
}

#[tokio::test]
async fn e11_back_it_goes_to_a_registered_string_and_nowhere_else() {
    for uri in ["https://evil.example/", "https://web.example/bye/", "https://web.example/bye?x=1", "//evil.example"] {
        let (people, hint) = signed_in().await;
        let answer = logout(&people, &[("id_token_hint", &hint), ("post_logout_redirect_uri", uri)]).await;
        assert_eq!(answer.header(header::LOCATION), Some("/login/out"), "{uri}");
        assert!(!is_in(&people).await, "signed out all the same");
        let answer = logout(&people, &[("client_id", "web"), ("post_logout_redirect_uri", uri)]).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::LOCATION)), (200, None), "{uri}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("evil"), "{uri}");
    }
    let (people, hint) = signed_in().await;
    let answer = logout(&people, &[("id_token_hint", &hint), ("client_id", "one")]).await;
    assert_eq!(answer.status, 400, "the hint is another client's");
    let twice = logout(&people, &[("state", "a"), ("state", "b")]).await;
    assert_eq!(twice.status, 400);
    assert!(is_in(&people).await);
}

#[tokio::test]
async fn e11_where_nobody_is_signed_in_there_is_nothing_to_ask() {
    let (people, hint) = signed_in().await;
    people.forget_cookies();
    let with_hint = logout(&people, &[("id_token_hint", &hint), ("post_logout_redirect_uri", BACK)]).await;
    assert_eq!(with_hint.header(header::LOCATION), Some(BACK));
    let without = logout(&people, &[("client_id", "web"), ("post_logout_redirect_uri", BACK)]).await;
    assert_eq!((without.status.as_u16(), without.header(header::LOCATION)), (200, None));
    assert!(String::from_utf8_lossy(&without.body).contains(BACK), "by a click");
}

#[tokio::test]
async fn e11_a_request_that_another_site_posts_becomes_a_navigation() {
    let (people, hint) = signed_in().await;
    let body = serde_urlencoded::to_string([("id_token_hint", hint.as_str())]).unwrap();
    let answer = people.visit(Method::POST, "/oauth/logout", Some(body)).await;
    let there = answer.header(header::LOCATION).unwrap().to_owned();
    assert!(there.starts_with("/oauth/logout?id_token_hint="), "{there}");
    assert!(is_in(&people).await, "nothing yet");
    people.get(&there).await;
    assert!(!is_in(&people).await);
    let document = people.fence.get("/.well-known/openid-configuration").await.json();
    assert_eq!(document["end_session_endpoint"], format!("{ISSUER}/oauth/logout"));
}

#[tokio::test]
async fn e11_what_is_posted_and_fits_in_no_url_is_a_page() {
    let people = People::new().await;
    for body in ["state=\u{0}", "state=a\r\nLocation: https://evil.example/", "state=\u{e9}"] {
        let answer = people.visit(http::Method::POST, "/oauth/logout", Some(body.to_owned())).await;
        assert_eq!(answer.status, 400, "{body:?}");
    }
}
