//! Servers side by side, over the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::load::{self, Requests, form, get, post};
use crate::process::Server;
use crate::report::{Bound, Report};
use crate::stage::{self, Stockade};

/// The usual number of keep-alive connections.
const CONNECTIONS: usize = 32;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(2000);
const GRANT: &str = "grant_type=client_credentials";
const PEER_CLIENT: (&str, &str) = ("client-1", "secret-1-0123456789abcdef");

/// What is sent to which server.
struct Case<'a> {
    name: &'static str,
    server: &'a Server,
    /// One set of requests for all rounds, or one for each.
    requests: Vec<Requests>,
    connections: usize,
}

/// The best of all rounds.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    cpu_us: f64,
    p99_us: f64,
}

/// Measures every case in turn, round after round, each server alone.
async fn measure_cases(cases: &[Case<'_>]) -> BTreeMap<&'static str, Figures> {
    for case in cases {
        case.server.pause();
    }
    let mut best = BTreeMap::new();
    for round in 0..ROUNDS {
        for case in cases {
            case.server.resume();
            let requests = &case.requests[round % case.requests.len()];
            if !requests.once {
                load::run(&case.server.address, requests, case.connections, TIME / 8).await;
            }
            let before = case.server.cpu();
            let answers = load::run(&case.server.address, requests, case.connections, TIME).await;
            let cpu_us = (case.server.cpu() - before).as_secs_f64() * 1e6 / answers.count as f64;
            case.server.pause();
            let new = Figures { per_second: answers.per_second, cpu_us, p99_us: answers.p99_us };
            let old = best.entry(case.name).or_insert(new);
            old.per_second = old.per_second.max(new.per_second);
            old.cpu_us = old.cpu_us.min(new.cpu_us);
            old.p99_us = old.p99_us.min(new.p99_us);
            println!(
                "{round} {:28} {:>9.0} req/s {:>8.1} us cpu {:>9.0} us p50 {:>9.0} us p99",
                case.name, answers.per_second, cpu_us, answers.p50_us, answers.p99_us
            );
        }
    }
    for case in cases {
        case.server.resume();
    }
    best
}

/// The same requests in every round.
fn same(bytes: Vec<Vec<u8>>) -> Vec<Requests> {
    vec![Requests::over_and_over(bytes)]
}

/// Each request once, spread over the rounds.
fn spread(bytes: &[Vec<u8>]) -> Vec<Requests> {
    bytes.chunks(bytes.len().div_ceil(ROUNDS)).map(|part| Requests::once(part.to_vec())).collect()
}

/// Adds the lines of everything that is reached over the wire.
pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure_all(report));
}

async fn measure_all(report: &mut Report) {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (floor, layers) = (stage::floor("floor").await, stage::floor("layers").await);
    let queued = Stockade::dev(home.path(), "queued", "queued", stage::unlimited).await;
    let before = Stockade::dev(home.path(), "before", "before", stage::unlimited).await;
    let hundred = Stockade::dev(home.path(), "hundred", "queued", |dir| stage::add_policies(dir, 100)).await;
    let thousand = Stockade::dev(home.path(), "thousand", "queued", |dir| stage::add_policies(dir, 1000)).await;
    let (peer_jwt, peer_opaque) = (stage::peer("jwt").await, stage::peer("opaque").await);
    report.line("idle memory: floor beside it", "MiB", queued.server.resident_mib(), floor.resident_mib(), Bound::Free);
    if let Some(peer) = &peer_jwt {
        let (ours, theirs) = (queued.server.resident_mib(), peer.resident_mib());
        report.line("idle memory against oidc-provider", "MiB", ours, theirs, Bound::AtMost(0.5));
        let (ours, theirs) = (queued.server.ready.as_secs_f64(), peer.ready.as_secs_f64());
        report.line(
            "second start to ready against oidc-provider",
            "ms",
            ours * 1e3,
            theirs * 1e3,
            Bound::AtMost(1.0 / 3.0),
        );
    } else {
        report.left_out.push("npm oidc-provider is not installed: nothing is measured against it".to_owned());
    }

    let scopes: Vec<String> = (0..100).map(|n| format!("s{n:03}")).collect();
    let machine = ["--grant", "client_credentials"];
    let flags: Vec<&str> = machine.into_iter().chain(scopes.iter().flat_map(|scope| ["--scope", scope])).collect();
    let many: Vec<_> = (0..8).map(|n| format!("bench-scopes-{n}")).collect();
    let many: Vec<_> = many.iter().map(|id| (id, queued.create_client(id, &flags))).collect();
    let opaque = [&machine[..], &["--scope", "read", "--resource", stage::OPAQUE]].concat();
    let opaque = ("bench-opaque", queued.create_client("bench-opaque", &opaque));
    let opaque = (opaque.0, &*opaque.1);
    // A running server follows the command line within a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The stage's policies look at all scopes that are asked for: no pair in this order was decided before.
    let pairs = scopes.iter().flat_map(|one| scopes.iter().map(move |other| (one, other))).filter(|(a, b)| a != b);
    let cold: Vec<_> = pairs
        .flat_map(|(one, other)| {
            let body = format!("{GRANT}&scope={one}%20{other}");
            many.iter().map(move |(id, secret)| form("/oauth/token", (id, secret), &body))
        })
        .collect();
    let demo = queued.client("DEMO");
    let resource = format!("&resource={}", queued.env["API"].replace(':', "%3A").replace('/', "%2F"));
    let token = queued.token(demo, &resource).await;
    let opaque_token = queued.token(opaque, "").await;
    assert!(opaque_token.starts_with("stk_at_"), "not opaque: {opaque_token}");
    let notes = |token: &str| get("/demo/notes", &format!("Authorization: Bearer {token}\r\n"));
    let tokens = many_tokens(&queued, &resource, 60_000).await;
    let fresh: Vec<Vec<u8>> = tokens.iter().map(|token| notes(token)).collect();
    let grant = format!("{GRANT}&scope=notes%3Aread%20notes%3Awrite");
    let mut cases = vec![
        case("hello", &floor, same(vec![get("/hello", "")])),
        case("hello behind our layers", &layers, same(vec![get("/hello", "")])),
        case("hello + sign", &floor, same(vec![get("/sign", "")])),
        case("hello + verify + decide", &floor, same(vec![get("/verify", "")])),
        case("echo + scan of 100", &floor, same(vec![post("/scan/100", JSON, &question(0, 30))])),
        case("echo + scan of 1,000", &floor, same(vec![post("/scan/1000", JSON, &question(0, 30))])),
        case("token", &queued.server, same(vec![form("/oauth/token", demo, &grant)])),
        case("token, cold decision", &queued.server, spread(&cold)),
        case("introspection", &queued.server, same(vec![form("/oauth/introspect", demo, &format!("token={token}"))])),
        case(
            "introspection, opaque",
            &queued.server,
            same(vec![form("/oauth/introspect", opaque, &format!("token={opaque_token}"))]),
        ),
        case("JWKS", &queued.server, same(vec![get("/.well-known/jwks.json", "")])),
        case("metadata", &queued.server, same(vec![get("/.well-known/openid-configuration", "")])),
        case("guarded, warm", &queued.server, same(vec![notes(&token)])),
        case("guarded, cold", &queued.server, spread(&fresh)),
    ];
    for (name, set) in [("evaluation, 100", &hundred), ("evaluation, 1,000", &thousand)] {
        let bearer = format!("{JSON}Authorization: Bearer {}\r\n", set.token(set.client("PDP"), "").await);
        // Some dozens of resources, and each time a moment that the policies look at: every answer is worked out.
        let new: Vec<_> = (0..150_000).map(|n| post("/access/v1/evaluation", &bearer, &question(n % 64, n))).collect();
        cases.push(case(name, &set.server, spread(&new)));
        if name == "evaluation, 100" {
            let batch = post("/access/v1/evaluations", &bearer, &batch());
            cases.push(case("evaluations, 20", &set.server, same(vec![batch])));
            let again = (0..64).map(|n| post("/access/v1/evaluation", &bearer, &question(n, 30))).collect();
            cases.push(case("evaluation, asked again", &set.server, same(again)));
        }
    }
    for (name, server) in [("token at 64", &queued), ("token at 64, before", &before)] {
        let request = form("/oauth/token", server.client("DEMO"), &grant);
        cases.push(Case { connections: 64, ..case(name, &server.server, same(vec![request])) });
    }
    if let (Some(jwt), Some(opaque)) = (&peer_jwt, &peer_opaque) {
        let issue = form("/token", PEER_CLIENT, &format!("{GRANT}&scope=read%20write"));
        let answer: serde_json::Value =
            serde_json::from_str(&load::once(&opaque.address, &issue).await).expect("a JSON answer");
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        cases.push(case("oidc-provider token", jwt, same(vec![issue])));
        let ask = form("/token/introspection", PEER_CLIENT, &format!("token={token}"));
        cases.push(case("oidc-provider introspection", opaque, same(vec![ask])));
    }
    let found = measure_cases(&cases).await;
    lines(report, &found);
}

const JSON: &str = "Content-Type: application/json\r\n";

fn case<'a>(name: &'static str, server: &'a Server, requests: Vec<Requests>) -> Case<'a> {
    Case { name, server, requests, connections: CONNECTIONS }
}

fn lines(report: &mut Report, found: &BTreeMap<&'static str, Figures>) {
    let of = |name: &str| found.get(name).copied().unwrap_or_else(|| panic!("`{name}` was not measured"));
    let mut cpu = |name: &str, ours: &str, other: &str, limit: f64| {
        report.line(name, "cpu us", of(ours).cpu_us, of(other).cpu_us, Bound::AtMost(limit));
    };
    cpu("token, cached decision, against hello + sign", "token", "hello + sign", 1.8);
    cpu("token, cold decision, against hello + sign", "token, cold decision", "hello + sign", 2.5);
    cpu("introspection of a JWT seen before against hello", "introspection", "hello", 2.0);
    cpu("introspection of an opaque token against hello", "introspection, opaque", "hello", 2.0);
    cpu("introspection against hello behind the same layers", "introspection", "hello behind our layers", 2.0);
    cpu("the outer layers alone against hello", "hello behind our layers", "hello", 1.6);
    cpu("JWKS against hello behind the same layers", "JWKS", "hello behind our layers", 1.15);
    cpu("metadata against hello behind the same layers", "metadata", "hello behind our layers", 1.15);
    cpu("evaluation, 100 policies, against echo + full scan", "evaluation, 100", "echo + scan of 100", 0.45);
    cpu("evaluation, 1,000 policies, against echo + full scan", "evaluation, 1,000", "echo + scan of 1,000", 0.2);
    cpu("guarded route, cold, against hello + verify + decision", "guarded, cold", "hello + verify + decide", 1.35);
    cpu("guarded route, warm, against hello behind the same layers", "guarded, warm", "hello behind our layers", 2.0);
    let (again, hello) = (of("evaluation, asked again").cpu_us, of("hello").cpu_us);
    report.line("evaluation asked before, against hello", "cpu us", again, hello, Bound::Free);
    let (batch, single) = (of("evaluations, 20").cpu_us, of("evaluation, 100").cpu_us * 20.0);
    report.line("a batch of 20 evaluations against 20 single ones", "cpu us", batch, single, Bound::AtMost(0.45));
    let (before, queued) = (of("token at 64, before").per_second, of("token at 64").per_second);
    report.line("token recorded before the answer against queued, 64", "req/s", before, queued, Bound::AtLeast(0.5));
    if found.contains_key("oidc-provider token") {
        let (ours, theirs) = (of("token"), of("oidc-provider token"));
        report.line("token against oidc-provider", "req/s", ours.per_second, theirs.per_second, Bound::AtLeast(4.0));
        report.line("token against oidc-provider", "p99 us", ours.p99_us, theirs.p99_us, Bound::AtMost(0.25));
        let (ours, theirs) = (of("introspection"), of("oidc-provider introspection"));
        let name = "introspection against oidc-provider";
        report.line(name, "req/s", ours.per_second, theirs.per_second, Bound::AtLeast(6.0));
    }
}

/// Distinct tokens for the demo API, each of which the server has issued but not yet verified.
async fn many_tokens(server: &Stockade, resource: &str, count: usize) -> Vec<String> {
    let body = format!("{GRANT}&scope=notes%3Aread{resource}");
    let request = form("/oauth/token", server.client("DEMO"), &body);
    let answers = load::collect(&server.server.address, &request, CONNECTIONS, count).await;
    let token = |answer: &String| {
        let answer: serde_json::Value = serde_json::from_str(answer).expect("a JSON answer");
        answer["access_token"].as_str().expect("an access token").to_owned()
    };
    answers.iter().map(token).collect()
}

fn question(resource_number: usize, auth_age: usize) -> String {
    let mut question = subject();
    question["resource"] = resource(resource_number);
    question["context"]["authAgeSeconds"] = auth_age.into();
    question.to_string()
}

fn subject() -> serde_json::Value {
    json!({
        "subject": { "type": "user", "id": "ada", "properties": { "disabled": false } },
        "action": { "name": "notes:list" },
        "context": { "acr": 3, "authAgeSeconds": 30 },
    })
}

fn resource(number: usize) -> serde_json::Value {
    let properties = json!({ "method": "GET", "path": "/demo/notes", "class": "demo" });
    json!({ "type": "route", "id": format!("GET /demo/notes/{number}"), "properties": properties })
}

fn batch() -> String {
    let mut batch = subject();
    batch["evaluations"] = (0..20).map(|number| json!({ "resource": resource(number) })).collect();
    batch.to_string()
}
