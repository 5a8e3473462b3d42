//! `stockade login` against our own server: a person opens the page that it names, signs in, allows it, and other commands ask
//! as that person.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use super::browser::{Browser, between};
use super::stage::{Process, Stage, stockade, until};

/// Where a person's command line keeps what it keeps.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn command(&self, stage: &Stage, arguments: &[&str]) -> std::process::Command {
        let mut command = stockade();
        command.env("XDG_CONFIG_HOME", self.0.path()).args(arguments).args(["--server", &stage.issuer]);
        command
    }

    fn run(&self, stage: &Stage, arguments: &[&str]) -> Output {
        self.command(stage, arguments).output().expect("it runs")
    }

    /// The file of the one sign-in.
    fn kept(&self) -> PathBuf {
        let logins = std::fs::read_dir(self.0.path().join("stockade/logins")).expect("the directory");
        let all: Vec<_> = logins.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    fn kept_json(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.kept()).expect("the file")).expect("JSON")
    }
}

/// Runs `stockade login`, and does in a browser what it says, as `username`; what it printed.
async fn sign_in(stage: &Stage, home: &Home, username: &str, password: &str) -> String {
    let login = Process::start(home.command(stage, &["login"]), &home.0.path().join("login.log"));
    let link = until("the link to open", || async {
        let printed = login.printed();
        between(&printed, "or open ", "\n").map(str::to_owned)
    })
    .await;
    let browser = Browser::new(stage);
    let page = browser.open(&link).await;
    let page = browser.submit(&page, &[("username", username), ("password", password)]).await;
    let code = between(&login.printed(), "and enter ", "\n").expect("a code").to_owned();
    assert!(page.contains("Stockade command line") && page.contains(&code), "{page}");
    let page = browser.submit(&page, &[]).await;
    assert!(page.contains("Your device is connected"), "{page}");
    assert!(login.ended().await.success(), "{}", login.printed());
    login.printed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_signs_in_works_is_refreshed_and_signs_out() {
    let (stage, home) = (Stage::dev().await, Home::new());
    let made = stage.cli_ok(&["user", "create", "root", "--role", "admin", "--output", "json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let printed = sign_in(&stage, &home, "root", made["password"].as_str().expect("a password")).await;
    assert!(printed.contains("for admin, audit:read, findings:read, findings:write, offline_access"), "{printed}");
    let file = home.kept();
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let first = home.kept_json();
    assert!(!printed.contains(first["access_token"].as_str().expect("a token")), "no token is printed");
    assert_eq!(first["server"], stage.issuer.as_str());

    let people = home.run(&stage, &["user", "list", "--output", "json"]);
    assert!(people.status.success(), "{people:?}");
    let by = stage.cli_ok(&["audit", "query", "--action", "user:list", "--output", "json"]);
    let by: Value = serde_json::from_str(&by).expect("JSON");
    let who = format!("User::{:?}", made["user_id"].as_str().expect("an id"));
    assert!(by.as_array().expect("events").iter().any(|event| event["principal"] == who.as_str()), "{by}");

    // Its token is about to end: the next command refreshes it, and keeps what it got.
    let mut ending = first.clone();
    ending["expires_at"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&file, ending.to_string()).expect("written");
    assert!(home.run(&stage, &["client", "list"]).status.success());
    let second = home.kept_json();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"], "a public client's token is rotated");

    assert!(home.run(&stage, &["logout"]).status.success());
    assert_eq!(std::fs::read_dir(file.parent().expect("a directory")).expect("there").count(), 0);
    let token = second["access_token"].as_str().expect("a token");
    let answer = stage.send(stage.get("/api/v1/users", token)).await;
    assert_eq!(answer.status, 401, "what was kept is worth nothing: {}", answer.text);
    let nobody = home.run(&stage, &["user", "list"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nobody is signed in"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_role_signs_in_and_may_nothing() {
    let (stage, home) = (Stage::dev().await, Home::new());
    let printed = sign_in(&stage, &home, stage.var("DEMO_USER"), stage.var("DEMO_PASSWORD")).await;
    assert!(printed.contains("not given: admin, audit:read, findings:read, findings:write"), "{printed}");
    let refused = home.run(&stage, &["user", "list"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_login_is_registered_once_by_one_command() {
    let stage = Stage::dev().await;
    let known = stage.cli(&["login", "--register"]);
    assert_eq!(known.status.code(), Some(1), "`dev` has it: {known:?}");
    stage.cli_ok(&["client", "delete", "stockade-cli"]);
    stage.cli_ok(&["login", "--register"]);
    let client: Value =
        serde_json::from_str(&stage.cli_ok(&["client", "show", "stockade-cli", "--output", "json"])).expect("JSON");
    assert_eq!((&client["kind"], &client["default_resource"]), (&"public".into(), &stage.issuer.as_str().into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ci_proves_itself_by_what_is_in_its_environment() {
    let stage = Stage::dev().await;
    let list = |name: &str, value: &str| {
        let mut command = stockade();
        command.env("STOCKADE_SERVER", &stage.issuer).env("STOCKADE_CLIENT_ID", "admin").env(name, value);
        command.args(["user", "list"]).output().expect("it runs")
    };
    let secret = stage.var("ADMIN_CLIENT_SECRET");
    assert!(list("STOCKADE_CLIENT_SECRET", secret).status.success());
    let wrong = list("STOCKADE_CLIENT_SECRET", "stk_cs_wrong");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert_eq!(list("STOCKADE_CLIENT_KEY", "no key").status.code(), Some(2));
}
