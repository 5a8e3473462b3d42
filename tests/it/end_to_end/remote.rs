//! The command line against a server's management API, as a client with a secret, and with a key.

use std::process::Output;

use serde_json::{Value, json};
use stockade::crypto::b64url;

use super::stage::{Stage, stockade};

/// Runs a command at the server, as a client of `dev.env` whose secret lies in a file.
fn as_client(stage: &Stage, id: &str, secret: &str, arguments: &[&str]) -> Output {
    let file = stage.data().join(format!("{id}.secret"));
    std::fs::write(&file, secret).expect("a secret file");
    let mut command = stockade();
    command.args(arguments).args(["--server", &stage.issuer, "--client-id", id, "--client-secret-file"]).arg(file);
    command.output().expect("the command runs")
}

fn as_admin(stage: &Stage, arguments: &[&str]) -> Output {
    as_client(stage, stage.var("ADMIN_CLIENT_ID"), stage.var("ADMIN_CLIENT_SECRET"), arguments)
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_commands_work_at_a_server_and_at_the_store() {
    let stage = Stage::dev().await;
    let json = ["--output", "json"];
    let made = json_of(&as_admin(&stage, &[&["client", "create", "--id", "app", "--scope", "x"], &json[..]].concat()));
    assert!(made["client_secret"].as_str().expect("a secret").starts_with("stk_cs_"));
    let there = json_of(&as_admin(&stage, &[&["client", "show", "app"], &json[..]].concat()));
    let here: Value =
        serde_json::from_str(&stage.cli_ok(&["client", "show", "app", "--output", "json"])).expect("JSON");
    assert_eq!(there, here);
    let rotated = json_of(&as_admin(&stage, &[&["client", "rotate-secret", "app"], &json[..]].concat()));
    assert_ne!(rotated["client_secret"], made["client_secret"]);
    assert_eq!(json_of(&as_admin(&stage, &[&["client", "disable", "app"], &json[..]].concat()))["disabled"], true);
    assert!(as_admin(&stage, &["client", "delete", "app"]).status.success());
    let ids = json_of(&as_admin(&stage, &[&["client", "list"], &json[..]].concat()));
    assert!(ids.as_array().expect("a list").iter().all(|client| client["client_id"] != "app"));
    let keys = json_of(&as_admin(&stage, &[&["key", "list"], &json[..]].concat()));
    assert!(!keys.as_array().expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_exit_codes_of_the_command_line() {
    let stage = Stage::dev().await;
    assert_eq!(code(&as_admin(&stage, &["client", "show", "nobody"])), Some(1), "failed");
    assert_eq!(code(&as_admin(&stage, &["client", "create", "--id", "a", "--scope", "two words"])), Some(2), "usage");
    let reader =
        as_client(&stage, stage.var("AUDITOR_CLIENT_ID"), stage.var("AUDITOR_CLIENT_SECRET"), &["client", "list"]);
    assert_eq!(code(&reader), Some(1), "refused: {reader:?}");
    let wrong = as_client(&stage, "admin", "stk_cs_wrong", &["client", "list"]);
    assert_eq!(code(&wrong), Some(1), "{wrong:?}");
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("stk_cs_wrong"));

    let run = |arguments: &[&str]| stockade().current_dir(stage.data()).args(arguments).output().expect("it runs");
    let config = stage.config.display().to_string();
    for arguments in [
        &["client", "list", "--server", "http://localhost:1", "--client-id", "a", "--client-secret-file", &config][..],
        &["client", "list", "--server", "http://auth.example", "--client-id", "a", "--client-secret-file", &config],
        &["client", "list", "--server", &stage.issuer, "--client-id", "admin"],
        &["client", "list", "--server", &stage.issuer, "--config", &config],
        &["migrate", "--server", &stage.issuer],
        &["login"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {output:?}");
    }
    let nobody = stockade().env("HOME", stage.data()).args(["client", "list", "--server", &stage.issuer]).output();
    let nobody = nobody.expect("it runs");
    assert_eq!(code(&nobody), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("stockade login --server"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_wins_over_the_environment_when_both_name_a_deployment() {
    let stage = Stage::dev().await;
    let config = stage.config.display().to_string();
    let mut command = stockade();
    command.env("STOCKADE_SERVER", "http://localhost:1").args(["client", "list", "--config", &config]);
    assert!(command.output().expect("it runs").status.success(), "the store, as the flag says");
    let mut command = stockade();
    command.env("STOCKADE_SERVER", "http://localhost:1").env("STOCKADE_CONFIG", &config).args(["client", "list"]);
    assert_eq!(code(&command.output().expect("it runs")), Some(2), "nobody can tell which");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_key_signs_its_requests() {
    let stage = Stage::dev().await;
    let pair = rcgen::KeyPair::generate().expect("a P-256 key");
    let point = pair.public_key_raw();
    let (x, y) = point[1..].split_at(32);
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": b64url::encode(x), "y": b64url::encode(y),
    }] });
    let (public, private) = (stage.data().join("ci.json"), stage.data().join("ci.pem"));
    std::fs::write(&public, jwks.to_string()).expect("the public half");
    std::fs::write(&private, pair.serialize_pem()).expect("the private half");
    let public = public.display().to_string();
    let create =
        ["client", "create", "--id", "ci", "--grant", "client_credentials", "--scope", "admin", "--jwks", &public];
    stage.cli_ok(&create);
    // The running server follows the store within a second.
    super::stage::until("the server knows the client", || async {
        let mut command = stockade();
        command.args(["client", "show", "ci", "--output", "json", "--server", &stage.issuer, "--client-id", "ci"]);
        let output = command.arg("--client-key-file").arg(&private).output().expect("it runs");
        output
            .status
            .success()
            .then(|| json_of(&output)["auth_method"].clone())
            .filter(|method| method == "private_key_jwt")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_explained_at_the_server_by_the_id_that_its_client_was_told() {
    let stage = Stage::dev().await;
    let refused = stage
        .send(stage.form_as(
            "READER",
            "/oauth/token",
            &[("grant_type", "client_credentials"), ("scope", "notes:write")],
        ))
        .await;
    assert_eq!(refused.status, 400);
    let request_id = refused.header("x-request-id");
    for json in [false, true] {
        let arguments = ["token", "explain", request_id, "--output", if json { "json" } else { "table" }];
        let secret = stage.var("AUDITOR_CLIENT_SECRET");
        let output = as_client(&stage, stage.var("AUDITOR_CLIENT_ID"), secret, &arguments);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).expect("text");
        for words in ["invalid_scope", "reader", "notes:write", "client_credentials", "127.0.0.1"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    let token = stage.token("DEMO", None).await;
    let told = json_of(&as_admin(&stage, &["token", "explain", &token, "--output", "json"]));
    assert_eq!((&told[0]["verdict"], &told[0]["client_id"]), (&"issued".into(), &"demo".into()));
    let here = stage.cli_ok(&["token", "explain", told[0]["jti"].as_str().expect("an id"), "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&here).expect("JSON")[0]["id"], told[0]["id"]);
    assert!(as_admin(&stage, &["token", "revoke", &token]).status.success());
    assert_eq!(code(&as_admin(&stage, &["token", "introspect", &token])), Some(1));
    let people = json_of(&as_admin(&stage, &["user", "list", "--output", "json"]));
    assert_eq!(people[0]["username"], "demo");
}

fn as_auditor(stage: &Stage, arguments: &[&str]) -> Output {
    as_client(stage, stage.var("AUDITOR_CLIENT_ID"), stage.var("AUDITOR_CLIENT_SECRET"), arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_searched_exported_and_its_head_read_at_a_server() {
    let stage = Stage::dev().await;
    for _ in 0..3 {
        stage.token("DEMO", None).await;
    }
    let found = json_of(&as_auditor(
        &stage,
        &["audit", "query", "--kind", "token.issued", "--principal", "demo", "--output", "json"],
    ));
    let found = found.as_array().expect("events");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0]["seq"].as_i64() > found[1]["seq"].as_i64(), "newest first");
    let one =
        json_of(&as_auditor(&stage, &["audit", "query", "--principal", "demo", "--limit", "1", "--output", "json"]));
    assert_eq!(one.as_array().expect("events").len(), 1);
    let wrong =
        as_auditor(&stage, &["audit", "query", "--since", "2020-01-02T00:00:00Z", "--until", "2020-01-01T00:00:00Z"]);
    assert_eq!(code(&wrong), Some(2), "{wrong:?}");

    let refused = as_auditor(&stage, &["audit", "export"]);
    assert!(
        code(&refused) == Some(1) && refused.stdout.is_empty(),
        "who reads may not take all of it away: {refused:?}"
    );
    let export = as_admin(&stage, &["audit", "export"]);
    assert!(export.status.success(), "{export:?}");
    let file = stage.data().join("log.ndjson");
    std::fs::write(&file, &export.stdout).expect("written");
    let file = file.display().to_string();
    let verified = stockade().args(["audit", "verify", &file]).output().expect("it runs");
    assert!(verified.status.success(), "{verified:?}");
    assert!(stage.cli(&["audit", "verify", &file]).status.success(), "by the key of the deployment");
    let taken =
        stage.cli_ok(&["audit", "query", "--action", "audit:export", "--outcome", "allowed", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&taken).expect("JSON").as_array().expect("events").len(), 1);

    super::stage::until("a head is signed", || async {
        let head = as_auditor(&stage, &["audit", "checkpoint"]);
        head.status.success().then(|| String::from_utf8(head.stdout).expect("text"))
    })
    .await;
    assert_eq!(code(&as_auditor(&stage, &["audit", "checkpoint", "--anew"])), Some(2));
    assert_eq!(code(&as_auditor(&stage, &["audit", "verify"])), Some(2), "an export verifies, not a server's word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_followed_at_a_server() {
    let stage = Stage::dev().await;
    let secret = stage.data().join("auditor.secret");
    std::fs::write(&secret, stage.var("AUDITOR_CLIENT_SECRET")).expect("written");
    let mut command = stockade();
    command.args(["audit", "tail", "--lines", "0", "--server", &stage.issuer, "--client-id", "auditor"]);
    command.arg("--client-secret-file").arg(&secret);
    let tail = super::stage::Process::start(command, &stage.data().join("tail.log"));
    super::stage::until("an event that came meanwhile is told", || async {
        stage.token("READER", None).await;
        tail.printed().contains("Client::\"reader\"").then_some(())
    })
    .await;
    assert!(!tail.printed().contains("audit.read"), "its own looking is not: {}", tail.printed());
    tail.kill();
}
