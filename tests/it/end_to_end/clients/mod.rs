//! Clients that others wrote do with the server all that they can: libraries, a web server, a browser. Each run ends with a
//! search of everything the server left for whatever secret went over the wire.

mod apache;
mod library;
mod person;
mod upstream;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::leaks;
use super::stage::Stage;
use crate::support::skip;
use person::Seen;

/// A server whose log says all it ever says, and what its clients saw that nobody else may see.
struct Scene {
    stage: Stage,
    seen: Seen,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With more settings in its environment.
    async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = [&[("STOCKADE_LOG__LEVEL", "trace")], settings].concat();
        Self { stage: Stage::dev_with(&settings).await, seen: Seen::default() }
    }

    /// The file in which a script notes what it saw.
    fn notes(&self) -> PathBuf {
        self.stage.data().with_file_name("seen")
    }

    /// Makes a client.
    async fn client(&self, client: Value) -> Value {
        self.make("clients", client).await
    }

    /// Adds somebody; what is answered has the password.
    async fn person(&self, person: Value) -> Value {
        self.make("users", person).await
    }

    async fn make(&self, kind: &str, sent: Value) -> Value {
        let token = self.stage.token("ADMIN", None).await;
        let request = self.stage.http.post(format!("{}/api/v1/{kind}", self.stage.issuer)).bearer_auth(&token);
        let answer = self.stage.send(request.json(&sent)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        self.seen.keep(&token);
        self.seen.keep_json(answer.text.as_bytes());
        answer.json()
    }

    /// Runs a client, which must succeed.
    async fn drive(&self, mut command: Command) {
        command.envs(&self.stage.env).env("SEEN", self.notes()).env("NO_PROXY", "localhost,127.0.0.1");
        command.current_dir(self.stage.data());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it runs");
        assert!(
            output.status.success(),
            "{}\n{}\nthe server printed:\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.stage.process.printed().lines().rev().take(50).collect::<Vec<_>>().join("\n"),
        );
    }

    /// Ends the server; nothing that was seen is anywhere.
    async fn end(self) {
        for line in std::fs::read_to_string(self.notes()).unwrap_or_default().lines() {
            self.seen.keep(line);
        }
        let secrets = self.seen.all();
        assert!(secrets.len() >= 5, "only {} secrets were seen", secrets.len());
        leaks::none_of(&secrets, &self.stage).await;
    }
}

fn installed(relative: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/outside").join(relative);
    path.exists().then_some(path)
}

fn script(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/outside").join(relative)
}

/// One of the scripts for node, if it and `library` are installed.
fn node(library: &str, name: &str) -> Option<Command> {
    let home = installed("node").filter(|home| home.join("node_modules").join(library).exists())?;
    let mut command = Command::new("node");
    command.arg(script("node").join(name)).env("OUTSIDE_NODE", home);
    Some(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_signs_people_in_and_acts_for_itself() {
    let Some(python) = installed("python/bin/python") else {
        return skip("authlib is not installed: run tests/outside/install");
    };
    let run = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(script("python").join(name));
        command
    };
    let scene = Scene::new().await;
    tokio::join!(scene.drive(run("client.py")), scene.drive(run("people.py")));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_signs_people_in_and_acts_for_itself_by_every_way_it_knows() {
    let scripts = ["client.mjs", "code.mjs", "dpop.mjs", "private_key.mjs"].map(|name| node("openid-client", name));
    let [Some(client), Some(code), Some(dpop), Some(private_key)] = scripts else {
        return skip("openid-client is not installed: run tests/outside/install");
    };
    let scene = Scene::new().await;
    tokio::join!(scene.drive(client), scene.drive(code), scene.drive(dpop), scene.drive(private_key));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth4webapi_finds_nothing_amiss_with_all_of_its_checks() {
    let Some(strict) = node("oauth4webapi", "strict.mjs") else {
        return skip("oauth4webapi is not installed: run tests/outside/install");
    };
    let scene = Scene::new().await;
    scene.drive(strict).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_openid_conformance_suite_checks_of_a_provider_holds() {
    let Some(conformance) = node("oauth4webapi", "conformance.mjs") else {
        return skip("oauth4webapi is not installed: run tests/outside/install");
    };
    let scene = Scene::with(&[("STOCKADE_OUTBOUND__NETWORKS", "127.0.0.0/8,::1/128")]).await;
    scene.drive(conformance).await;
    scene.end().await;
}

/// Where Debian and others put Chromium.
fn chromium() -> Option<PathBuf> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_goes_every_way_through_the_pages_and_axe_finds_nothing_on_any() {
    let walks = ["pages.mjs", "apps.mjs"].map(|name| node("playwright-core", name));
    let ([Some(mut pages), Some(mut apps)], Some(chromium)) = (walks, chromium()) else {
        return skip("chromium or playwright-core is not installed: apt-get install chromium, tests/outside/install");
    };
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    for command in [&mut pages, &mut apps] {
        command.env("CHROMIUM", &chromium).env("SHOTS", &shots);
    }
    let scene = Scene::new().await;
    tokio::join!(scene.drive(pages), scene.drive(apps));
    scene.end().await;
}
