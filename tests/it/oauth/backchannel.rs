//! E12: clients are told that a session ended.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::{Clock, SystemRng};
use stockade::crypto::verify::{TokenError, Verifier};
use stockade::model::{Acr, Session};
use stockade::oauth::BackChannel;

use super::codes::part;
use super::fence::{ISSUER, wish};
use super::people::{ADA, People};
use crate::support::elsewhere::Elsewhere;

/// A client that keeps what it is told, and answers as it is told to.
#[derive(Clone, Default)]
struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

impl Listener {
    fn router(&self) -> Router {
        let own = self.clone();
        Router::new().route(
            "/out",
            post(move |body: String| {
                own.heard.lock().push(body);
                let status = own.answers.lock().pop().unwrap_or(StatusCode::OK);
                async move { status }
            }),
        )
    }

    fn tokens(&self) -> Vec<String> {
        let strip = |body: &String| body.strip_prefix("logout_token=").expect("one field").to_owned();
        self.heard.lock().iter().map(strip).collect()
    }
}

struct Stage {
    people: People,
    session: Session,
    listener: Listener,
    channel: BackChannel,
    _elsewhere: Elsewhere,
}

async fn stage() -> Stage {
    let listener = Listener::default();
    let elsewhere = Elsewhere::serving(listener.router()).await;
    let people = People::new().await;
    let session = people.sign_in(Acr::One).await;
    people.agree("web").await;
    people.agree("one").await;
    let uri = format!("{}/out", elsewhere.url);
    people.fence.change("web", |client| client.backchannel_logout_uri = Some(uri)).await;
    let channel = BackChannel {
        issuer: Arc::from(ISSUER),
        live: Arc::clone(&people.fence.live),
        store: people.fence.store.store.clone(),
        fetcher: elsewhere.fetcher(),
        clock: Arc::clone(&people.fence.clock) as Arc<dyn Clock>,
        rng: Arc::new(SystemRng),
        settings: wish().settings,
    };
    Stage { people, session, listener, channel, _elsewhere: elsewhere }
}

impl Stage {
    /// Signs in to both clients and out again.
    async fn sign_out(&self) {
        let hint = self.people.tokens("web", &[]).await["id_token"].as_str().unwrap().to_owned();
        self.people.tokens("one", &[]).await;
        let query = serde_urlencoded::to_string([("id_token_hint", hint)]).unwrap();
        assert_eq!(self.people.get(&format!("/oauth/logout?{query}")).await.status, 303);
    }

    async fn deliver(&self) -> usize {
        self.channel.deliver().await.unwrap()
    }

    fn wait(&self, secs: u64) {
        self.people.fence.clock.advance(Duration::from_secs(secs));
    }
}

#[tokio::test]
async fn e12_a_logout_token_says_whose_session_ended_and_is_nothing_else() {
    let stage = stage().await;
    stage.sign_out().await;
    assert_eq!(stage.deliver().await, 1, "the other client wants none");
    let tokens = stage.listener.tokens();
    let [token] = tokens.as_slice() else { panic!("{tokens:?}") };
    let (head, claims) = (part(token, 0), part(token, 1));
    assert_eq!((&head["typ"], &head["alg"]), (&json!("logout+jwt"), &json!("RS256")));
    let now = stage.people.fence.clock.now().as_secs();
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "aud": "web", "iat": now, "exp": now + 120, "jti": claims["jti"], "sub": ADA,
            "sid": stage.session.session_id,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    );
    let jwks: Value = stage.people.fence.get("/.well-known/jwks.json").await.json();
    let verifier = Verifier::from_jwks(ISSUER, &jwks).unwrap();
    let as_access_token = verifier.verify(token, stage.people.fence.clock.now());
    assert_eq!(as_access_token, Err(TokenError::WrongType), "C10");
    assert_eq!(stage.deliver().await, 0, "once");
    let event = &stage.people.fence.events_of("logout.delivered", 1).await[0];
    assert_eq!((&event["outcome"], &event["data"]["attempts"]), (&json!("allowed"), &json!(1)));
}

#[tokio::test]
async fn e12_what_a_client_does_not_take_is_tried_again_and_later_each_time() {
    let stage = stage().await;
    *stage.listener.answers.lock() = vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_REQUEST];
    stage.sign_out().await;
    assert_eq!(stage.deliver().await, 1);
    assert_eq!(stage.deliver().await, 0, "not at once");
    stage.wait(5);
    assert_eq!(stage.deliver().await, 1);
    stage.wait(9);
    assert_eq!(stage.deliver().await, 0, "the second pause is longer");
    stage.wait(1);
    assert_eq!(stage.deliver().await, 1);
    let tokens = stage.listener.tokens();
    assert_eq!(tokens.len(), 3);
    let jtis: std::collections::BTreeSet<String> = tokens.iter().map(|t| part(t, 1)["jti"].to_string()).collect();
    assert_eq!(jtis.len(), 3, "each is a token of its own");
    let event = &stage.people.fence.events_of("logout.delivered", 1).await[0];
    assert_eq!((&event["outcome"], &event["data"]["attempts"]), (&json!("allowed"), &json!(3)));
}

#[tokio::test]
async fn e12_a_client_that_never_hears_is_given_up_and_that_is_recorded() {
    let stage = stage().await;
    *stage.listener.answers.lock() = vec![StatusCode::INTERNAL_SERVER_ERROR; 100];
    stage.sign_out().await;
    let mut tries = 0;
    for _ in 0..100 {
        tries += stage.deliver().await;
        stage.wait(60);
    }
    assert!((8..20).contains(&tries), "{tries}");
    let event = &stage.people.fence.events_of("logout.delivered", 1).await[0];
    assert_eq!((&event["outcome"], &event["reason"]), (&json!("failed"), &json!("the answer was 500")), "{event}");
    assert_eq!(stage.deliver().await, 0);
}

#[tokio::test]
async fn e12_a_client_that_wants_none_any_more_is_not_asked() {
    let stage = stage().await;
    stage.sign_out().await;
    stage.people.fence.change("web", |client| client.backchannel_logout_uri = None).await;
    stage.deliver().await;
    assert!(stage.listener.tokens().is_empty());
}
