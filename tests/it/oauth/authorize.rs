//! A1 to A14, A19 to A23: the authorization endpoint.

use std::time::Duration;

use http::{Method, header};
use serde_json::json;
use stockade::model::{Acr, Client};

use super::fence::{API, Answer, ISSUER, OTHER};
use super::people::{ADA, CHALLENGE, People, callback, page, returned, told};

/// A page that leads nowhere but to us.
fn is_page(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 400 && answer.header(header::LOCATION).is_none() && !text.contains("app.example")
}

#[tokio::test]
async fn a1_an_unknown_or_missing_client_is_a_page() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    for id in ["", "nobody", "WEB", "web\0"] {
        let answer = people.authorize("web", &[("client_id", id)]).await;
        assert!(is_page(&answer), "{id:?}: {answer:?}");
    }
    people.fence.change("web", |client| client.disabled = true).await;
    assert!(is_page(&people.authorize("web", &[]).await), "disabled");
}

#[tokio::test]
async fn a2_a_redirect_uri_that_is_missing_foreign_or_there_twice_is_a_page_whatever_the_prompt() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    for prompt in ["", "none"] {
        for uri in ["", "https://evil.example/cb", "https://one.example/cb", "https://web.example/cb/"] {
            let answer = people.authorize("web", &[("redirect_uri", uri), ("prompt", prompt)]).await;
            assert!(is_page(&answer), "{uri} {prompt}: {answer:?}");
        }
        let own = callback("web");
        let answer =
            people.authorize("web", &[("redirect_uri", &own), ("redirect_uri", &own), ("prompt", prompt)]).await;
        assert!(is_page(&answer), "twice: {answer:?}");
    }
}

#[tokio::test]
async fn a3_what_is_not_the_registered_string_is_refused_over_the_wire_too() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    for uri in [
        "https://web.example/%63b",
        "https://web.example/cb\r\nX: y",
        "https://web.example/x/../cb",
        "https://web.example\\@e/cb",
    ] {
        assert!(is_page(&people.authorize("web", &[("redirect_uri", uri)]).await), "{uri}");
    }
    people.fence.change("web", |client| client.redirect_uris.push("http://127.0.0.1/cb".to_owned())).await;
    let answer = people.authorize("web", &[("redirect_uri", "http://127.0.0.1:50123/cb")]).await;
    assert!(answer.header(header::LOCATION).unwrap().starts_with("http://127.0.0.1:50123/cb?code="), "{answer:?}");
}

#[tokio::test]
async fn a4_a_repeated_parameter_is_told_to_the_client_but_resource_may_be_repeated() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    for (name, value) in
        [("scope", "openid"), ("response_type", "code"), ("nonce", "n"), ("x", "y"), ("code_challenge", CHALLENGE)]
    {
        let answer = people.authorize("web", &[(name, value), (name, value)]).await;
        assert_eq!(told("web", &answer), "invalid_request", "{name}");
    }
    let answer = people.authorize("web", &[("state", "a"), ("state", "b")]).await;
    assert_eq!(told("web", &answer), "invalid_request");
    assert!(!returned("web", &answer).contains_key("state"), "neither is the state");
    let twice = people.authorize("web", &[("client_id", "web"), ("client_id", "web")]).await;
    assert!(is_page(&twice), "{twice:?}");
    people.code("web", &[("resource", API), ("resource", OTHER)]).await;
}

#[tokio::test]
async fn a5_one_response_type_for_those_who_registered_it() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    for (kind, error) in [
        ("", "invalid_request"),
        ("token", "unsupported_response_type"),
        ("id_token", "unsupported_response_type"),
        ("code id_token", "unsupported_response_type"),
        ("none", "unsupported_response_type"),
        ("code ", "unsupported_response_type"),
    ] {
        assert_eq!(told("web", &people.authorize("web", &[("response_type", kind)]).await), error, "{kind}");
    }
    for mode in ["fragment", "form_post", "web_message"] {
        assert_eq!(told("web", &people.authorize("web", &[("response_mode", mode)]).await), "invalid_request");
    }
    people.fence.change("web", |client| client.grants.retain(|g| g.as_str() != "authorization_code")).await;
    assert_eq!(told("web", &people.authorize("web", &[]).await), "unauthorized_client");
}

#[tokio::test]
async fn a6_a_code_challenge_is_s256_and_wanted_unless_a_confidential_client_is_spared() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    for client in ["web", "one"] {
        for with in [
            &none[..],
            &[("code_challenge_method", "")],
            &[("code_challenge_method", "plain")],
            &[("code_challenge_method", "s256")],
            &[("code_challenge", "")],
            &[("code_challenge", "short")],
            &[("code_challenge", &format!("{CHALLENGE}A"))],
            &[("code_challenge", &CHALLENGE.replace('E', "+"))],
        ] {
            assert_eq!(told(client, &people.authorize(client, with).await), "invalid_request", "{client} {with:?}");
        }
        people.fence.change(client, |client| client.require_pkce = false).await;
    }
    people.code("web", &none).await;
    assert_eq!(told("one", &people.authorize("one", &none).await), "invalid_request", "a public client never");
}

#[tokio::test]
async fn a9_a10_every_answer_carries_the_issuer_and_the_state_unchanged() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let long = "s".repeat(4096);
    for state in ["a b+c&d=e%20\u{e4}#/?\"'<>", long.as_str()] {
        for scope in ["openid", "nonsense"] {
            let there = returned("web", &people.authorize("web", &[("state", state), ("scope", scope)]).await);
            assert_eq!(there.get("state").map(String::as_str), Some(state), "{scope}");
        }
    }
    for scope in ["openid", "nonsense"] {
        let there = returned("web", &people.authorize("web", &[("state", ""), ("scope", scope)]).await);
        assert!(!there.contains_key("state"), "{there:?}");
    }
    let longer = "s".repeat(4097);
    assert_eq!(told("web", &people.authorize("web", &[("state", &longer)]).await), "invalid_request");
    let metadata = people.fence.get("/.well-known/openid-configuration").await.json();
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(metadata["issuer"], ISSUER);
}

#[tokio::test]
async fn a11_what_is_not_supported_has_a_code_of_its_own() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    for (name, value, error) in [
        ("request", "a.b.c", "request_not_supported"),
        ("request_uri", "https://web.example/r", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
    ] {
        assert_eq!(told("web", &people.authorize("web", &[(name, value)]).await), error);
    }
}

#[tokio::test]
async fn a12_prompt_none_shows_nothing_and_says_what_was_needed() {
    let people = People::new().await;
    let silent = async |with: &[(&str, &str)]| {
        let all: Vec<_> = [("prompt", "none")].into_iter().chain(with.iter().copied()).collect();
        people.authorize("web", &all).await
    };
    assert_eq!(told("web", &silent(&[]).await), "login_required", "and nobody is asked first");
    people.sign_in(Acr::One).await;
    assert_eq!(told("web", &silent(&[]).await), "consent_required");
    people.agree("web").await;
    assert!(returned("web", &silent(&[]).await).contains_key("code"));
    assert_eq!(told("web", &silent(&[("acr_values", "3")]).await), "interaction_required");
    people.fence.clock.advance(Duration::from_secs(10));
    assert_eq!(told("web", &silent(&[("max_age", "5")]).await), "login_required");
    assert!(returned("web", &silent(&[("max_age", "10")]).await).contains_key("code"));
    for prompt in ["none login", "login none", "create", "None", "none  none"] {
        assert_eq!(told("web", &people.authorize("web", &[("prompt", prompt)]).await), "invalid_request", "{prompt}");
    }
    for age in ["-1", "1.5", "x", "99999999999"] {
        assert_eq!(told("web", &people.authorize("web", &[("max_age", age)]).await), "invalid_request", "{age}");
    }
}

#[tokio::test]
async fn a12_a_hint_names_the_one_person_who_will_do() {
    let people = People::new().await;
    let session = people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.agree("one").await;
    let hint = people.tokens("web", &[]).await["id_token"].as_str().unwrap().to_owned();
    let with = [("prompt", "none"), ("id_token_hint", hint.as_str())];
    assert!(returned("web", &people.authorize("web", &with).await).contains_key("code"));
    assert_eq!(told("one", &people.authorize("one", &with).await), "invalid_request", "another client's");
    assert_eq!(told("web", &people.authorize("web", &[("id_token_hint", "a.b.c")]).await), "invalid_request");
    people.fence.clock.advance(Duration::from_secs(86_000));
    people.sign_in(Acr::One).await;
    assert!(returned("web", &people.authorize("web", &with).await).contains_key("code"), "an old one counts");
    let mut tx = people.fence.store.store.begin().await.unwrap();
    let bob = stockade::model::User::new("usr_bob".to_owned(), "bob".to_owned(), session.created_at);
    stockade::store::users::insert(&mut tx, &bob).await.unwrap();
    tx.commit().await.unwrap();
    people.sign_in_as("usr_bob", Acr::One).await;
    assert_eq!(told("web", &people.authorize("web", &with).await), "login_required", "someone else");
}

#[tokio::test]
async fn a13_scopes_and_resources_are_registered_ones_and_policy_has_the_last_word() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    for scope in ["admin", "openid admin", "openid  profile", " openid", "a\"b"] {
        assert_eq!(told("web", &people.authorize("web", &[("scope", scope)]).await), "invalid_scope", "{scope}");
    }
    for resource in ["https://evil.example", "https://api.example/", "https://api.example#f", "api"] {
        let answer = people.authorize("web", &[("resource", resource)]).await;
        assert_eq!(told("web", &answer), "invalid_target", "{resource}");
    }
    let two = [("resource", API), ("resource", "https://evil.example")];
    assert_eq!(told("web", &people.authorize("web", &two).await), "invalid_target");
    people.fence.add_policies(
        r#"@id("test.not_ada") forbid (principal == Stockade::User::"usr_ada", action == Stockade::Action::"token:issue",
             resource) when { context.client == "one" };
           @id("test.no_writing") forbid (principal is Stockade::User, action == Stockade::Action::"scope:grant", resource)
             when { context.scope == "notes:write" };"#,
    );
    assert_eq!(told("one", &people.authorize("one", &[]).await), "access_denied", "this person, through this client");
    let event = &people.fence.events_of("authorization.refused", 11).await[10];
    assert_eq!((&event["policies"], &event["reason"]), (&json!(["test.not_ada"]), &json!("forbidden")), "{event}");
    assert_eq!(event["personal"]["principal"], r#"User::"usr_ada""#);
    assert_eq!(event["data"], json!({ "client_id": "one", "error": "access_denied" }));
    assert_eq!(told("web", &people.authorize("web", &[("scope", "notes:write")]).await), "invalid_scope");
    let narrowed = people.tokens("web", &[("scope", "notes:write notes:read")]).await;
    assert_eq!(narrowed["scope"], "notes:read");
}

#[tokio::test]
async fn a14_a_visitor_who_is_not_signed_in_is_not_sent_away_by_a_link_alone() {
    let people = People::new().await;
    let wrong = [("scope", "nonsense")];
    let answer = people.authorize("web", &wrong).await;
    assert_eq!((answer.status.as_u16(), answer.header(header::LOCATION)), (400, None), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("https://web.example/cb?error=invalid_scope"), "the person can follow it: {text}");
    people.sign_in(Acr::One).await;
    assert_eq!(told("web", &people.authorize("web", &wrong).await), "invalid_scope");
    people.forget_cookies();
    let silent = [("scope", "nonsense"), ("prompt", "none")];
    assert_eq!(told("web", &people.authorize("web", &silent).await), "invalid_scope");
}

#[tokio::test]
async fn a19_what_was_begun_in_one_browser_is_not_continued_in_another() {
    let people = People::new().await;
    let answer = people.authorize("web", &[]).await;
    assert_eq!(page(&answer), "/login");
    let flow = answer.header(header::LOCATION).unwrap().split_once('?').unwrap().1.to_owned();
    let resume = format!("/oauth/authorize?{flow}");
    let own = people.cookies();
    people.forget_cookies();
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    assert!(is_page(&people.get(&resume).await), "another browser");
    for (name, value) in &own {
        people.set_cookie(name.rsplit_once("-f-").map(|(_, id)| format!("f-{id}")).as_deref().unwrap(), value);
    }
    assert!(returned("web", &people.get(&resume).await).contains_key("code"));
    assert!(is_page(&people.get(&resume).await), "and once");
    for nonsense in ["flow=", "flow=x", "flow=..%2f", &format!("{flow}&flow=x")] {
        let answer = people.get(&format!("/oauth/authorize?{nonsense}")).await;
        assert!(answer.status == 400, "{nonsense}");
    }
}

#[tokio::test]
async fn a19_the_pages_are_visited_in_turn_and_the_code_comes_last() {
    let people = People::new().await;
    let answer = people.authorize("web", &[("nonce", "n-1")]).await;
    assert_eq!(page(&answer), "/login");
    let flow = answer.header(header::LOCATION).unwrap().split_once('?').unwrap().1.to_owned();
    let resume = format!("/oauth/authorize?{flow}");
    assert_eq!(page(&people.get(&resume).await), "/login", "still nobody");
    people.sign_in(Acr::One).await;
    assert_eq!(page(&people.get(&resume).await), "/consent");
    people.agree_to("web", &["openid"], &[API]).await;
    assert_eq!(page(&people.get(&resume).await), "/consent", "not to all of it");
    people.agree_to("web", &["notes:read"], &[API]).await;
    let there = returned("web", &people.get(&resume).await);
    assert_eq!(there["state"], "st&te");
    let tokens = people.redeem("web", &there["code"], &[]).await.json();
    assert!(tokens["id_token"].is_string());
    people.fence.clock.advance(Duration::from_secs(1));
    assert_eq!(page(&people.authorize("web", &[("prompt", "consent")]).await), "/consent", "whatever was agreed");
    assert_eq!(page(&people.authorize("web", &[("scope", "openid profile")]).await), "/consent", "more than before");
    assert_eq!(page(&people.authorize("web", &[("prompt", "login")]).await), "/login");
    assert_eq!(page(&people.authorize("web", &[("acr_values", "2 3")]).await), "/login", "stronger");
}

#[tokio::test]
async fn what_a_person_refuses_on_a_page_is_told_to_the_client() {
    let people = People::new().await;
    let answer = people.authorize("web", &[]).await;
    let flow = answer.header(header::LOCATION).unwrap().split_once('?').unwrap().1.to_owned();
    let answer = people.get(&format!("/oauth/authorize?{flow}&refused=1")).await;
    assert_eq!(told("web", &answer), "access_denied");
    assert_eq!(returned("web", &answer)["state"], "st&te");
    assert!(is_page(&people.get(&format!("/oauth/authorize?{flow}")).await), "it is over");
}

#[tokio::test]
async fn nobody_is_asked_on_behalf_of_the_house_s_own_applications() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    assert_eq!(page(&people.authorize("web", &[]).await), "/consent");
    people.fence.change("web", |client| client.roles.push("first_party".to_owned())).await;
    people.code("web", &[]).await;
    assert_eq!(
        page(&people.authorize("web", &[("prompt", "consent")]).await),
        "/consent",
        "unless the client wants it"
    );
}

#[tokio::test]
async fn consent_that_was_given_to_a_client_of_the_same_id_before_does_not_count() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.fence.clock.advance(Duration::from_secs(5));
    let now = stockade::base::Clock::now(&*people.fence.clock);
    people.fence.change("web", |client| *client = Client { created_at: now, ..client.clone() }).await;
    assert_eq!(page(&people.authorize("web", &[]).await), "/consent");
}

#[tokio::test]
async fn a22_the_authorization_endpoint_answers_no_page_of_another_origin() {
    let people = People::new().await;
    people.fence.change("web", |client| client.cors_origins.push("https://web.example".to_owned())).await;
    for method in [Method::GET, Method::OPTIONS] {
        let request = http::Request::builder()
            .method(method)
            .uri("/oauth/authorize?client_id=web")
            .header(header::ORIGIN, "https://web.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
        let answer = people.fence.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None, "{answer:?}");
    }
}

#[tokio::test]
async fn a23_what_nobody_here_knows_is_ignored() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let with = [
        ("claims", r#"{"userinfo":{"name":null}}"#),
        ("ui_locales", "de fr"),
        ("display", "popup"),
        ("acr_values", "urn:mace:incommon:iap:silver"),
        ("foo", "bar"),
        ("login_hint", "ada"),
    ];
    people.code("web", &with).await;
}

#[tokio::test]
async fn a_request_may_be_posted_and_does_not_go_by_other_methods() {
    let people = People::new().await;
    people.sign_in(Acr::One).await;
    people.agree("web").await;
    let body = serde_urlencoded::to_string(People::usual("web", &[])).unwrap();
    let answer = people.visit(Method::POST, "/oauth/authorize", Some(body)).await;
    assert!(returned("web", &answer).contains_key("code"));
    let answer = people.visit(Method::PUT, "/oauth/authorize", None).await;
    assert_eq!((answer.status.as_u16(), answer.header(header::ALLOW)), (405, Some("GET, POST")));
    for broken in ["a=%zz", "a=%", &"a=b&".repeat(100), &format!("state={}", "s".repeat(40_000))] {
        assert!(is_page(&people.get(&format!("/oauth/authorize?{broken}")).await), "{}", broken.len());
    }
}

#[tokio::test]
async fn what_was_granted_is_recorded_with_its_family_and_its_policies() {
    let people = People::new().await;
    let session = people.sign_in(Acr::Two).await;
    people.agree("web").await;
    people.code("web", &[]).await;
    let event = &people.fence.events_of("authorization.granted", 1).await[0];
    assert_eq!(event["personal"]["principal"], format!("User::\"{ADA}\""));
    assert_eq!((&event["data"]["client_id"], &event["data"]["sid"]), (&json!("web"), &json!(session.session_id)));
    assert_eq!(event["data"]["scope"], "openid notes:read");
    assert!(event["data"]["gid"].as_str().unwrap().starts_with("gr_"));
    let policies = json!(["tokens.issue.client", "tokens.issue.user", "tokens.scope.registered", "tokens.scope.user"]);
    assert_eq!(event["policies"], policies);
    assert_eq!(people.fence.counted(r#"stockade_authorizations_total{result="code"}"#), 1);
}
