//! C17 and RFC 7591, RFC 7592: clients that register themselves.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use stockade::base::{Clock as _, SystemRng};
use stockade::limits::Limit;
use stockade::model::{Client, GrantType};
use stockade::oauth::Unused;
use stockade::store::clients;

use super::fence::{API, Answer, Fence, ISSUER, OPAQUE, OTHER, Wish, basic, wish};
use crate::support::stores;

const SCOPE: &str = "client:register";
const OPEN: &str = r#"
    @id("site.open") permit (principal is Stockade::Anonymous, action == Stockade::Action::"client:register", resource);
"#;

fn on() -> Wish {
    let mut wish = wish();
    wish.settings.registration.endpoint = true;
    wish
}

async fn fence() -> Fence {
    with(on()).await
}

async fn with(wish: Wish) -> Fence {
    let fence = Fence::with(wish).await;
    registrar(&fence).await;
    fence
}

/// A client whose tokens are initial access tokens.
async fn registrar(fence: &Fence) {
    let own = Client { scopes: vec![SCOPE.to_owned(), "notes:read".to_owned()], ..fence.secret_client("registrar") };
    fence.add(Client { resources: vec![ISSUER.to_owned()], default_resource: ISSUER.to_owned(), ..own }).await;
}

async fn send(fence: &Fence, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    fence.send(request.body(body).unwrap()).await
}

async fn register(fence: &Fence, body: &Value) -> Answer {
    let token = fence.token("registrar", &[("scope", SCOPE)]).await;
    send(fence, Method::POST, "/oauth/register", Some(&token), Some(body)).await
}

fn machine() -> Value {
    json!({ "grant_types": ["client_credentials"], "scope": "notes:read notes:write", "client_name": "A machine" })
}

async fn token_of(fence: &Fence, made: &Value) -> Answer {
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let request = Request::post("/oauth/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic(id, secret));
    fence.send(request.body(Body::from("grant_type=client_credentials")).unwrap()).await
}

fn path_of(made: &Value) -> String {
    made["registration_client_uri"].as_str().unwrap().strip_prefix(ISSUER).unwrap().to_owned()
}

#[tokio::test]
async fn c17_nobody_registers_until_it_is_switched_on() {
    let fence = with(wish()).await;
    let token = fence.token("registrar", &[("scope", SCOPE)]).await;
    let request = Request::post("/oauth/register").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(machine().to_string()));
    assert_eq!(fence.send_unchecked(request.unwrap()).await.status, 404);
    let at = "/.well-known/oauth-authorization-server";
    assert!(fence.get(at).await.json().get("registration_endpoint").is_none());
    let fence = self::fence().await;
    let named = fence.get(at).await.json()["registration_endpoint"].clone();
    assert_eq!(named, format!("{ISSUER}/oauth/register"));
}

#[tokio::test]
async fn c17_an_initial_access_token_with_the_scope_registers_a_client() {
    for store in stores::stores().await {
        let fence = Fence::populated(store, on()).await;
        registrar(&fence).await;
        let answer = register(&fence, &machine()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let made = answer.json();
        let id = made["client_id"].as_str().unwrap();
        assert_eq!(
            (&made["client_secret_expires_at"], &made["token_endpoint_auth_method"], &made["client_name"]),
            (&json!(0), &json!("client_secret_basic"), &json!("A machine"))
        );
        assert_eq!((&made["scope"], &made["response_types"]), (&json!("notes:read notes:write"), &json!([])));
        assert_eq!(made["registration_client_uri"], format!("{ISSUER}/oauth/register/{id}"));
        for name in ["client_secret", "registration_access_token"] {
            fence.keep_secret(made[name].as_str().unwrap());
        }
        let token = token_of(&fence, &made).await;
        assert_eq!((token.status.as_u16(), &token.json()["scope"]), (200, &made["scope"]), "{}", fence.store.name);
        let event = fence.events_of("client.changed", 1).await.remove(0);
        assert_eq!((&event["data"]["change"], &event["data"]["client_id"]), (&json!("registered"), &made["client_id"]));
        assert_eq!(event["policies"], json!(["clients.register"]));
        let kept = clients::find(&mut fence.store.store.read().await.unwrap(), id).await.unwrap().unwrap().client;
        assert_eq!(
            (kept.roles.as_slice(), kept.resources),
            (&["dynamic".to_owned()][..], vec_of(&[ISSUER, API, OTHER, OPAQUE]))
        );
    }
}

fn vec_of(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[tokio::test]
async fn c17_without_the_scope_or_with_a_bad_token_nobody_registers() {
    let fence = fence().await;
    let bare = send(&fence, Method::POST, "/oauth/register", None, Some(&machine())).await;
    assert_eq!((bare.status.as_u16(), bare.header("www-authenticate")), (401, Some("Bearer")));
    let token = fence.token("registrar", &[("scope", "notes:read")]).await;
    let without = send(&fence, Method::POST, "/oauth/register", Some(&token), Some(&machine())).await;
    assert_eq!(without.status, 403);
    assert!(without.header("www-authenticate").unwrap().contains(r#"insufficient_scope", scope="client:register""#));
    let elsewhere = fence.token("app", &[]).await;
    for bad in ["nonsense", elsewhere.as_str()] {
        let refused = send(&fence, Method::POST, "/oauth/register", Some(bad), Some(&machine())).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("www-authenticate")),
            (401, Some(r#"Bearer error="invalid_token""#))
        );
    }
    assert_eq!(fence.events_of("decision", 1).await[0]["outcome"], "denied");
}

#[tokio::test]
async fn c17_open_registration_is_a_policy_that_sees_what_is_asked_for() {
    let fence = fence().await;
    let open =
        async |body: &Value| send(&fence, Method::POST, "/oauth/register", None, Some(body)).await.status.as_u16();
    let spa = |host: &str| {
        json!({
            "redirect_uris": [format!("https://{host}/cb")], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        })
    };
    assert_eq!(open(&spa("app.example")).await, 401);
    fence.add_policies(&format!(
        r#"{OPEN}
        @id("site.hosts") forbid (principal, action in Stockade::Action::"client:self-service", resource)
        unless {{ ["app.example", "com.example.app:"].containsAll(context.hosts) }};
        @id("site.grants") forbid (principal, action in Stockade::Action::"client:self-service", resource)
        when {{ context.grants.contains("client_credentials") || context.asks.contains("notes:write") }};"#
    ));
    assert_eq!(open(&spa("app.example")).await, 201);
    assert_eq!(open(&json!({ "redirect_uris": ["com.example.app:/cb"] })).await, 201);
    assert_eq!(open(&spa("evil.example")).await, 401);
    assert_eq!(open(&machine()).await, 401);
    assert_eq!(open(&json!({ "redirect_uris": ["https://app.example/"], "scope": "openid notes:write" })).await, 401);
}

#[tokio::test]
async fn c17_each_mistake_has_the_standard_s_code() {
    let fence = fence().await;
    let with = |name: &str, value: Value| {
        let mut body = json!({ "redirect_uris": ["https://app.example/cb"] });
        body[name] = value;
        body
    };
    for (body, code) in [
        (json!({}), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["https://app.example/*"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["https://app.example/#x"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["http://app.example/cb"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["https://APP.example/cb"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["javascript:alert(1)"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!("https://app.example/cb")), "invalid_redirect_uri"),
        (with("grant_types", json!(["implicit"])), "invalid_client_metadata"),
        (with("grant_types", json!(["refresh_token"])), "invalid_client_metadata"),
        (with("response_types", json!(["code id_token"])), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!("private_key_jwt")), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!("tls_client_auth")), "invalid_client_metadata"),
        (with("jwks_uri", json!("https://169.254.169.254/keys")), "invalid_client_metadata"),
        (with("client_name", json!("x".repeat(200))), "invalid_client_metadata"),
        (with("scope", json!("a \"b\"")), "invalid_client_metadata"),
        (with("backchannel_logout_uri", json!("http://app.example/")), "invalid_client_metadata"),
        (with("software_statement", json!("no jwt")), "invalid_software_statement"),
        (
            with("software_statement", json!("eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSJ9.")),
            "unapproved_software_statement",
        ),
        (json!([]), "invalid_client_metadata"),
    ] {
        assert_eq!(register(&fence, &body).await.error(), (400, code.to_owned()), "{body}");
    }
    let token = fence.token("registrar", &[("scope", SCOPE)]).await;
    let form = Request::post("/oauth/register").header(header::AUTHORIZATION, format!("Bearer {token}"));
    assert_eq!(fence.send(form.body(Body::from("a=b")).unwrap()).await.error(), (400, "invalid_request".to_owned()));
    let large = with("software_id", json!("x".repeat(70_000)));
    assert!(matches!(register(&fence, &large).await.status.as_u16(), 400 | 413));
    let get = fence.get("/oauth/register").await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn c17_a_client_that_registers_itself_never_has_powers_over_the_platform() {
    let fence = fence().await;
    let mut body = machine();
    body["scope"] = "admin audit:read client:register notes:read".into();
    let made = register(&fence, &body).await.json();
    assert_eq!(token_of(&fence, &made).await.json()["scope"], "notes:read");
    body["scope"] = "admin".into();
    let made = register(&fence, &body).await.json();
    assert_eq!(token_of(&fence, &made).await.error(), (400, "invalid_scope".to_owned()));
}

#[tokio::test]
async fn there_is_a_bucket_for_registrations_and_room_for_so_many() {
    let mut wish = on();
    wish.settings.register_address = Limit::new(2, Duration::from_secs(3600), 2).unwrap();
    let fence = with(wish).await;
    for status in [201, 201, 429] {
        let answer = register(&fence, &machine()).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after").is_some(), status == 429);
    }
    let mut wish = on();
    wish.settings.registration.most = 1;
    let fence = with(wish).await;
    assert_eq!(register(&fence, &machine()).await.status, 201);
    assert_eq!(register(&fence, &machine()).await.error(), (503, "temporarily_unavailable".to_owned()));
    assert_eq!(fence.live.client_count(), 5);
}

#[tokio::test]
async fn a_client_reads_replaces_and_removes_its_registration() {
    for store in stores::stores().await {
        let fence = Fence::populated(store, on()).await;
        registrar(&fence).await;
        let made = register(&fence, &machine()).await.json();
        let (path, token) = (path_of(&made), made["registration_access_token"].as_str().unwrap());
        let own = async |method: Method, body: Option<&Value>| send(&fence, method, &path, Some(token), body).await;
        let read = own(Method::GET, None).await;
        assert_eq!(read.status, 200, "{read:?}");
        let mut expected = made.clone();
        expected.as_object_mut().unwrap().remove("client_secret");
        assert_eq!(read.json(), expected);

        let id = &made["client_id"];
        let mut body = json!({ "client_id": id, "grant_types": ["client_credentials"], "scope": "notes:read" });
        let replaced = own(Method::PUT, Some(&body)).await;
        assert_eq!(replaced.status, 200, "{replaced:?}");
        assert_eq!((&replaced.json()["scope"], replaced.json().get("client_name")), (&json!("notes:read"), None));
        assert_eq!(token_of(&fence, &made).await.json()["scope"], "notes:read", "its secret still counts");
        body["client_id"] = "another".into();
        assert_eq!(own(Method::PUT, Some(&body)).await.error(), (400, "invalid_client_metadata".to_owned()));
        body["client_id"] = id.clone();
        for name in ["registration_access_token", "client_secret", "client_id_issued_at"] {
            let mut body = body.clone();
            body[name] = "x".into();
            assert_eq!(own(Method::PUT, Some(&body)).await.error(), (400, "invalid_client_metadata".to_owned()));
        }
        fence.add_policies(
            r#"@id("site.no") forbid (principal, action in Stockade::Action::"client:self-service", resource)
               when { context.asks.contains("notes:write") };"#,
        );
        body["scope"] = "notes:write".into();
        assert_eq!(own(Method::PUT, Some(&body)).await.status, 403, "what policy forbids at first it forbids later");

        assert_eq!(own(Method::DELETE, None).await.status, 204);
        assert_eq!(token_of(&fence, &made).await.error(), (401, "invalid_client".to_owned()));
        assert_eq!(own(Method::GET, None).await.status, 401);
        let events = fence.events_of("client.changed", 4).await;
        let changes: Vec<&Value> =
            events.iter().filter(|event| event["outcome"] == "allowed").map(|event| &event["data"]["change"]).collect();
        assert_eq!(changes, ["registered", "replaced", "deleted"]);
    }
}

#[tokio::test]
async fn a_registration_is_managed_with_its_own_token_alone() {
    let fence = fence().await;
    let (one, other) = (register(&fence, &machine()).await.json(), register(&fence, &machine()).await.json());
    let access = token_of(&fence, &one).await.json()["access_token"].as_str().unwrap().to_owned();
    let secret = one["client_secret"].as_str().unwrap().to_owned();
    let others = other["registration_access_token"].as_str().unwrap().to_owned();
    for bad in [Some(others), Some(access), Some(secret), Some(String::new()), None] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let refused = send(&fence, method, &path_of(&one), bad.as_deref(), Some(&machine())).await;
            assert!(matches!(refused.status.as_u16(), 400 | 401), "{refused:?}");
        }
    }
    let token = one["registration_access_token"].as_str().unwrap();
    assert_eq!(send(&fence, Method::POST, &path_of(&one), Some(token), None).await.status, 405);
    assert_eq!(send(&fence, Method::GET, "/oauth/register/app", Some(token), None).await.status, 401);
    // It is no access token either.
    assert_eq!(fence.introspect("rs", token).await, json!({ "active": false }));
    fence.change(one["client_id"].as_str().unwrap(), |client| client.disabled = true).await;
    assert_eq!(send(&fence, Method::GET, &path_of(&one), Some(token), None).await.status, 401);
}

#[tokio::test]
async fn a_client_that_is_never_used_leaves_and_one_that_is_used_or_adopted_stays() {
    for store in stores::stores().await {
        let fence = Fence::populated(store, on()).await;
        registrar(&fence).await;
        let mut made = Vec::new();
        for _ in 0..3 {
            made.push(register(&fence, &machine()).await.json());
        }
        let id = |n: usize| made[n]["client_id"].as_str().unwrap();
        assert_eq!(token_of(&fence, &made[1]).await.status, 200);
        fence.change(id(2), |client| client.roles.clear()).await;
        let unused = Unused {
            store: fence.store.store.clone(),
            after: Duration::from_secs(86_400),
            clock: Arc::clone(&fence.clock) as _,
            rng: Arc::new(SystemRng),
        };
        fence.clock.advance(Duration::from_secs(86_399));
        assert_eq!(unused.forget().await.unwrap(), 0, "{}", fence.store.name);
        fence.clock.advance(Duration::from_secs(2));
        assert_eq!(unused.forget().await.unwrap(), 1);
        assert_eq!(unused.forget().await.unwrap(), 0);
        fence.live.refresh().await.unwrap();
        assert_eq!([0, 1, 2].map(|n| fence.live.client(id(n)).is_some()), [false, true, true]);
        let events = fence.events_of("client.changed", 4).await;
        assert_eq!(
            (&events[3]["data"]["change"], &events[3]["data"]["client_id"]),
            (&json!("expired"), &made[0]["client_id"])
        );
        assert!(fence.clock.now() > super::fence::START);
    }
}

#[tokio::test]
async fn a_person_signs_in_to_a_client_that_registered_itself() {
    let people = super::people::People::with(on()).await;
    registrar(&people.fence).await;
    let body = json!({
        "redirect_uris": ["https://made.example/cb"], "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none", "scope": "openid notes:read",
    });
    let made = register(&people.fence, &body).await.json();
    assert!(made.get("client_secret").is_none() && made.get("client_secret_expires_at").is_none(), "{made}");
    let id = made["client_id"].as_str().unwrap();
    let kept = people.fence.live.client(id).unwrap();
    assert_eq!(kept.client.grants, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert!(kept.client.needs_pkce());
    people.sign_in(stockade::model::Acr::One).await;
    let to = |uri: &str| {
        format!(
            "/oauth/authorize?response_type=code&client_id={id}&redirect_uri={uri}&scope=openid\
         &code_challenge={}&code_challenge_method=S256",
            super::people::CHALLENGE
        )
    };
    let asked = people.visit(Method::GET, &to("https%3A%2F%2Fmade.example%2Fcb"), None).await;
    assert!(asked.header("location").unwrap().contains("/consent?flow="), "nobody waives consent for it: {asked:?}");
    assert_eq!(people.visit(Method::GET, &to("https%3A%2F%2Fmade.example%2Fcb%2F"), None).await.status, 400);
}
