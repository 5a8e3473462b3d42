//! People: the code flow, refreshing, userinfo, a storm of wrong passwords, many sessions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use stockade::base::{Clock as _, SystemClock, SystemRng, id};
use stockade::crypto::secret_text::{self, Kind};
use stockade::model::{Acr, Session};
use stockade::store::{Store, sessions, users};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::load::{self, FORM, Requests, form, get, post};
use crate::process::Server;
use crate::report::{Bound, Report};
use crate::stage::{self, Stockade};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(2000);
const CONNECTIONS: usize = 32;
const REFRESHING: usize = 64;
const GUESSING: usize = 100;
/// Token requests a second while passwords are guessed.
const STEADY: u64 = 500;
const SESSIONS: usize = 100_000;
/// A code verifier and its S256 challenge (RFC 7636, appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT_URI: &str = "https%3A%2F%2Fclient.example%2Fcb";

/// Adds the lines of people.
pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure_all(report));
}

/// An answer with whatever status.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |line: &'a str| line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().filter_map(named).map(|(_, value)| value.trim())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.head, self.body))
    }
}

/// A keep-alive connection that takes every answer.
struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("the request is sent");
        let head = load::answer(&mut self.stream, &mut self.buffer).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = (text(&self.buffer[..head]), text(&self.buffer[head..]));
        Answer { status: head.get(9..12).and_then(|text| text.parse().ok()).expect("a status"), head, body }
    }
}

/// Where a server has what, and who asks.
#[derive(Clone)]
struct Flow {
    address: String,
    par: &'static str,
    authorize: &'static str,
    token: &'static str,
    client: (String, String),
    cookie: String,
    scope: &'static str,
}

impl Flow {
    /// What is asked for; pushed first by a client with a secret.
    fn asked(&self) -> String {
        format!(
            "response_type=code&client_id={}&redirect_uri={REDIRECT_URI}&scope={}&state=s&nonce=n\
             &code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.client.0, self.scope
        )
    }

    fn post(&self, path: &str, body: &str) -> Vec<u8> {
        match (&*self.client.0, &*self.client.1) {
            (id, "") => post(path, FORM, &format!("client_id={id}&{body}")),
            client => form(path, client, body),
        }
    }

    /// One flow from the request to the tokens; the person is signed in and has agreed.
    async fn play(&self, line: &mut Line) -> serde_json::Value {
        let mut path = format!("{}?{}", self.authorize, self.asked());
        if !self.client.1.is_empty() {
            let pushed = line.ask(&self.post(self.par, &self.asked())).await.json();
            let uri = pushed["request_uri"].as_str().expect("a request URI").replace(':', "%3A");
            path = format!("{}?client_id={}&request_uri={uri}", self.authorize, self.client.0);
        }
        let code = loop {
            let answer = line.ask(&get(&path, &format!("Cookie: {}\r\n", self.cookie))).await;
            let to = answer.header("location").unwrap_or_else(|| panic!("{}{}", answer.head, answer.body)).to_owned();
            match to.split_once("?code=").or_else(|| to.split_once("&code=")) {
                Some((_, code)) => break code.split('&').next().expect("a code").to_owned(),
                None => path = to,
            }
        };
        let body =
            format!("grant_type=authorization_code&code={code}&redirect_uri={REDIRECT_URI}&code_verifier={VERIFIER}");
        line.ask(&self.post(self.token, &body)).await.json()
    }
}

/// How many flows a second.
async fn flows(flow: &Flow) -> f64 {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let flow = flow.clone();
        tasks.spawn(async move {
            let (mut line, mut count) = (Line::open(&flow.address).await, 0_u32);
            while begun.elapsed() < TIME {
                let tokens = flow.play(&mut line).await;
                assert!(tokens["id_token"].is_string(), "{tokens}");
                count += 1;
            }
            count
        });
    }
    let count: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// The browser in which the demo's person signed in and agreed to what `web` asks for: its cookies.
async fn signed_in(server: &Stockade, web: &Flow) -> String {
    let mut line = Line::open(&server.server.address).await;
    let mut jar: BTreeMap<String, String> = BTreeMap::new();
    let mut path = format!("{}?{}", web.authorize, web.asked());
    let mut body: Option<String> = None;
    for _ in 0..10 {
        let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = format!("Cookie: {}\r\nSec-Fetch-Site: same-origin\r\n", cookies.join("; "));
        let request = match body.take() {
            Some(body) => post(&path, &format!("{headers}{FORM}Origin: {}\r\n", server.env["ISSUER"]), &body),
            None => get(&path, &headers),
        };
        let answer = line.ask(&request).await;
        for set in answer.all("set-cookie") {
            let (name, value) = set.split(';').next().and_then(|set| set.split_once('=')).expect("a cookie");
            jar.insert(name.to_owned(), value.to_owned());
        }
        if let Some(to) = answer.header("location") {
            if to.starts_with("https://client.example/") {
                let held = jar.iter().filter(|(name, _)| name.ends_with("-s"));
                return held.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            }
            path = to.strip_prefix(&server.env["ISSUER"]).unwrap_or(to).to_owned();
            continue;
        }
        assert_eq!(answer.status, 200, "{}{}", answer.head, answer.body);
        let page = answer.body.replace("&amp;", "&");
        let after = |text: &str, from: &str| text.split_once(from).map(|(_, rest)| rest.to_owned());
        let quoted = |text: Option<String>| text.and_then(|rest| rest.split('"').next().map(str::to_owned));
        let csrf = quoted(after(&page, "name=\"csrf\" value=\"")).expect("a CSRF token");
        let action = quoted(after(&page, "<form method=\"post\" action=\""));
        path = action.unwrap_or_else(|| panic!("no form: {page}"));
        let who =
            [("csrf", &*csrf), ("username", &server.env["DEMO_USER"]), ("password", &server.env["DEMO_PASSWORD"])];
        body = Some(serde_urlencoded::to_string(who).expect("a form"));
    }
    panic!("nobody gets signed in: {path}")
}

async fn measure_all(report: &mut Report) {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let stockade = Stockade::dev(home.path(), "people", "queued", stage::unlimited).await;
    let scope = "openid%20offline_access";
    let web = |id: &str, more: &[&str]| {
        let grant = ["--grant", "authorization_code", "--scope", "openid"];
        let rest = ["--redirect-uri", "https://client.example/cb", "--id-token-alg", "ES256"];
        let flags = [&grant[..], &rest, more].concat();
        let client = (id.to_owned(), stockade.create_client(id, &flags));
        let (par, authorize, token) = ("/oauth/par", "/oauth/authorize", "/oauth/token");
        let address = stockade.server.address.clone();
        Flow { address, par, authorize, token, client, cookie: String::new(), scope: "openid" }
    };
    let mut ours = web("bench-web", &[]);
    // A running server follows the command line within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ours.cookie = signed_in(&stockade, &ours).await;

    code_flow(report, &ours).await;
    userinfo(report, &stockade, &ours).await;
    refreshing(report, &stockade, &Flow { scope, ..ours.clone() }).await;
    storm(report, &stockade).await;
    many_sessions(report, &stockade, &ours.cookie).await;
}

/// The code flow against oidc-provider's, round after round.
async fn code_flow(report: &mut Report, ours: &Flow) {
    let Some(peer) = stage::peer_with_people().await else {
        report.left_out.push("npm oidc-provider is not installed: no code flow is measured against it".to_owned());
        return;
    };
    let cookie = load::once(&peer.address, &get("/cookie", "")).await;
    let theirs = Flow {
        address: peer.address.clone(),
        par: "/request",
        authorize: "/auth",
        token: "/token",
        client: ("client-1".to_owned(), "secret-1-0123456789abcdef".to_owned()),
        cookie,
        scope: "openid",
    };
    let mut best = [0.0_f64; 2];
    for _ in 0..ROUNDS {
        for (flow, best) in [ours, &theirs].into_iter().zip(&mut best) {
            *best = best.max(flows(flow).await);
        }
    }
    let name = "code flow with PAR, consent remembered, against oidc-provider";
    report.line(name, "flows/s", best[0], best[1], Bound::AtLeast(3.0));
}

async fn userinfo(report: &mut Report, stockade: &Stockade, flow: &Flow) {
    let layers = stage::floor("layers").await;
    let tokens = flow.play(&mut Line::open(&flow.address).await).await;
    let bearer = format!("Authorization: Bearer {}\r\n", tokens["access_token"].as_str().expect("a token"));
    let cases = [
        (&stockade.server, Requests::over_and_over(vec![get("/oauth/userinfo", &bearer)])),
        (&layers, Requests::over_and_over(vec![get("/hello", "")])),
    ];
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        for ((server, requests), best) in cases.iter().zip(&mut best) {
            let before = server.cpu();
            let answers = load::run(&server.address, requests, CONNECTIONS, TIME).await;
            *best = best.min((server.cpu() - before).as_secs_f64() * 1e6 / answers.count as f64);
        }
    }
    report.line("userinfo against hello behind the same layers", "cpu us", best[0], best[1], Bound::AtMost(2.0));
}

/// Clients that refresh as fast as they can, each its own family.
async fn refreshing(report: &mut Report, stockade: &Stockade, flow: &Flow) {
    let public = stockade.cli(&[
        "client",
        "create",
        "--id",
        "bench-app",
        "--public",
        "--grant",
        "authorization_code",
        "--grant",
        "refresh_token",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
        "--redirect-uri",
        "https://client.example/cb",
        "--id-token-alg",
        "ES256",
        "--output",
        "json",
    ]);
    assert!(public.contains("bench-app"), "{public}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut app = Flow { client: ("bench-app".to_owned(), String::new()), ..flow.clone() };
    app.cookie = signed_in(stockade, &app).await;
    let mut families = Vec::new();
    let mut line = Line::open(&app.address).await;
    for _ in 0..REFRESHING {
        let tokens = app.play(&mut line).await;
        families.push(tokens["refresh_token"].as_str().expect("a refresh token").to_owned());
    }
    let demo = stockade.client("DEMO");
    let machine = Requests::over_and_over(vec![form("/oauth/token", demo, "grant_type=client_credentials")]);
    let (mut best, mut shared) = ([0.0_f64; 2], 0.0_f64);
    for _ in 0..ROUNDS {
        let counters = async || {
            let transactions = stockade.counter("stockade_store_transactions_total").await;
            (transactions, stockade.counter("stockade_store_commits_total").await)
        };
        let (before, begun, mut tasks) = (counters().await, Instant::now(), JoinSet::new());
        for mut token in families {
            let address = app.address.clone();
            tasks.spawn(async move {
                let (mut line, mut count) = (Line::open(&address).await, 0_u32);
                while begun.elapsed() < TIME {
                    let body = format!("grant_type=refresh_token&client_id=bench-app&refresh_token={token}");
                    let answer = line.ask(&post("/oauth/token", FORM, &body)).await.json();
                    token = answer["refresh_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
                    count += 1;
                }
                (token, count)
            });
        }
        let done = tasks.join_all().await;
        let rotations: u32 = done.iter().map(|(_, count)| count).sum();
        families = done.into_iter().map(|(token, _)| token).collect();
        let rate = f64::from(rotations) / begun.elapsed().as_secs_f64();
        let after = counters().await;
        shared = shared.max(f64::from(rotations) / (after.1 - before.1));
        best[0] = best[0].max(rate);
        best[1] = best[1].max(load::run(&app.address, &machine, REFRESHING, TIME).await.per_second);
    }
    report.line("rotations of 64 clients on SQLite a commit", "rotations", shared, 1.0, Bound::AtLeast(8.0));
    let name = "64 clients refreshing on SQLite against client_credentials";
    report.line(name, "req/s", best[0], best[1], Bound::AtLeast(0.15));
}

/// Token requests at a steady rate: the 99th percentile of their latencies, microseconds. A request that has to wait for
/// the ones before it has waited.
async fn steady(server: &Server, request: &[u8]) -> f64 {
    let begun = tokio::time::Instant::now();
    let (seen, mut tasks) =
        (Arc::new(parking_lot::Mutex::new(Histogram::<u64>::new(3).expect("a histogram"))), JoinSet::new());
    const LINES: u64 = 16;
    for first in 0..LINES {
        let (address, request, seen) = (server.address.clone(), request.to_vec(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut line = Line::open(&address).await;
            for n in (first..STEADY * TIME.as_secs()).step_by(LINES as usize) {
                let due = begun + Duration::from_micros(n * 1_000_000 / STEADY);
                tokio::time::sleep_until(due).await;
                assert_eq!(line.ask(&request).await.status, 200);
                seen.lock().record(due.elapsed().as_nanos() as u64).expect("a latency");
            }
        });
    }
    tasks.join_all().await;
    let seen = seen.lock();
    seen.value_at_quantile(0.99) as f64 / 1000.0
}

/// A hundred who guess passwords, and the others meanwhile.
async fn storm(report: &mut Report, stockade: &Stockade) {
    let request = form("/oauth/token", stockade.client("DEMO"), "grant_type=client_credentials");
    let mut quiet = f64::MAX;
    for _ in 0..ROUNDS {
        quiet = quiet.min(steady(&stockade.server, &request).await);
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for guesser in 0..GUESSING {
        let (address, issuer, stop) =
            (stockade.server.address.clone(), stockade.env["ISSUER"].clone(), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut line = Line::open(&address).await;
            let page = line.ask(&get("/login", "")).await;
            let csrf = page.body.split_once("name=\"csrf\" value=\"").expect("a form").1;
            let csrf = csrf.split('"').next().expect("a token").to_owned();
            let cookies: Vec<_> = page.all("set-cookie").filter_map(|set| set.split(';').next()).collect();
            let headers =
                format!("Cookie: {}\r\nSec-Fetch-Site: same-origin\r\n{FORM}Origin: {issuer}\r\n", cookies.join("; "));
            let mut refused = 0_u32;
            for n in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let body = format!("csrf={csrf}&username=guess-{guesser}-{n}&password=wrong-password-{n}");
                let status = line.ask(&post("/login", &headers, &body)).await.status;
                assert!(matches!(status, 403 | 429 | 503), "{status}");
                refused += u32::from(status == 403);
            }
            refused
        });
    }
    let mut stormy = f64::MAX;
    for _ in 0..ROUNDS {
        stormy = stormy.min(steady(&stockade.server, &request).await);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let hashed: u32 = tasks.join_all().await.into_iter().sum();
    assert!(hashed > 0, "nothing was hashed: there was no storm");
    let name = "token p99 at 500/s while 100 guess passwords, against max(3 x quiet, 20 ms)";
    report.line(name, "us", stormy, (quiet * 3.0).max(20_000.0), Bound::AtMost(1.0));
}

/// Memory while a hundred thousand sessions live and are used.
async fn many_sessions(report: &mut Report, stockade: &Stockade, cookie: &str) {
    let name = cookie.split('=').next().expect("the session's cookie").to_owned();
    let store = Store::open(&format!("sqlite:{}", stockade.store().display())).await.expect("the store");
    let person = users::find_by_username(&mut store.read().await.expect("a reader"), &stockade.env["DEMO_USER"]).await;
    let person = person.expect("an answer").expect("the person").user.user_id;
    let now = SystemClock.now();
    let mut asks = Vec::with_capacity(SESSIONS);
    for chunk in 0..SESSIONS / 1000 {
        let mut tx = store.begin().await.expect("a transaction");
        for n in 0..1000 {
            let text = secret_text::generate(Kind::Session, &SystemRng);
            let session = Session {
                session_id: id::new("ses", now, &SystemRng),
                user_id: person.clone(),
                acr: Acr::One,
                amr: vec!["pwd".to_owned()],
                auth_time: now,
                created_at: now,
                last_seen_at: now,
                expires_at: now.plus(Duration::from_secs(86_400)),
                address: Some(format!("192.0.2.{}", n % 250)),
                user_agent: Some(format!("browser {chunk}")),
            };
            sessions::insert(&mut tx, &secret_text::digest(text.expose()), &session).await.expect("a session");
            asks.push(get("/login", &format!("Cookie: {name}={}\r\n", text.expose())));
        }
        tx.commit().await.expect("committed");
    }
    store.close().await;
    let (asks, mut tasks) = (Arc::new(asks), JoinSet::new());
    for first in 0..CONNECTIONS {
        let (asks, address) = (Arc::clone(&asks), stockade.server.address.clone());
        tasks.spawn(async move {
            let mut line = Line::open(&address).await;
            for ask in asks.iter().skip(first).step_by(CONNECTIONS) {
                // Who is signed in is sent on to the account.
                assert_eq!(line.ask(ask).await.status, 303);
            }
        });
    }
    tasks.join_all().await;
    let name = "resident memory with 100,000 live sessions, each used";
    report.line(name, "MiB", stockade.server.resident_mib(), 150.0, Bound::AtMost(1.0));
}
