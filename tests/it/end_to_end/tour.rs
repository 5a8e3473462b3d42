//! `stockade dev --tour`: the main job, played to a reader, with commands that repeat it.

use std::process::{Command, Stdio};

use super::stage::{Stage, stockade};
use crate::support::postgres::free_port;

fn tour() -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let (port, ops) = (free_port(), free_port());
    let mut command = stockade();
    command.args(["dev", "--tour", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--ops-listen", &format!("127.0.0.1:{ops}"), "--data"]).arg(dir.path().join("data"));
    let output = command.stdin(Stdio::null()).output().expect("the tour runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (said, complained) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    (said, complained)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_shows_a_token_a_call_a_refusal_a_limit_and_the_record_and_ends_well() {
    let (said, complained) = tokio::task::spawn_blocking(tour).await.expect("joined");
    for shown in ["/oauth/token", "/demo/notes", "200", "403", "429", "/api/v1/audit/events", "audit verify"] {
        assert!(said.contains(shown), "the tour does not show {shown}:\n{said}");
    }
    for all in [&said, &complained] {
        assert!(!all.contains("stk_cs_") && !all.contains("eyJ"), "the tour printed a secret:\n{all}");
        assert!(!all.contains("panicked"), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_the_tour_prints_can_be_repeated() {
    let (said, _) = tokio::task::spawn_blocking(tour).await.expect("joined");
    let commands: Vec<&str> = said
        .lines()
        .map(|line| line.trim_start().trim_start_matches("$ "))
        .filter(|line| line.starts_with("curl ") || line.contains("=$(curl "))
        .collect();
    assert!(commands.len() >= 5, "the tour prints few commands: {commands:?}\n{said}");
    let stage = Stage::dev().await;
    // As a reader would: one shell, dev.env sourced, one command after the other.
    let script = format!("set -eu\n. \"$0\"\n{}\n", commands.join("\n"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(stage.data().join("dev.env")).env("NO_PROXY", "localhost,127.0.0.1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("sh runs");
    assert!(
        output.status.success(),
        "{script}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
