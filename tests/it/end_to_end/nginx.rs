//! A real nginx in front of a real upstream, with the configuration of `examples/nginx.conf`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::stage::{Process, Stage, until};
use crate::support::postgres::free_port;
use crate::support::skip;

/// An upstream that answers with the head of the request it received, and counts.
async fn upstream() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    if peer.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", head.len());
                peer.write_all(answer.as_bytes()).await.ok();
                peer.write_all(&head).await.ok();
            });
        }
    });
    (address, count)
}

struct Nginx {
    _process: Process,
    _dir: TempDir,
    url: String,
    reached: Arc<AtomicUsize>,
}

impl Nginx {
    async fn guarding(stage: &Stage) -> Option<Self> {
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(PathBuf::from);
        let nginx = nginx.into_iter().find(|path| path.exists())?;
        let dir = tempfile::tempdir().expect("a directory");
        let (address, reached) = upstream().await;
        let listen = format!("127.0.0.1:{}", free_port());
        let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nginx.conf"));
        let stockade = stage.issuer.replace("http://localhost", "127.0.0.1");
        let server = sample.expect("the sample").replace("STOCKADE;", &format!("{stockade};"));
        let server = server.replace("UPSTREAM;", &format!("{address};")).replace("LISTEN;", &format!("{listen};"));
        let home = dir.path().display();
        let user = if std::fs::metadata("/root").is_ok() { "user root;" } else { "" };
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {home}/{kind};\n"))
            .concat();
        let conf = format!(
            "{user}\ndaemon off;\nmaster_process off;\npid {home}/pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temp}{server}\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).expect("the configuration");
        let mut command = Command::new(nginx);
        command.arg("-p").arg(dir.path()).arg("-e").arg("stderr").arg("-c").arg(dir.path().join("nginx.conf"));
        let process = Process::start(command, &dir.path().join("nginx.log"));
        let nginx = Self { _process: process, _dir: dir, url: format!("http://{listen}"), reached };
        let address = listen.clone();
        until("nginx listens", || async { tokio::net::TcpStream::connect(&address).await.ok() }).await;
        Some(nginx)
    }

    async fn call(
        &self,
        stage: &Stage,
        method: reqwest::Method,
        path: &str,
        token: Option<&str>,
    ) -> (u16, String, String) {
        let mut request = stage.http.request(method, format!("{}{path}", self.url));
        // What a caller could try: to be somebody else, or to be asked about something else.
        for name in ["Client", "Subject", "Tenant", "Scopes", "Decision-Id", "Assertion"] {
            request = request.header(format!("X-Stockade-{name}"), "forged");
        }
        request = request.header("X-Original-URI", "/demo/notes").header("X-Original-Method", "GET");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
        let kept = if status == 401 { header("www-authenticate") } else { header("retry-after") };
        (status, kept, answer.text().await.expect("a body"))
    }
}

async fn stage() -> Stage {
    Stage::dev_with(&[("STOCKADE_SERVER__TRUSTED_PROXIES", "127.0.0.1/32")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_lets_through_what_stockade_allows_and_nothing_else() {
    let stage = stage().await;
    let Some(nginx) = Nginx::guarding(&stage).await else { return skip("nginx is not installed") };
    let token = stage.token("READER", Some(stage.var("API"))).await;
    let (get, post) = (reqwest::Method::GET, reqwest::Method::POST);

    let (status, _, head) = nginx.call(&stage, get.clone(), "/demo/notes", Some(&token)).await;
    assert_eq!(status, 200, "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.starts_with("get /demo/notes http/1.1"), "{head}");
    assert!(lower.contains(&format!("x-stockade-client: {}", stage.var("READER_CLIENT_ID")).to_lowercase()), "{head}");
    assert!(!head.contains("forged"), "a caller named itself: {head}");
    assert!(!head.contains(&token), "the token went on to the upstream: {head}");
    assert_eq!(nginx.reached.load(Ordering::SeqCst), 1);
    believed(&stage, &head).await;

    // Refused: without a token, with a broken one, by policy, on an unknown route, around a normalised path.
    let broken = format!("{token}x");
    let elsewhere = stage.token("READER", None).await;
    let refused = [
        (get.clone(), "/demo/notes", None, 401),
        (get.clone(), "/demo/notes", Some(broken.as_str()), 401),
        (post, "/demo/notes", Some(token.as_str()), 403),
        (get.clone(), "/unknown", Some(token.as_str()), 403),
        (get.clone(), "/unknown/..%2fdemo/notes", Some(token.as_str()), 403),
        (get.clone(), "/_stockade", Some(token.as_str()), 404),
    ];
    for (method, path, token, expected) in refused {
        let asked = format!("{method} {path}");
        let (status, challenge, body) = nginx.call(&stage, method, path, token).await;
        assert_eq!(status, expected, "{asked}: {body}");
        assert_eq!(expected == 401, challenge.starts_with("Bearer"), "{asked}: `{challenge}`");
    }
    if super::wire::claims(&elsewhere)["aud"] != stage.var("API") {
        assert_eq!(nginx.call(&stage, get, "/demo/notes", Some(&elsewhere)).await.0, 401, "another audience's token");
    }
    assert_eq!(nginx.reached.load(Ordering::SeqCst), 1, "a refused request reached the upstream");
}

/// What an upstream that believes the assertion alone does with the head it got.
async fn believed(stage: &Stage, head: &str) {
    let value =
        |name: &str| head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
    let (_, assertion) = value("x-stockade-assertion").unwrap_or_else(|| panic!("no assertion: {head}"));
    let keys = stage.http.get(format!("{}/.well-known/jwks.json", stage.issuer)).send().await.expect("an answer");
    let keys: jsonwebtoken::jwk::JwkSet = keys.json().await.expect("a key set");
    let header = jsonwebtoken::decode_header(assertion).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("stockade-assertion+jwt"));
    let key = keys.find(header.kid.as_deref().expect("a kid")).expect("a published key");
    let mut wanted = jsonwebtoken::Validation::new(header.alg);
    wanted.set_audience(&[stage.var("API")]);
    wanted.set_issuer(&[&stage.issuer]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a usable key");
    let said = jsonwebtoken::decode::<serde_json::Value>(assertion, &key, &wanted).expect("verifies").claims;
    assert_eq!((&said["sub"], &said["scope"]), (&stage.var("READER_CLIENT_ID").into(), &"notes:read".into()));
    assert_eq!(value("x-stockade-decision-id").map(|(_, id)| id), said["jti"].as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_behind_nginx_is_429_with_retry_after_again() {
    let stage = stage().await;
    let Some(nginx) = Nginx::guarding(&stage).await else { return skip("nginx is not installed") };
    let token = stage.token("READER", Some(stage.var("API"))).await;
    // A burst of 40, then 5 a second: within 200 calls at once the bucket is empty, however slow the machine.
    let calls = (0..200).map(|_| nginx.call(&stage, reqwest::Method::GET, "/demo/notes", Some(&token)));
    let answers = futures_util::future::join_all(calls).await;
    let limited: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
    let allowed = answers.iter().filter(|(status, ..)| *status == 200).count();
    assert_eq!(allowed + limited.len(), answers.len(), "{:?}", answers.iter().map(|a| a.0).collect::<Vec<_>>());
    assert!(allowed >= 40 && !limited.is_empty(), "{allowed} allowed");
    for (_, retry_after, _) in limited {
        assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "Retry-After: `{retry_after}`");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nginx_dialect_answers_trusted_proxies_only_and_fails_closed() {
    let stage = Stage::dev_with(&[("STOCKADE_SERVER__TRUSTED_PROXIES", "192.0.2.1/32")]).await;
    let token = stage.token("READER", Some(stage.var("API"))).await;
    let ask = |headers: &[(&'static str, &'static str)]| {
        let mut request = stage.get("/enforce/nginx", &token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    };
    let full = [("X-Original-Method", "GET"), ("X-Original-URI", "/demo/notes")];
    let answer = stage.send(ask(&full)).await;
    assert_eq!(answer.status, 403, "a stranger may not ask: {}", answer.text);

    let stage = self::stage().await;
    let token = stage.token("READER", Some(stage.var("API"))).await;
    let get = |headers: &[(&'static str, &'static str)]| {
        headers
            .iter()
            .fold(stage.get("/enforce/nginx?uri=/demo/notes&method=GET", &token), |r, (k, v)| r.header(*k, *v))
    };
    assert_eq!(stage.send(get(&full)).await.status, 200);
    for headers in [
        &[][..],
        &full[..1],
        &full[1..],
        &[("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/demo/notes")],
        &[("X-Original-Method", "GET"), ("X-Original-URI", "/demo/notes"), ("X-Original-URI", "/demo/notes")],
    ] {
        let answer = stage.send(get(headers)).await;
        assert_eq!(answer.status, 403, "with {headers:?}: {}", answer.text);
    }
    // With Stockade gone, nginx lets nothing through.
    if let Some(nginx) = Nginx::guarding(&stage).await {
        stage.process.kill();
        let (status, ..) = nginx.call(&stage, reqwest::Method::GET, "/demo/notes", Some(&token)).await;
        assert_eq!(status, 500);
        assert_eq!(nginx.reached.load(Ordering::SeqCst), 0);
    }
}
