//! `stockade try` against `stockade dev`: the binary is the client, the test is the person in the browser.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};

use http::{StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::dev::{Server, dev, value};
use super::{Said, binary, run_in};
use crate::login::browser::Page;
use crate::support::postgres::free_port;

/// A browser of one person.
struct Browser {
    http: reqwest::Client,
    issuer: String,
    jar: Mutex<Vec<(String, String)>>,
}

impl Browser {
    fn new(issuer: String) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, issuer, jar: Mutex::default() }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let line = self.jar.lock().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let answer = request.header(header::COOKIE, line).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        for set in headers.get_all(header::SET_COOKIE) {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            let mut jar = self.jar.lock();
            jar.retain(|(known, _)| known != name);
            if !rest.contains("Max-Age=0") {
                jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        Page { status, headers, html: answer.text().await.unwrap() }
    }

    /// Opens an address, or a path of the server, and goes where it leads; says where it ended when that is elsewhere.
    async fn open(&self, url: &str) -> Result<Page, String> {
        let mut url = url.to_owned();
        for _ in 0..10 {
            if url.starts_with('/') {
                url = format!("{}{url}", self.issuer);
            }
            if !url.starts_with(&self.issuer) {
                return Err(url);
            }
            let page = self.send(self.http.get(&url)).await;
            if page.status != StatusCode::SEE_OTHER {
                return Ok(page);
            }
            page.leads_to().clone_into(&mut url);
        }
        panic!("redirected for ever: {url}")
    }

    /// Presses the page's button.
    async fn press(&self, page: &Page, fields: &[(&str, &str)]) -> Result<Page, String> {
        let (action, mut all) = page.form();
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = self.http.post(format!("{}{action}", self.issuer)).header("sec-fetch-site", "same-origin");
        let page = self.send(request.header(header::ORIGIN, &self.issuer).form(&all)).await;
        if page.status == StatusCode::SEE_OTHER { self.open(page.leads_to()).await } else { Ok(page) }
    }
}

/// The client at work: its lines as they come.
struct Trial {
    child: Child,
    lines: UnboundedReceiver<String>,
    seen: String,
}

impl Trial {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = binary();
        command.current_dir(data).arg("try").args(arguments).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = unbounded_channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, seen: String::new() }
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(std::time::Duration::from_secs(60), self.lines.recv());
        let line = line.await.expect("a line within a minute")?;
        self.seen.push_str(&format!("{line}\n"));
        Some(line)
    }

    /// What follows `start` on the line that begins with it.
    async fn told(&mut self, start: &str) -> String {
        while let Some(line) = self.line().await {
            if let Some(rest) = line.trim_start().strip_prefix(start) {
                return rest.to_owned();
            }
        }
        panic!("it ended before it said `{start}`: {}", self.seen)
    }

    async fn ended(mut self) -> Said {
        while self.line().await.is_some() {}
        let code = self.child.wait().unwrap().code().unwrap();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Said { code, out: self.seen, err }
    }
}

/// `stockade dev` in a directory of its own.
struct Stage {
    dir: tempfile::TempDir,
    issuer: String,
    _server: Server,
}

impl Stage {
    async fn start() -> Self {
        let (dir, port, ops) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let mut server = Server::start(dev(&dir.path().join("data"), port, ops));
        server.ready(ops).await;
        Self { dir, issuer: format!("http://localhost:{port}"), _server: server }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn var(&self, name: &str) -> String {
        value(&self.data(), name)
    }

    async fn sign_in(&self, browser: &Browser, page: &Page) -> Page {
        let (name, password) = (self.var("DEMO_USER"), self.var("DEMO_PASSWORD"));
        browser.press(page, &[("username", &name), ("password", &password)]).await.unwrap()
    }
}

/// Nothing that could be used is printed.
fn discreet(said: &Said, secrets: &[&str]) {
    for text in [&said.out, &said.err] {
        assert!(!text.contains("eyJ"), "a token is printed: {text}");
        for secret in secrets {
            assert!(!text.contains(secret), "a secret is printed: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_are_played_with_the_demo_client_and_with_any_other() {
    let stage = Stage::start().await;
    let secret = stage.var("DEMO_CLIENT_SECRET");
    let said = run_in(&stage.data(), &["try", "cc", "--scope", "notes:read"]);
    assert_eq!(said.code, 0, "{said:?}");
    for part in ["\"active\":true", "\"sub\":\"demo\"", "(signature)", "scope notes:read"] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    discreet(&said, &[&secret]);

    let file = stage.dir.path().join("secret");
    std::fs::write(&file, stage.var("READER_CLIENT_SECRET")).unwrap();
    let file = file.to_str().unwrap();
    let server = ["--server", &stage.issuer, "--client-id", "reader", "--client-secret-file", file];
    let said = run_in(stage.dir.path(), &[&["try", "cc"], &server[..]].concat());
    assert!(said.code == 0 && said.out.contains("\"sub\":\"reader\""), "{said:?}");
    std::fs::write(file, "st_cs_wrong").unwrap();
    let said = run_in(stage.dir.path(), &[&["try", "cc"], &server[..]].concat());
    assert!(said.code == 1 && said.err.contains("invalid_client"), "{said:?}");
    let said = run_in(stage.dir.path(), &["try", "cc", "--server", &stage.issuer]);
    assert!(said.code == 2 && said.err.contains("--client-id"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_by_code_and_everything_that_comes_back_is_checked() {
    let stage = Stage::start().await;
    let mut trial = Trial::start(&stage.data(), &["code"]);
    let url = trial.told("open ").await;
    assert!(url.contains("request_uri=") && !url.contains("scope="), "the request was pushed: {url}");
    let browser = Browser::new(stage.issuer.clone());
    let login = browser.open(&url).await.unwrap();
    let consent = stage.sign_in(&browser, &login).await;
    let back = browser.press(&consent, &[]).await.unwrap_err();
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let answer = browser.http.get(&back).send().await.unwrap();
    assert!(answer.status().is_success() && answer.text().await.unwrap().contains("can be closed"));
    let said = trial.ended().await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in ["pushes its request", "the `iss` of this server", "it is about `usr_", "   200 {", "it rotates"] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    discreet(&said, &[&code, &stage.var("DEMO_PASSWORD")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_and_an_answer_to_something_else_are_told() {
    let stage = Stage::start().await;
    let mut trial = Trial::start(&stage.data(), &["code", "--scope", "openid"]);
    let url = trial.told("open ").await;
    let browser = Browser::new(stage.issuer.clone());
    let login = browser.open(&url).await.unwrap();
    let consent = stage.sign_in(&browser, &login).await;
    let refuse =
        consent.html.split("href=\"").find(|rest| rest.contains(">Refuse<") || rest.starts_with("/consent/refuse"));
    let refuse = crate::login::browser::unescape(refuse.expect("a link").split('"').next().unwrap());
    let back = browser.open(&refuse).await.unwrap_err();
    browser.http.get(&back).send().await.unwrap();
    let said = trial.ended().await;
    assert!(said.code == 1 && said.err.contains("access_denied"), "{said:?}");

    let mut trial = Trial::start(&stage.data(), &["code", "--scope", "openid"]);
    let url = trial.told("open ").await;
    assert!(url.contains("request_uri"));
    let port = back.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!(browser.http.get(format!("http://127.0.0.1:{port}/callback")).send().await.is_err(), "that one is gone");
    drop(trial.child.kill());
    drop(trial.child.wait());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_let_in_by_a_person_elsewhere() {
    let stage = Stage::start().await;
    let mut trial = Trial::start(&stage.data(), &["device"]);
    let url = trial.told("or open ").await;
    assert!(trial.seen.contains("/device and enter "), "{}", trial.seen);
    let browser = Browser::new(stage.issuer.clone());
    let login = browser.open(&url).await.unwrap();
    let asked = stage.sign_in(&browser, &login).await;
    let done = browser.press(&asked, &[]).await.unwrap();
    assert_eq!(done.title(), "Your device is connected");
    let said = trial.ended().await;
    assert_eq!(said.code, 0, "{said:?}");
    for part in ["it is about `usr_", "it rotates"] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    discreet(&said, &[&stage.var("DEMO_PASSWORD")]);
}
