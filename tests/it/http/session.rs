//! Sessions: a row under the digest of a cookie, on both databases.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use stockade::accounts::{Occasion, Why};
use stockade::base::{Clock, ManualClock, Secret, SystemRng, Timestamp};
use stockade::http::browser::{Cookies, Site};
use stockade::http::session::{Fresh, Lifetimes, Proof, Sessions};
use stockade::http::{RequestInfo, TrustedProxies};
use stockade::live::{self, Live};
use stockade::model::{Acr, Event, Grant, User};
use stockade::store::{Store, grants, users};

use crate::support::stores::stores;

const ISSUER: &str = "https://a.example";
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const ADA: &str = "usr_ada";
const BOB: &str = "usr_bob";

struct Stage {
    store: Store,
    clock: Arc<ManualClock>,
    live: Arc<Live>,
    sessions: Sessions,
}

async fn stage(store: Store) -> Stage {
    let keys = [Secret::new("k".repeat(32))];
    let clock = Arc::new(ManualClock::at(START));
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let live = Live::load(store.clone(), live::sealer(&keys).unwrap(), ISSUER, Arc::clone(&time)).await.unwrap();
    let live = Arc::new(live);
    let mut tx = store.begin().await.unwrap();
    for (id, name) in [(ADA, "ada"), (BOB, "bob")] {
        users::insert(&mut tx, &User::new(id.to_owned(), name.to_owned(), START)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let lifetimes = Lifetimes { whole: Duration::from_secs(3600), idle: Duration::from_secs(600) };
    let site = Site::new(ISSUER, &keys);
    let sessions = Sessions::new(site, store.clone(), Arc::clone(&live), lifetimes, time, Arc::new(SystemRng));
    Stage { store, clock, live, sessions }
}

fn proof(acr: Acr) -> Proof {
    Proof::here(acr, vec!["pwd".to_owned()])
}

/// What a browser sends after these cookies were set.
fn sent(fresh: &Fresh) -> HeaderMap {
    let cookie = fresh.cookies[0].to_str().unwrap().split(';').next().unwrap().to_owned();
    [(header::COOKIE, HeaderValue::from_str(&cookie).unwrap())].into_iter().collect()
}

impl Stage {
    async fn start(&self, user_id: &str, acr: Acr, headers: &HeaderMap) -> Fresh {
        let info = RequestInfo::read(headers, None, &TrustedProxies::default(), &*self.clock, &SystemRng);
        let before = self.sessions.find(headers).await.unwrap();
        let mut tx = self.store.begin().await.unwrap();
        let event = |kind, outcome| Event::new(kind, outcome, self.clock.now(), &SystemRng);
        let on = Occasion { event: &event, why: Why::Ended, now: self.clock.now(), rng: &SystemRng };
        let proven = proof(acr);
        let started = self.sessions.start(&mut tx, (user_id, &proven), (&info, headers), before.as_ref(), &on).await;
        let (fresh, ended) = started.unwrap();
        tx.commit().await.unwrap();
        ended.announce(&self.live);
        fresh
    }

    async fn grant(&self, grant_id: &str, session_id: &str) {
        let grant = Grant {
            grant_id: grant_id.to_owned(),
            client_id: "app".to_owned(),
            user_id: ADA.to_owned(),
            session_id: Some(session_id.to_owned()),
            scopes: Vec::new(),
            resources: Vec::new(),
            acr: Acr::One,
            amr: Vec::new(),
            auth_time: START,
            nonce: None,
            dpop_jkt: None,
            created_at: START,
            expires_at: START.plus(Duration::from_secs(86_400)),
            revoked_at: None,
        };
        let mut tx = self.store.begin().await.unwrap();
        grants::insert(&mut tx, &grant).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn is_in(&self, headers: &HeaderMap) -> bool {
        self.sessions.find(headers).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn e1_whoever_signs_in_over_another_ends_that_session_and_what_was_granted_in_it() {
    for it in stores().await {
        let stage = stage(it.store.clone()).await;
        assert!(!stage.is_in(&HeaderMap::new()).await);
        let first = stage.start(ADA, Acr::One, &HeaderMap::new()).await;
        let elsewhere = stage.start(ADA, Acr::One, &HeaderMap::new()).await;
        stage.grant("gr_here", &first.session_id).await;
        stage.grant("gr_elsewhere", &elsewhere.session_id).await;
        let old = sent(&first);
        assert!(stage.is_in(&old).await, "{}", it.name);
        let second = stage.start(BOB, Acr::One, &old).await;
        assert_ne!(first.session_id, second.session_id, "{}", it.name);
        assert!(!stage.is_in(&old).await && stage.is_in(&sent(&second)).await, "{}", it.name);
        assert!(stage.live.is_revoked("gr_here") && !stage.live.is_revoked("gr_elsewhere"), "{}", it.name);
    }
}

#[tokio::test]
async fn e1_a_step_up_keeps_the_id_and_changes_the_cookie() {
    for it in stores().await {
        let stage = stage(it.store.clone()).await;
        let first = stage.start(ADA, Acr::One, &HeaderMap::new()).await;
        stage.grant("gr_kept", &first.session_id).await;
        let stronger = stage.start(ADA, Acr::Three, &sent(&first)).await;
        assert!(!stage.is_in(&sent(&first)).await, "{}: the old cookie is nothing", it.name);
        let after = stage.sessions.find(&sent(&stronger)).await.unwrap().unwrap();
        assert_eq!((after.session.session_id, after.session.acr), (first.session_id, Acr::Three), "{}", it.name);
        assert!(!stage.live.is_revoked("gr_kept"), "{}", it.name);
    }
}

#[tokio::test]
async fn a_session_ends_when_it_rests_or_is_old_and_lives_on_while_it_is_used() {
    for it in stores().await {
        let stage = stage(it.store.clone()).await;
        let resting = sent(&stage.start(ADA, Acr::One, &HeaderMap::new()).await);
        let used = sent(&stage.start(ADA, Acr::One, &HeaderMap::new()).await);
        for _ in 0..5 {
            stage.clock.advance(Duration::from_secs(599));
            assert!(stage.is_in(&used).await, "{}", it.name);
        }
        assert!(!stage.is_in(&resting).await, "{}", it.name);
        stage.clock.advance(Duration::from_secs(3600 - 5 * 599));
        assert!(!stage.is_in(&used).await, "{}: its hour is over", it.name);
    }
}

#[tokio::test]
async fn b24_a_disabled_person_is_signed_in_nowhere() {
    for it in stores().await {
        let stage = stage(it.store.clone()).await;
        let headers = sent(&stage.start(ADA, Acr::One, &HeaderMap::new()).await);
        let mut tx = stage.store.begin().await.unwrap();
        let mut stored = users::find(&mut tx, ADA).await.unwrap().unwrap();
        stored.user.disabled = true;
        users::update(&mut tx, &stored.user, stored.version).await.unwrap();
        tx.commit().await.unwrap();
        stage.live.forget_users();
        assert!(!stage.is_in(&headers).await, "{}", it.name);
    }
}

#[tokio::test]
async fn what_is_no_session_s_cookie_costs_no_statement() {
    let it = &stores().await[0];
    let stage = stage(it.store.clone()).await;
    stage.store.close().await;
    let name = Cookies::new(ISSUER).name("s");
    for value in ["", "x", "stk_ss_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let headers = [(header::COOKIE, HeaderValue::from_str(&format!("{name}={value}")).unwrap())];
        assert!(stage.sessions.find(&headers.into_iter().collect()).await.unwrap().is_none(), "{value}");
    }
}
