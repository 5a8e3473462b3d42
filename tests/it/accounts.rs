//! What ends for a person, on both databases.

use std::sync::Arc;
use std::time::Duration;

use stockade::accounts::{self, Occasion, Why};
use stockade::base::{Clock, ManualClock, Secret, SystemRng, Timestamp};
use stockade::live::Live;
use stockade::model::event::kind;
use stockade::model::{Acr, Client, Event, Grant, Outcome, Session, User};
use stockade::store::{Store, clients, events, grants, logout_deliveries, sessions, users};

use crate::store::client;
use crate::store::people::grant;
use crate::support::events::said;
use crate::support::stores::stores;

const ISSUER: &str = "https://issuer.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Stage {
    store: Store,
    live: Arc<Live>,
    ada: User,
}

fn at(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

fn event(kind: &'static str, outcome: Outcome) -> Event {
    Event::new(kind, outcome, NOW, &SystemRng)
}

impl Stage {
    async fn new(store: &Store) -> Self {
        let mut tx = store.begin().await.expect("begin");
        let ada = User::new("usr_ada".to_owned(), "ada".to_owned(), NOW);
        users::insert(&mut tx, &ada).await.expect("insert");
        for (id, uri) in [("app", Some("https://app.example/out")), ("tv", None)] {
            let made = Client { backchannel_logout_uri: uri.map(str::to_owned), ..client(id) };
            clients::insert(&mut tx, &made).await.expect("insert");
        }
        tx.commit().await.expect("commit");
        let keys = [Secret::new("a sealing key of thirty-two chars".to_owned())];
        let sealer = stockade::live::sealer(&keys).expect("long");
        let clock = Arc::new(ManualClock::at(NOW)) as Arc<dyn Clock>;
        let live = Arc::new(Live::load(store.clone(), sealer, ISSUER, clock).await.expect("loads"));
        Self { store: store.clone(), live, ada }
    }

    async fn session(&self, number: u8) -> Session {
        let session = Session {
            session_id: format!("ses_{number}"),
            user_id: self.ada.user_id.clone(),
            acr: Acr::One,
            amr: vec!["pwd".to_owned()],
            auth_time: NOW,
            created_at: NOW,
            last_seen_at: NOW,
            expires_at: at(3600),
            address: None,
            user_agent: None,
        };
        let mut tx = self.store.begin().await.expect("begin");
        sessions::insert(&mut tx, &[number; 32], &session).await.expect("insert");
        tx.commit().await.expect("commit");
        session
    }

    async fn family(&self, id: &str, client_id: &str, session: &Session, scope: &str) {
        let family = Grant {
            client_id: client_id.to_owned(),
            session_id: Some(session.session_id.clone()),
            scopes: vec![scope.to_owned()],
            ..grant(id, &self.ada)
        };
        let mut tx = self.store.begin().await.expect("begin");
        grants::insert(&mut tx, &family).await.expect("insert");
        tx.commit().await.expect("commit");
    }

    async fn recorded(&self) -> Vec<String> {
        let waiting = events::waiting_after(&mut self.store.read().await.expect("read"), -1, 100).await;
        waiting
            .expect("answers")
            .into_iter()
            .map(|waiting| said(&waiting.entry)["kind"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn with_a_session_end_its_families_and_its_clients_are_told() {
    for test in stores().await {
        let stage = Stage::new(&test.store).await;
        let session = stage.session(1).await;
        stage.family("gr_1", "app", &session, "openid").await;
        stage.family("gr_2", "tv", &session, "openid").await;
        stage.family("gr_3", "app", &session, "offline_access").await;
        let end = async || {
            let on = Occasion { event: &event, why: Why::Logout, now: at(2), rng: &SystemRng };
            let mut tx = stage.store.begin().await.expect("begin");
            let ended = accounts::end_session(&mut tx, &stage.live, &session, &on).await.expect("ends");
            tx.commit().await.expect("commit");
            ended
        };
        let ended = end().await;
        let mut ids: Vec<_> = ended.revoked.iter().map(|family| family.grant_id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["gr_1", "gr_2"], "{}: what is offline outlives it", test.name);
        assert!(!stage.live.is_revoked("gr_1"), "not before it is announced");
        ended.announce(&stage.live);
        assert!(stage.live.is_revoked("gr_1") && !stage.live.is_revoked("gr_3"));
        let mut reader = test.store.read().await.expect("read");
        assert_eq!(sessions::find(&mut reader, &[1; 32]).await.expect("find"), None, "{}", test.name);
        drop(reader);
        assert_eq!(end().await, accounts::Ended::default(), "{}: once", test.name);
        let mut tx = stage.store.begin().await.expect("begin");
        let due = logout_deliveries::take(&mut tx, at(2), at(60), 10).await.expect("take");
        let told: Vec<_> = due.iter().map(|d| (d.client_id.as_str(), d.session_id.as_deref())).collect();
        assert_eq!(told, [("app", Some("ses_1"))], "{}", test.name);
        drop(tx);
        let kinds = stage.recorded().await;
        let count = |kind| kinds.iter().filter(|k| *k == kind).count();
        assert_eq!((count(kind::SESSION_ENDED), count(kind::GRANT_REVOKED)), (1, 2), "{}: {kinds:?}", test.name);
    }
}

#[tokio::test]
async fn b14_when_a_person_is_disabled_or_reset_everything_they_have_ends() {
    for test in stores().await {
        let stage = Stage::new(&test.store).await;
        let (one, two) = (stage.session(1).await, stage.session(2).await);
        stage.family("gr_1", "app", &one, "offline_access").await;
        stage.family("gr_2", "tv", &two, "openid").await;
        let mut tx = stage.store.begin().await.expect("begin");
        let on = Occasion { event: &event, why: Why::Reset, now: at(1), rng: &SystemRng };
        let kept = accounts::end_sessions(&mut tx, &stage.live, "usr_ada", Some("ses_1"), &on).await.expect("ends");
        assert_eq!(kept.sessions, ["ses_2"], "{}", test.name);
        let ended = kept.and(accounts::end_everything(&mut tx, &stage.live, "usr_ada", &on).await.expect("ends"));
        tx.commit().await.expect("commit");
        assert_eq!((ended.sessions.len(), ended.revoked.len()), (2, 2), "{}", test.name);
        let mut reader = test.store.read().await.expect("read");
        assert!(sessions::of_user(&mut reader, "usr_ada").await.expect("list").is_empty());
        assert!(grants::live_of_user(&mut reader, "usr_ada", at(1), 10).await.expect("list").is_empty());
    }
}
