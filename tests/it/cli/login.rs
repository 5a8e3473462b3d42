//! `stockade login` against a server that speaks RFC 8628, 8414 and 7009 and nothing else.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Said, binary};

/// What the server was asked, and how it answers the next polls.
#[derive(Debug, Default)]
struct Told {
    forms: Vec<String>,
    polls: Vec<&'static str>,
    life: u64,
}

#[derive(Clone)]
struct Server {
    issuer: String,
    told: Arc<Mutex<Told>>,
}

impl Server {
    async fn start(polls: &[&'static str], life: u64) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let issuer = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let told = Told { polls: polls.iter().rev().copied().collect(), life, ..Told::default() };
        let server = Self { issuer, told: Arc::new(Mutex::new(told)) };
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/device", post(device))
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .route("/api/v1/clients", get(clients))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    async fn run(&self, home: &std::path::Path, arguments: &[&str]) -> Said {
        let mut command = binary();
        command.env("XDG_CONFIG_HOME", home).args(arguments).args(["--server", &self.issuer]);
        tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
    }

    fn forms(&self) -> Vec<String> {
        self.told.lock().forms.clone()
    }
}

async fn metadata(State(server): State<Server>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", server.issuer);
    Json(json!({
        "issuer": server.issuer, "token_endpoint": at("/token"), "device_authorization_endpoint": at("/device"),
        "revocation_endpoint": at("/revoke"),
    }))
}

async fn device(State(server): State<Server>, form: String) -> Json<Value> {
    server.told.lock().forms.push(format!("device {form}"));
    Json(json!({
        "device_code": "the-device-code", "user_code": "WDJB-MJHT", "verification_uri": format!("{}/device", server.issuer),
        "expires_in": 60, "interval": 1,
    }))
}

async fn token(State(server): State<Server>, form: String) -> (StatusCode, Json<Value>) {
    let mut told = server.told.lock();
    told.forms.push(format!("token {form}"));
    match told.polls.pop() {
        None | Some("ok") => {
            let refresh = format!("refresh-{}", told.forms.len());
            let body = json!({
                "access_token": format!("access-{}", told.forms.len()), "token_type": "Bearer", "expires_in": told.life,
                "refresh_token": refresh,
            });
            (StatusCode::OK, Json(body))
        }
        Some(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))),
    }
}

async fn revoke(State(server): State<Server>, form: String) -> StatusCode {
    server.told.lock().forms.push(format!("revoke {form}"));
    StatusCode::OK
}

async fn clients(State(server): State<Server>, headers: HeaderMap) -> Json<Value> {
    let bearer = headers["authorization"].to_str().unwrap().to_owned();
    server.told.lock().forms.push(format!("clients {bearer}"));
    Json(json!({ "items": [], "next_cursor": null }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_is_kept_for_its_owner_alone_and_used_by_other_commands() {
    let (home, server) = (tempfile::tempdir().unwrap(), Server::start(&["authorization_pending", "ok"], 3600).await);
    let said = server.run(home.path(), &["login"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("WDJB-MJHT") && said.out.is_empty(), "{said:?}");
    assert!(!said.err.contains("access-") && !said.err.contains("refresh-"), "no token is printed: {said:?}");
    let forms = server.forms();
    assert!(
        forms[0].contains("client_id=stockade-cli")
            && forms[0].contains("scope=admin+audit%3Aread+findings%3Aread+findings%3Awrite+offline_access"),
        "{forms:?}"
    );
    assert!(forms[1].contains("device_code=the-device-code"), "{forms:?}");
    assert_eq!(forms.len(), 3, "it waited for the decision: {forms:?}");

    let dir = home.path().join("stockade/logins");
    let file = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);

    let said = server.run(home.path(), &["client", "list"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(server.forms().last().unwrap(), "clients Bearer access-3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_about_to_die_is_refreshed_and_an_ended_sign_in_is_forgotten() {
    let (home, server) = (tempfile::tempdir().unwrap(), Server::start(&["ok", "ok", "invalid_grant"], 1).await);
    assert_eq!(server.run(home.path(), &["login"]).await.code, 0);
    assert_eq!(server.run(home.path(), &["client", "list"]).await.code, 0);
    let forms = server.forms();
    assert!(forms[2].contains("grant_type=refresh_token") && forms[2].contains("refresh_token=refresh-2"), "{forms:?}");
    assert_eq!(forms[3], "clients Bearer access-3");
    let said = server.run(home.path(), &["client", "list"]).await;
    assert!(said.code == 1 && said.err.contains("the sign-in is over"), "{said:?}");
    assert!(server.forms()[4].contains("refresh_token=refresh-3"), "the newest one was kept");
    let said = server.run(home.path(), &["client", "list"]).await;
    assert!(said.code == 1 && said.err.contains("nobody is signed in"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_fails_and_keeps_nothing() {
    for (error, says) in
        [("access_denied", "refused"), ("expired_token", "in time"), ("invalid_grant", "invalid_grant")]
    {
        let (home, server) = (tempfile::tempdir().unwrap(), Server::start(&[error], 3600).await);
        let said = server.run(home.path(), &["login"]).await;
        assert!(said.code == 1 && said.err.contains(says), "{error}: {said:?}");
        assert!(!home.path().join("stockade").exists(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_sign_in_is_revoked_too() {
    let (home, server) = (tempfile::tempdir().unwrap(), Server::start(&["ok"], 3600).await);
    assert_eq!(server.run(home.path(), &["login"]).await.code, 0);
    assert_eq!(server.run(home.path(), &["logout"]).await.code, 0);
    assert!(server.forms().last().unwrap().starts_with("revoke token=refresh-2"), "{:?}", server.forms());
    assert_eq!(std::fs::read_dir(home.path().join("stockade/logins")).unwrap().count(), 0);
    let said = server.run(home.path(), &["logout"]).await;
    assert!(said.code == 0 && said.err.contains("nobody is signed in"), "{said:?}");
}
