//! Client libraries that others wrote obtain, introspect, use and revoke tokens.

use std::path::PathBuf;
use std::process::Command;

use super::stage::Stage;
use crate::support::skip;

fn installed(relative: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/outside").join(relative);
    path.exists().then_some(path)
}

fn script(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/outside").join(relative)
}

async fn drive(stage: &Stage, mut command: Command) {
    command.envs(&stage.env).env("NO_PROXY", "localhost,127.0.0.1").current_dir(stage.data());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it runs");
    assert!(
        output.status.success(),
        "{}\n{}\nthe server printed:\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        stage.process.printed(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_obtains_introspects_uses_and_revokes_tokens() {
    let Some(python) = installed("python/bin/python") else {
        return skip("authlib is not installed: run tests/outside/install");
    };
    let mut command = Command::new(python);
    command.arg(script("python/client.py"));
    drive(&Stage::dev().await, command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_obtains_introspects_uses_and_revokes_tokens() {
    let (Some(node), Some(_)) = (installed("node"), installed("node/node_modules/openid-client")) else {
        return skip("openid-client is not installed: run tests/outside/install");
    };
    let mut command = Command::new("node");
    command.arg(script("node/client.mjs")).env("OUTSIDE_NODE", node);
    drive(&Stage::dev().await, command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_binds_its_tokens_to_a_key() {
    let (Some(node), Some(_)) = (installed("node"), installed("node/node_modules/openid-client")) else {
        return skip("openid-client is not installed: run tests/outside/install");
    };
    let mut command = Command::new("node");
    command.arg(script("node/dpop.mjs")).env("OUTSIDE_NODE", node);
    drive(&Stage::dev().await, command).await;
}

/// Where Debian and others put Chromium.
fn chromium() -> Option<PathBuf> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_signs_in_by_every_way_and_axe_finds_nothing_on_any_page() {
    let (Some(node), Some(_), Some(chromium)) =
        (installed("node"), installed("node/node_modules/playwright-core"), chromium())
    else {
        return skip("chromium or playwright-core is not installed: apt-get install chromium, tests/outside/install");
    };
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    let mut command = Command::new("node");
    command.arg(script("node/pages.mjs")).env("OUTSIDE_NODE", node).env("CHROMIUM", chromium).env("SHOTS", shots);
    drive(&Stage::dev().await, command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_authenticates_with_a_key_of_its_own() {
    let (Some(node), Some(_)) = (installed("node"), installed("node/node_modules/openid-client")) else {
        return skip("openid-client is not installed: run tests/outside/install");
    };
    let stage = Stage::dev().await;
    let (private, public) = (stage.data().join("private.jwk"), stage.data().join("public.jwks"));
    let run = |act: &str| {
        let mut command = Command::new("node");
        command.arg(script("node/private_key.mjs")).arg(act).arg(&private).env("OUTSIDE_NODE", &node);
        command
    };
    let mut keys = run("keys");
    keys.arg(&public);
    drive(&stage, keys).await;
    let (public, api) = (public.to_str().expect("a path"), stage.var("API"));
    let create = ["client", "create", "--id", "signer", "--grant", "client_credentials", "--scope", "notes:read"];
    stage.cli_ok(&[&create[..], &["--resource", api, "--jwks", public]].concat());
    drive(&stage, run("use")).await;
}
