//! Clients that ask for tokens as fast as they can, and remember what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::stage::Stage;
use super::wire::jti;

/// What the clients saw so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The `jti` of every token that reached a client.
    pub(super) issued: Mutex<Vec<String>>,
    /// The `jti` of every token whose revocation was acknowledged.
    pub(super) revoked: Mutex<Vec<String>>,
    /// Statuses other than 200, and how often.
    pub(super) refused: Mutex<std::collections::BTreeMap<u16, usize>>,
    stop: AtomicBool,
}

impl Seen {
    /// How many tokens reached a client.
    pub(super) fn count(&self) -> usize {
        self.issued.lock().len()
    }
}

/// Clients at work on one server.
pub(super) struct Load {
    pub(super) seen: Arc<Seen>,
    clients: JoinSet<()>,
}

impl Load {
    /// `clients` of them, each with connections of its own. A client whose connection breaks goes on; every tenth
    /// token is revoked again.
    pub(super) fn start(stage: &Stage, clients: usize) -> Self {
        Self::as_client(stage, stage.var("DEMO_CLIENT_ID"), stage.var("DEMO_CLIENT_SECRET"), clients)
    }

    /// [`Load::start`] with another client's credentials.
    pub(super) fn as_client(stage: &Stage, id: &str, secret: &str, clients: usize) -> Self {
        let mut load = Self { seen: Arc::default(), clients: JoinSet::new() };
        for _ in 0..clients {
            let seen = Arc::clone(&load.seen);
            let (http, issuer) = (stage.http.clone(), stage.issuer.clone());
            let (id, secret) = (id.to_owned(), secret.to_owned());
            load.clients.spawn(async move {
                let post = |path: &str| http.post(format!("{issuer}{path}")).basic_auth(&id, Some(&secret));
                let mut turn = 0;
                while !seen.stop.load(Ordering::Relaxed) {
                    let asked = post("/oauth/token").form(&[("grant_type", "client_credentials")]).send().await;
                    let Some(token) = token_of(asked, &seen).await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    seen.issued.lock().push(jti(&token));
                    turn += 1;
                    if turn % 10 == 0 {
                        let revoked = post("/oauth/revoke").form(&[("token", &*token)]).send().await;
                        if revoked.is_ok_and(|answer| answer.status() == 200) {
                            seen.revoked.lock().push(jti(&token));
                        }
                    }
                }
            });
        }
        load
    }

    /// Lets every client finish what it has begun.
    pub(super) async fn stop(mut self) -> Arc<Seen> {
        self.seen.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client");
        }
        self.seen
    }
}

async fn token_of(asked: Result<reqwest::Response, reqwest::Error>, seen: &Seen) -> Option<String> {
    let answer = asked.ok()?;
    if answer.status() != 200 {
        *seen.refused.lock().entry(answer.status().as_u16()).or_default() += 1;
        return None;
    }
    let body: serde_json::Value = answer.json().await.ok()?;
    Some(body["access_token"].as_str().expect("an access token").to_owned())
}
