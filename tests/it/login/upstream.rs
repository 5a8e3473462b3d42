//! Signing in with an account elsewhere, and every way to get in by one that is somebody else's.

use std::time::Duration;

use http::{Request, StatusCode};
use serde_json::{Value, json};
use stockade::config::RateLimit;
use stockade::http::flow::Needs;
use stockade::model::{Acr, UpstreamLink, User};
use stockade::store::{sessions, upstream_links, users};

use super::browser::{Browser, Page};
use super::provider::{ACCESS_TOKEN, Providers, Question, SECRET, back};
use super::stage::{PASSWORD, Stage, with};
use crate::crypto::forge::{Key, hs256, unsigned, with as set, without};

/// Links an account of `corp`.
pub(super) async fn link(stage: &Stage, providers: &Providers, user: &User, subject: &str) {
    let link = UpstreamLink {
        issuer: providers.issuer("corp"),
        subject: subject.to_owned(),
        user_id: user.user_id.clone(),
        label: subject.to_owned(),
        created_at: stage.now(),
        last_used_at: None,
    };
    let mut tx = stage.store.begin().await.unwrap();
    upstream_links::insert(&mut tx, &link).await.unwrap();
    tx.commit().await.unwrap();
}

async fn sessions_of(stage: &Stage, user: &User) -> Vec<stockade::model::Session> {
    sessions::of_user(&mut stage.store.read().await.unwrap(), &user.user_id).await.unwrap()
}

fn is_out(browser: &Browser<'_>) -> bool {
    browser.cookie("-s").is_none()
}

/// A page that says why nobody came in, and nothing of what was sent.
fn refused(page: &Page, status: StatusCode, title: &str) {
    assert_eq!((page.status, page.title()), (status, title), "{}", page.html);
}

/// A page that leads on: browsers hold no redirect after it against the form that came before.
fn goes_on(page: &Page, to: &str) {
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    assert!(page.html.contains(&format!("<meta http-equiv=\"refresh\" content=\"0;url={to}\">")), "{}", page.html);
}

#[tokio::test]
async fn whoever_has_a_linked_account_signs_in_with_it_and_goes_on() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add_with_password("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        let browser = stage.browser();
        let flow = stage.flow(&browser, Needs::default());
        let page = browser.get(&format!("/login?flow={}", flow.flow_id)).await;
        let way = format!("/login/with/corp?flow={}", flow.flow_id);
        assert!(page.html.contains(&format!("href=\"{way}\">Sign in with Corp &#38; Co</a>")), "{}", page.html);
        let question = Question::of(&browser.get(&way).await);
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "stockade"),
            ("redirect_uri", "http://localhost:8080/callback/corp"),
            ("scope", "openid profile"),
            ("code_challenge_method", "S256"),
            ("prompt", ""),
        ] {
            assert_eq!(question.get(name), value, "{name}");
        }
        assert!(question.get("state").len() == 43 && question.get("nonce").len() == 43);
        let claims = providers.claims(&question, "a-1", stage.now());
        let done = browser.get(&providers.answer(&stage, &question, &claims)).await;
        goes_on(&done, &format!("/oauth/authorize?flow={}", flow.flow_id));
        assert_eq!(browser.get("/account").await.title(), "Your account");
        assert_eq!(browser.cookie("-u"), None, "the attempt is over");
        let exchange = &providers.exchanges()[0];
        // RFC 6749 2.3.1: id and secret are form-encoded first.
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "stockade:s3cret%26%2B");
        assert_eq!(exchange.authorization, Some(format!("Basic {basic}")), "{SECRET}");
        assert_eq!(exchange.form["redirect_uri"], "http://localhost:8080/callback/corp");
        let session = &sessions_of(&stage, &ada).await[0];
        assert_eq!((session.acr, &session.amr[..]), (Acr::One, &["fed".to_owned()][..]));
        let started = &stage.events("session.started", 1).await[0];
        assert_eq!(
            (&started["data"]["provider"], &started["policies"]),
            (&json!("corp"), &json!(["login.upstream"])),
            "{started}"
        );
    }
}

#[tokio::test]
async fn c15_e8_nobody_comes_in_by_an_id_token_that_does_not_prove_who_they_are_now_and_here() {
    let providers = Providers::new().await;
    let wish = providers.wish(true);
    let wish = super::stage::Wish {
        login: stockade::config::Login { address_guesses: RateLimit::per_second(1000, 1000), ..wish.login },
        ..wish
    };
    let stranger = Key::p256();
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" });
    type Forge<'a> = Box<dyn Fn(&Value) -> String + 'a>;
    let corp = |claims: &Value| providers.sign("corp", claims);
    let changed = |member: &'static str, value: Value| -> Forge<'_> {
        Box::new(move |claims: &Value| corp(&set(claims, member, value.clone())))
    };
    let lacking =
        |member: &'static str| -> Forge<'_> { Box::new(move |claims: &Value| corp(&without(claims, member))) };
    let key = &providers.one("corp").key;
    for stage in with(&wish).await {
        let now = stage.now().as_secs();
        let mut cases: Vec<(&str, Forge<'_>)> = vec![
            ("id_token_nonce", changed("nonce", json!("x".repeat(43)))),
            ("id_token_nonce", changed("nonce", json!(""))),
            ("id_token_nonce", lacking("nonce")),
            ("id_token_audience", changed("aud", json!("someone else"))),
            ("id_token_audience", changed("aud", json!(["stockade", "someone else"]))),
            ("id_token_audience", changed("azp", json!("someone else"))),
            ("id_token_audience", changed("iss", json!(providers.issuer("other")))),
            ("id_token_audience", changed("iss", json!(format!("{}/", providers.issuer("corp"))))),
            ("id_token_time", changed("exp", json!(now))),
            ("id_token_time", changed("iat", json!(now - 601))),
            ("id_token_time", changed("iat", json!(now + 600))),
            ("id_token_time", changed("nbf", json!(now + 600))),
            ("id_token_malformed", lacking("iat")),
            ("id_token_malformed", lacking("sub")),
            ("id_token_malformed", changed("sub", json!(""))),
            ("id_token_malformed", changed("exp", json!("never"))),
            ("id_token_malformed", changed("auth_time", json!("now"))),
            ("id_token_hash", changed("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
            ("id_token_signature", Box::new(|claims| stranger.jwt(&header, claims))),
            ("id_token_signature", Box::new(|claims| providers.sign("other", claims))),
            ("id_token_signature", Box::new(|claims| unsigned(&json!({ "alg": "none", "kid": "k1" }), claims))),
            ("id_token_malformed", Box::new(|claims| key.jwt(&set(&header, "typ", json!("at+jwt")), claims))),
            ("id_token_malformed", Box::new(|_| "no token".to_owned())),
        ];
        for spelling in key.public_spellings("k1") {
            let forged = json!({ "alg": "HS256", "typ": "JWT", "kid": "k1" });
            cases.push(("id_token_signature", Box::new(move |claims| hs256(&spelling, &forged, claims))));
        }
        let count = cases.len();
        let mut reasons = Vec::new();
        for (reason, forge) in &cases {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let forged = forge(&providers.claims(&question, "ada", stage.now()));
            let code = providers.code(&question, &forged);
            let page = browser.get(&back(&question, &[("code", &code)])).await;
            refused(&page, StatusCode::FORBIDDEN, "You were not signed in");
            assert!(is_out(&browser), "{}: {reason}", stage.name);
            reasons.push(*reason);
        }
        // What does not come at all, and a code that is not taken.
        for answer in [json!({ "access_token": ACCESS_TOKEN, "token_type": "Bearer" }), json!({ "id_token": "x" })] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let code = providers.code_for(&question, answer);
            let page = browser.get(&back(&question, &[("code", &code)])).await;
            refused(&page, StatusCode::FORBIDDEN, "You were not signed in");
        }
        assert!(
            users::find_by_username(&mut stage.store.read().await.unwrap(), "ada").await.unwrap().is_none(),
            "{}: somebody was made",
            stage.name
        );
        let failed = stage.events("login.failed", count + 2).await;
        let mut told: Vec<&str> = failed.iter().map(|event| event["reason"].as_str().unwrap()).collect();
        told.sort_unstable();
        told.dedup();
        reasons.extend(["id_token_missing", "code"]);
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(told, reasons, "{}", stage.name);
    }
}

#[tokio::test]
async fn a_right_hash_of_the_access_token_is_right() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        let browser = stage.browser();
        let question = Question::of(&browser.get("/login/with/corp").await);
        let digest = stockade::crypto::sha256(ACCESS_TOKEN.as_bytes());
        let hash = stockade::crypto::b64url::encode(&digest[..16]);
        let claims = set(&providers.claims(&question, "a-1", stage.now()), "at_hash", json!(hash));
        assert_eq!(browser.get(&providers.answer(&stage, &question, &claims)).await.leads_to(), "/account");
    }
}

#[tokio::test]
async fn a19_an_answer_counts_once_and_in_the_browser_that_asked() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        providers.exchanges();
        let mine = stage.browser();
        let question = Question::of(&mine.get("/login/with/corp").await);
        let claims = providers.claims(&question, "a-1", stage.now());
        let answer = providers.answer(&stage, &question, &claims);
        let over = "This sign-in is over";
        let theirs = stage.browser();
        refused(&theirs.get(&answer).await, StatusCode::BAD_REQUEST, over);
        // One that is in the middle of its own does not take another's.
        let busy = stage.browser();
        busy.get("/login/with/corp").await;
        refused(&busy.get(&answer).await, StatusCode::BAD_REQUEST, over);
        assert!(is_out(&theirs) && is_out(&busy), "{}", stage.name);
        let state = question.get("state");
        for query in ["", "?code=x", "?code=x&state=", &format!("?code=x&state={state}&state={state}")] {
            refused(&mine.get(&format!("/callback/corp{query}")).await, StatusCode::BAD_REQUEST, over);
        }
        assert!(providers.exchanges().is_empty(), "{}: nothing was asked of the provider", stage.name);
        let copy = mine.copy();
        assert_eq!(mine.get(&answer).await.leads_to(), "/account", "what others sent has not ended it");
        // The same answer with the cookie that was there before, and a fresh code for it.
        let again = providers.answer(&stage, &question, &claims);
        refused(&copy.get(&answer).await, StatusCode::BAD_REQUEST, over);
        refused(&copy.get(&again).await, StatusCode::BAD_REQUEST, over);
        assert!(is_out(&copy));
        assert_eq!(sessions_of(&stage, &ada).await.len(), 1, "{}", stage.name);
        let late = stage.browser();
        let question = Question::of(&late.get("/login/with/corp").await);
        stage.clock.advance(Duration::from_secs(600));
        let claims = providers.claims(&question, "a-1", stage.now());
        refused(&late.get(&providers.answer(&stage, &question, &claims)).await, StatusCode::BAD_REQUEST, over);
    }
}

#[tokio::test]
async fn a9_an_answer_of_one_provider_is_not_taken_for_anothers() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        // RFC 9700 4.4.2.2: the callback of the other provider.
        let browser = stage.browser();
        let question = Question::of(&browser.get("/login/with/corp").await);
        let claims = providers.claims(&question, "a-1", stage.now());
        let answer = providers.answer(&stage, &question, &claims).replace("/callback/corp", "/callback/other");
        refused(&browser.get(&answer).await, StatusCode::BAD_REQUEST, "This sign-in is over");
        // RFC 9207: its `iss`, with whose ever answer.
        let other = providers.issuer("other");
        for iss in [other.as_str(), "", &format!("{}/", providers.issuer("corp"))] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let page = browser.get(&back(&question, &[("code", "x"), ("iss", iss)])).await;
            refused(&page, StatusCode::BAD_REQUEST, "This sign-in is over");
        }
        assert!(providers.exchanges().is_empty(), "{}: no code went to anybody", stage.name);
        let browser = stage.browser();
        let question = Question::of(&browser.get("/login/with/corp").await);
        let claims = providers.claims(&question, "a-1", stage.now());
        let answer = providers.answer(&stage, &question, &claims);
        let iss = serde_urlencoded::to_string([("iss", providers.issuer("corp"))]).unwrap();
        assert_eq!(browser.get(&format!("{answer}&{iss}")).await.leads_to(), "/account");
        assert_eq!(providers.exchanges()[0].provider, "corp");
    }
}

#[tokio::test]
async fn a9_a_provider_that_always_says_who_it_is_must() {
    let providers = Providers::new().await;
    *providers.one("corp").metadata.lock() = json!({ "authorization_response_iss_parameter_supported": true });
    for stage in with(&providers.wish(false)).await {
        let browser = stage.browser();
        let page = providers.walk(&stage, &browser, "/login/with/corp", "a-1").await;
        refused(&page, StatusCode::BAD_REQUEST, "This sign-in is over");
        assert!(providers.exchanges().is_empty());
    }
}

#[tokio::test]
async fn e8_a_name_or_a_mail_address_opens_nobodys_account() {
    let providers = Providers::new().await;
    for create in [false, true] {
        for stage in with(&providers.wish(create)).await {
            let ada = stage.add_with_password("ada").await;
            stage.change(&ada, |user| user.email = Some("ada@corp.example".to_owned())).await;
            // Says the name and the verified address of an account here.
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let mut claims = set(&providers.claims(&question, "a-1", stage.now()), "preferred_username", json!(" ADA"));
            claims["email"] = json!("ada@corp.example");
            claims["email_verified"] = json!(true);
            let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
            refused(&page, StatusCode::FORBIDDEN, "No account is open to you here");
            assert!(is_out(&browser) && sessions_of(&stage, &ada).await.is_empty(), "{}: {create}", stage.name);
            let mut reader = stage.store.read().await.unwrap();
            assert!(upstream_links::of_user(&mut reader, &ada.user_id).await.unwrap().is_empty());
            drop(reader);
            let failed = &stage.events("login.failed", 1).await[0];
            assert_eq!(failed["reason"], if create { "username_taken" } else { "unknown" });
        }
    }
}

#[tokio::test]
async fn e8_the_same_subject_at_another_issuer_is_somebody_else() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        let browser = stage.browser();
        let page = providers.walk(&stage, &browser, "/login/with/other", "a-1").await;
        refused(&page, StatusCode::FORBIDDEN, "No account is open to you here");
        assert!(is_out(&browser), "{}", stage.name);
    }
}

#[tokio::test]
async fn where_it_is_allowed_somebody_new_becomes_a_person_without_roles_and_stays_that_person() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(true)).await {
        let browser = stage.browser();
        let question = Question::of(&browser.get("/login/with/corp").await);
        let mut claims = providers.claims(&question, "b-7", stage.now());
        claims["preferred_username"] = json!("Bob");
        claims["name"] = json!("Bob \u{7}");
        claims["roles"] = json!(["admin"]);
        claims["email_verified"] = json!("true");
        let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
        assert_eq!(page.leads_to(), "/account", "{}", stage.name);
        let bob = users::find_by_username(&mut stage.store.read().await.unwrap(), "bob").await.unwrap().unwrap().user;
        assert!(bob.roles.is_empty() && !bob.email_verified && bob.name.is_none(), "{bob:?}");
        let created = &stage.events("user.changed", 1).await[0];
        assert_eq!((&created["data"]["change"], &created["data"]["provider"]), (&json!("created"), &json!("corp")));
        // Renamed there, and still the same here.
        let again = stage.browser();
        let question = Question::of(&again.get("/login/with/corp").await);
        let claims = set(&providers.claims(&question, "b-7", stage.now()), "preferred_username", json!("robert"));
        assert_eq!(again.get(&providers.answer(&stage, &question, &claims)).await.leads_to(), "/account");
        assert_eq!(sessions_of(&stage, &bob).await.len(), 2, "{}", stage.name);
        // Without a usable name nobody is made.
        for name in [json!(""), json!(7), json!("\u{1}"), json!("x".repeat(129)), Value::Null] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let claims = set(&providers.claims(&question, "c-1", stage.now()), "preferred_username", name);
            let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
            refused(&page, StatusCode::FORBIDDEN, "No account is open to you here");
        }
    }
}

#[tokio::test]
async fn e3_who_is_disabled_reads_what_a_stranger_reads() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let off = stage.add("off").await;
        link(&stage, &providers, &off, "o-1").await;
        stage.change(&off, |user| user.disabled = true).await;
        let mut pages = Vec::new();
        for subject in ["o-1", "nobody"] {
            let browser = stage.browser();
            let page = providers.walk(&stage, &browser, "/login/with/corp", subject).await;
            assert!(is_out(&browser), "{}: {subject}", stage.name);
            let id = page.header("x-request-id").unwrap().to_owned();
            pages.push((page.status, page.html.replace(&id, "ID")));
        }
        assert_eq!(pages[0], pages[1], "{}", stage.name);
        let failed = stage.events("login.failed", 2).await;
        let mut reasons: Vec<_> = failed.iter().map(|event| event["reason"].as_str().unwrap()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["disabled", "unknown"]);
    }
}

#[tokio::test]
async fn policies_say_who_comes_in_and_as_how_strong_that_counts() {
    let providers = Providers::new().await;
    let policy = r#"
        @id("corp.mfa")
        permit (principal is Stockade::User, action == Stockade::Action::"login:upstream",
                resource == Stockade::LoginProvider::"corp")
        when { context.acr == 2 && context.claims.contains("amr=mfa") };
        @id("corp.hd")
        forbid (principal, action == Stockade::Action::"login:upstream", resource == Stockade::LoginProvider::"corp")
        unless { context.claims.contains("hd=corp.example") };
    "#;
    for stage in with(&providers.wish(false)).await {
        stage.decide_by(policy);
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        for (hd, amr, acr) in [
            ("corp.example", json!(["pwd", "mfa", "bad name", 7]), Some(Acr::Two)),
            ("corp.example", json!(["pwd"]), Some(Acr::One)),
            ("corp.example.evil", json!(["mfa"]), None),
        ] {
            // The newest session is first.
            stage.clock.advance(Duration::from_secs(1));
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let mut claims = set(&providers.claims(&question, "a-1", stage.now()), "hd", json!(hd));
            claims["amr"] = amr;
            let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
            match acr {
                Some(acr) => {
                    assert_eq!(page.leads_to(), "/account", "{}", stage.name);
                    let session = sessions_of(&stage, &ada).await.remove(0);
                    let amr: &[&str] = if acr == Acr::Two { &["fed", "pwd", "mfa"] } else { &["fed"] };
                    assert_eq!(
                        (session.acr, session.amr.iter().map(String::as_str).collect::<Vec<_>>()),
                        (acr, amr.to_vec())
                    );
                }
                None => refused(&page, StatusCode::FORBIDDEN, "No account is open to you here"),
            }
        }
        let failed = &stage.events("login.failed", 1).await[0];
        assert_eq!((&failed["reason"], &failed["policies"]), (&json!("forbidden"), &json!(["corp.hd"])), "{failed}");
    }
}

#[tokio::test]
async fn whoever_has_a_second_step_takes_it_after_a_provider_too() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let (ada, seed) = stage.add_with_totp("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        let browser = stage.browser();
        let page = providers.walk(&stage, &browser, "/login/with/corp", "a-1").await;
        assert_eq!(page.leads_to(), "/login/second");
        assert!(is_out(&browser), "{}", stage.name);
        let second = browser.get("/login/second").await;
        let done = browser.submit(&second, &[("code", &stage.code(&seed))]).await;
        assert_eq!(done.leads_to(), "/account", "{}", stage.name);
        let session = &sessions_of(&stage, &ada).await[0];
        assert_eq!((session.acr, session.amr.join(" ").as_str()), (Acr::Two, "fed otp mfa"));
        assert_eq!(stage.events("session.started", 1).await[0]["data"]["provider"], "corp");
    }
}

#[tokio::test]
async fn a_proof_is_as_old_as_the_provider_says_and_where_a_fresh_one_is_wanted_it_must_say_so() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        let now = stage.now().as_secs();
        // Signed in there long ago: here too, and not recently enough for what concerns credentials.
        for old in [json!(now - 3000), Value::Null] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let claims = providers.claims(&question, "a-1", stage.now());
            let claims = if old.is_null() { without(&claims, "auth_time") } else { set(&claims, "auth_time", old) };
            assert_eq!(browser.get(&providers.answer(&stage, &question, &claims)).await.leads_to(), "/account");
            assert_eq!(browser.get("/account/password").await.leads_to(), "/login?again=password", "{}", stage.name);
        }
        // Asked to prove it now.
        for (auth_time, fresh) in [(Some(now), true), (Some(now - 60), false), (None, false)] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp?again=password").await);
            assert_eq!((question.get("prompt"), question.get("max_age")), ("login", "0"));
            let claims = without(&providers.claims(&question, "a-1", stage.now()), "auth_time");
            let claims = auth_time.map_or(claims.clone(), |at| set(&claims, "auth_time", json!(at)));
            let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
            if fresh {
                assert_eq!(page.leads_to(), "/account/password");
                assert_eq!(browser.get("/account/password").await.title(), "Set a password");
            } else {
                refused(&page, StatusCode::FORBIDDEN, "You have to prove it anew");
                assert!(is_out(&browser));
            }
        }
        // A flow that wants somebody who signed in within the hour.
        let browser = stage.browser();
        let since = stage.now().minus(Duration::from_secs(3600));
        let flow = stage.flow(&browser, Needs { since: Some(since), ..Needs::default() });
        let question = Question::of(&browser.get(&format!("/login/with/corp?flow={}", flow.flow_id)).await);
        assert_eq!((question.get("prompt"), question.get("max_age")), ("", "3600"));
        let claims = set(&providers.claims(&question, "a-1", stage.now()), "auth_time", json!(now - 3500));
        let page = browser.get(&providers.answer(&stage, &question, &claims)).await;
        goes_on(&page, &format!("/oauth/authorize?flow={}", flow.flow_id));
    }
}

#[tokio::test]
async fn a14_what_a_provider_answers_is_neither_shown_nor_followed() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        for error in ["access_denied", "server_error", "<script>alert(1)</script>"] {
            let browser = stage.browser();
            let flow = stage.flow(&browser, Needs::default());
            let question = Question::of(&browser.get(&format!("/login/with/corp?flow={}", flow.flow_id)).await);
            let told = [
                ("error", error),
                ("error_description", "\"><script>alert(2)</script>"),
                ("error_uri", "https://evil.example/"),
                ("next", "https://evil.example/"),
                ("flow", "//evil.example"),
            ];
            let page = browser.get(&back(&question, &told)).await;
            refused(&page, StatusCode::FORBIDDEN, "You were not signed in");
            assert!(!page.html.contains("alert(") && !page.html.contains("evil"), "{}", page.html);
            assert!(page.html.contains(&format!("href=\"/login?flow={}\"", flow.flow_id)), "{}", page.html);
        }
        let ada = stage.add("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        for again in ["//evil.example", "https://evil.example/", "/account/../../evil", "consent"] {
            let browser = stage.browser();
            let page = providers.walk(&stage, &browser, &format!("/login/with/corp?again={again}"), "a-1").await;
            assert_eq!(page.leads_to(), "/account", "{}: {again}", stage.name);
        }
    }
}

#[tokio::test]
async fn a18_links_of_other_sites_lead_to_our_page_and_no_further() {
    let providers = Providers::new().await;
    for stage in with(&providers.wish(false)).await {
        let browser = stage.browser();
        let get = async |site: &str| {
            let request = Request::get("/login/with/corp?again=password").header("sec-fetch-site", site);
            browser.send(request.body(axum::body::Body::empty()).unwrap()).await
        };
        for site in ["cross-site", "same-site", "x"] {
            assert_eq!(get(site).await.leads_to(), "/login?again=password", "{site}");
            assert_eq!(browser.cookie("-u"), None, "{}", stage.name);
        }
        for site in ["same-origin", "none"] {
            assert!(get(site).await.leads_to().starts_with(&providers.issuer("corp")), "{site}");
        }
        assert_eq!(browser.get("/login/with/nobody").await.status, StatusCode::NOT_FOUND);
        assert_eq!(browser.get("/callback/nobody?state=x").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn c16_metadata_that_name_another_issuer_or_an_endpoint_inside_count_for_nothing() {
    for wrong in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "token_endpoint": "http://192.0.2.1/token" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "jwks_uri": "https://169.254.169.254/keys" }),
        json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }),
        json!({ "id_token_signing_alg_values_supported": ["HS256", "none"] }),
    ] {
        let providers = Providers::new().await;
        *providers.one("corp").metadata.lock() = wrong.clone();
        let stage = with(&providers.wish(false)).await.remove(0);
        let page = stage.browser().get("/login/with/corp").await;
        refused(&page, StatusCode::SERVICE_UNAVAILABLE, "You were not signed in");
        assert!(page.header("retry-after").is_some(), "{wrong}");
        // The other provider is no worse for it.
        Question::of(&stage.browser().get("/login/with/other").await);
    }
}

#[tokio::test]
async fn a_provider_that_wants_the_secret_in_the_body_gets_it_there() {
    let providers = Providers::new().await;
    *providers.one("corp").metadata.lock() =
        json!({ "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"] });
    let stage = with(&providers.wish(true)).await.remove(0);
    let browser = stage.browser();
    assert_eq!(providers.walk(&stage, &browser, "/login/with/corp", "a-1").await.leads_to(), "/account");
    let exchange = &providers.exchanges()[0];
    assert_eq!((exchange.authorization.as_deref(), exchange.form["client_secret"].as_str()), (None, SECRET));
}

#[tokio::test]
async fn e2_one_address_may_not_have_a_provider_asked_for_ever() {
    let providers = Providers::new().await;
    let wish = providers.wish(false);
    let address_guesses = RateLimit::parse("1/h burst 3").unwrap();
    let wish = super::stage::Wish { login: stockade::config::Login { address_guesses, ..wish.login }, ..wish };
    for stage in with(&wish).await {
        let ada = stage.add_with_password("ada").await;
        link(&stage, &providers, &ada, "a-1").await;
        // Who comes in pays nothing.
        for _ in 0..5 {
            let page = providers.walk(&stage, &stage.browser(), "/login/with/corp", "a-1").await;
            assert_eq!(page.leads_to(), "/account", "{}", stage.name);
        }
        providers.exchanges();
        for expected in [403, 403, 403, 429, 429] {
            let browser = stage.browser();
            let question = Question::of(&browser.get("/login/with/corp").await);
            let page = browser.get(&back(&question, &[("code", "guessed")])).await;
            assert_eq!(page.status.as_u16(), expected, "{}", stage.name);
        }
        assert_eq!(providers.exchanges().len(), 3, "{}", stage.name);
        let elsewhere = stage.browser().from([198, 51, 100, 1]);
        assert_eq!(elsewhere.sign_in("/login", "ada", PASSWORD).await.leads_to(), "/account");
    }
}
