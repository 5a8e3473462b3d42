//! What strangers send: each has a clear answer, and the server goes on as before.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::Stage;
use super::wire::Answer;

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";

/// A request with a body as it is, authenticated as the demo client.
fn raw(stage: &Stage, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    let request = stage.http.post(format!("{}{path}", stage.issuer)).body(body);
    let (id, secret) = (stage.var("DEMO_CLIENT_ID"), stage.var("DEMO_CLIENT_SECRET"));
    request.basic_auth(id, Some(secret)).header("content-type", content_type)
}

pub(super) fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// The server lives, did not panic, still issues tokens, and its log verifies.
pub(super) async fn unharmed(stage: Stage) {
    stage.token("DEMO", None).await;
    assert!(stage.process.status().is_none());
    stage.verified();
    let printed = stage.process.printed();
    assert!(!printed.contains("panicked"), "{printed}");
}

fn is_oauth_error(answer: &Answer, expected: &str, asked: &str) {
    let body = answer.json();
    assert_eq!(body["error"], expected, "{asked}: {body}");
    assert!(answer.header("content-type").starts_with("application/json"), "{asked}");
    assert!(answer.header("cache-control").contains("no-store"), "{asked}");
    assert!(body.get("access_token").is_none(), "{asked}: {body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_endpoint_answers_bad_forms_with_the_error_of_the_rfc() {
    let stage = Stage::dev().await;
    let oversized = format!("{GRANT}&scope={}", "a".repeat(2 << 20));
    let many: String = (0..5000).map(|n| format!("&p{n}=1")).collect();
    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("", String::new(), 400, "invalid_request"),
        ("no grant", "scope=notes%3Aread".into(), 400, "invalid_request"),
        ("repeated grant", format!("{GRANT}&{GRANT}"), 400, "invalid_request"),
        ("repeated scope", format!("{GRANT}&scope=notes:read&scope=notes:read"), 400, "invalid_request"),
        ("repeated client_id", format!("{GRANT}&client_id=a&client_id=b"), 400, "invalid_request"),
        ("unknown grant", "grant_type=password&username=a&password=b".into(), 400, "unsupported_grant_type"),
        ("grant in capitals", "grant_type=CLIENT_CREDENTIALS".into(), 400, "unsupported_grant_type"),
        ("unknown scope", format!("{GRANT}&scope=everything"), 400, "invalid_scope"),
        ("another's scope", format!("{GRANT}&scope=admin"), 400, "invalid_scope"),
        ("scope with a quote", format!("{GRANT}&scope=%22"), 400, "invalid_scope"),
        ("scope with a control character", format!("{GRANT}&scope=a%00b"), 400, "invalid_scope"),
        ("resource that is no URI", format!("{GRANT}&resource=notes"), 400, "invalid_target"),
        ("resource with a fragment", format!("{GRANT}&resource=https%3A%2F%2Fa.example%2F%23b"), 400, "invalid_target"),
        ("unknown resource", format!("{GRANT}&resource=https%3A%2F%2Fa.example%2F"), 400, "invalid_target"),
        ("bytes that are no UTF-8", format!("{GRANT}&scope=%ff%fe"), 400, "invalid_request"),
        ("broken percent", format!("{GRANT}&scope=%zz"), 400, "invalid_request"),
    ];
    for (what, body, status, error) in cases {
        let answer = stage.send(raw(&stage, "/oauth/token", FORM, body)).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        is_oauth_error(&answer, error, what);
    }
    for (what, body) in [("oversized", oversized), ("many parameters", format!("{GRANT}{many}"))] {
        let answer = stage.send(raw(&stage, "/oauth/token", FORM, body)).await;
        assert!([400, 413].contains(&answer.status), "{what}: {} {}", answer.status, answer.text);
    }
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth_endpoints_refuse_what_is_no_form() {
    let stage = Stage::dev().await;
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
        let body = r#"{"grant_type":"client_credentials","token":"x"}"#;
        for (content_type, body) in [
            ("application/json", body.to_owned()),
            ("text/plain", GRANT.to_owned()),
            ("multipart/form-data; boundary=x", format!("--x\r\n\r\n{GRANT}\r\n--x--")),
            ("", GRANT.to_owned()),
            (FORM, deep(10_000)),
        ] {
            let asked = format!("{content_type} to {path}");
            let answer = stage.send(raw(&stage, path, content_type, body)).await;
            assert!([400, 415].contains(&answer.status), "{asked}: {} {}", answer.status, answer.text);
            assert_eq!(answer.json()["error"], "invalid_request", "{asked}: {}", answer.text);
        }
        let (id, secret) = (stage.var("DEMO_CLIENT_ID"), stage.var("DEMO_CLIENT_SECRET"));
        for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
            let url = format!("{}{path}?{GRANT}", stage.issuer);
            let answer = stage.send(stage.http.request(method.clone(), url).basic_auth(id, Some(secret))).await;
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text);
            assert!(answer.header("allow").contains("POST"), "{method} {path}: `{}`", answer.header("allow"));
        }
    }
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_client_credentials_are_401_and_never_say_which_part_was_wrong() {
    let stage = Stage::dev().await;
    let url = format!("{}/oauth/token", stage.issuer);
    let form = [("grant_type", "client_credentials")];
    let id = stage.var("DEMO_CLIENT_ID");
    let other = stage.var("READER_CLIENT_SECRET");
    let post = || stage.http.post(&url).form(&form);
    let long = "x".repeat(4000);
    let mut bodies = std::collections::BTreeSet::new();
    for (what, request) in [
        ("unknown client", post().basic_auth("nobody", Some("secret"))),
        ("wrong secret", post().basic_auth(id, Some("secret"))),
        ("another's secret", post().basic_auth(id, Some(other))),
        ("long secret", post().basic_auth(id, Some(&long))),
        ("empty secret", post().basic_auth(id, Some(""))),
        ("no colon", post().header("authorization", "Basic Zm9v")),
        ("no base64", post().header("authorization", "Basic !!!")),
    ] {
        let answer = stage.send(request).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        is_oauth_error(&answer, "invalid_client", what);
        assert!(answer.header("www-authenticate").starts_with("Basic"), "{what}");
        if ["unknown client", "wrong secret", "another's secret"].contains(&what) {
            bodies.insert(answer.text);
        }
    }
    assert_eq!(bodies.len(), 1, "the answers tell clients apart: {bodies:?}");
    let bearer = stage.send(post().header("authorization", "Bearer x")).await;
    assert_eq!(bearer.status, 401, "{}", bearer.text);
    is_oauth_error(&bearer, "invalid_token", "a bearer token instead of a client");
    let twice = stage.form_as("DEMO", "/oauth/token", &[form[0], ("client_id", id), ("client_secret", other)]);
    let answer = stage.send(twice).await;
    assert!([400, 401].contains(&answer.status), "two ways to authenticate at once: {}", answer.text);
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_management_api_refuses_bad_queries_as_problems() {
    let stage = Stage::dev().await;
    let token = stage.token("AUDITOR", Some(stage.issuer.as_str())).await;
    let ask = |query: &str| stage.get(&format!("/api/v1/audit/events?{query}"), &token);
    let well = stage.send(ask("limit=1")).await;
    assert_eq!(well.status, 200, "{}", well.text);
    let cursor = well.json()["next_cursor"].as_str().expect("a cursor to another page").to_owned();
    let long = format!("principal={}", "a".repeat(5000));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=501",
        "limit=ten",
        "limit=1&limit=2",
        "limit=99999999999999999999",
        "cursor=forged",
        &*format!("cursor={cursor}A"),
        &*format!("limit=1&outcome=denied&cursor={cursor}"),
        "outcome=perhaps",
        "from=yesterday",
        "unknown=1",
        &*long,
    ] {
        let answer = stage.send(ask(query)).await;
        assert!([400, 414].contains(&answer.status), "{query}: {} {}", answer.status, answer.text);
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{query}");
    }
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/audit/events/../../../../etc/passwd", 404),
        ("DELETE", "/api/v1/audit/events", 405),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let answer =
            stage.send(stage.http.request(method, format!("{}{path}", stage.issuer)).bearer_auth(&token)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("application/problem+json"), "{path}");
    }
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_that_makes_no_sense_is_400_and_never_an_allow() {
    let stage = Stage::dev().await;
    let token = stage.token("PDP", Some(stage.issuer.as_str())).await;
    let send = |body: String, content_type: &'static str| {
        let request = stage.http.post(format!("{}/access/v1/evaluation", stage.issuer)).bearer_auth(&token);
        stage.send(request.header("content-type", content_type).body(body))
    };
    let subject = json!({"type": "user", "id": "ada"});
    let whole = json!({"subject": subject, "action": {"name": "read"}, "resource": {"type": "note", "id": "1"}});
    let without = |member: &str| {
        let mut body = whole.clone();
        body.as_object_mut().expect("an object").remove(member);
        body.to_string()
    };
    let with = |member: &str, value: Value| {
        let mut body = whole.clone();
        body[member] = value;
        body.to_string()
    };
    for (what, body) in [
        ("nothing", String::new()),
        ("no JSON", "{".to_owned()),
        ("an array", "[]".to_owned()),
        ("no subject", without("subject")),
        ("no action", without("action")),
        ("no resource", without("resource")),
        ("subject is text", with("subject", json!("ada"))),
        ("type is a number", with("subject", json!({"type": 1, "id": "ada"}))),
        ("id is null", with("subject", json!({"type": "user", "id": null}))),
        ("action without a name", with("action", json!({}))),
        ("context is a list", with("context", json!([]))),
        ("deep", with("context", serde_json::from_str(&format!("{{\"a\":{}}}", deep(100))).expect("JSON"))),
        ("very deep", format!("{{\"context\":{}}}", deep(100_000))),
    ] {
        let answer = send(body, "application/json").await;
        let allowed = serde_json::from_str::<Value>(&answer.text).is_ok_and(|body| body["decision"] == true);
        assert!(!allowed, "{what}: {}", answer.text);
        let refused = answer.status == 400 || (what == "deep" && answer.status == 200);
        assert!(refused, "{what}: {} {}", answer.status, answer.text);
    }
    let answer = send("x".repeat(4 << 20), "application/json").await;
    assert!([400, 413].contains(&answer.status), "oversized: {}", answer.status);
    let answer = send(whole.to_string(), "text/plain").await;
    assert!([400, 415].contains(&answer.status), "text: {}", answer.status);
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_http_and_headers_without_end_harm_nobody() {
    let stage = Stage::dev().await;
    let address = stage.issuer.replace("http://localhost", "127.0.0.1");
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let many: String = (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let smuggled =
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (what, bytes) in [
        ("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("nothing but zeros", vec![0; 4096]),
        ("an endless header", endless.into_bytes()),
        ("many headers", format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").into_bytes()),
        ("a negative length", b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec()),
        ("two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec()),
        ("a length beside chunks", smuggled.as_bytes().to_vec()),
    ] {
        let mut peer = TcpStream::connect(&address).await.expect("a connection");
        // The server may answer and close before it has read everything.
        peer.write_all(&bytes).await.ok();
        peer.shutdown().await.ok();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(super::stage::SOON, peer.read_to_end(&mut answer)).await;
        read.unwrap_or_else(|_| panic!("{what}: the connection stays open")).ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    }
    unharmed(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_body_says_that_the_connection_ends() {
    let stage = Stage::dev().await;
    let address = stage.issuer.replace("http://localhost", "127.0.0.1");
    let mut peer = TcpStream::connect(&address).await.expect("a connection");
    let head = "POST /demo/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n";
    peer.write_all(head.as_bytes()).await.expect("the head is sent");
    // The body never comes: the fence refuses without it.
    let mut answer = String::new();
    let read = tokio::time::timeout(super::stage::SOON, peer.read_to_string(&mut answer)).await;
    read.expect("the connection ends").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    unharmed(stage).await;
}
