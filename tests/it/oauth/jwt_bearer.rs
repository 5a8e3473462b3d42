//! The JWT bearer grant (RFC 7523 2.1): workloads that show what others issued them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use stockade::base::{Clock as _, ManualClock};
use stockade::http::foreign_keys::ForeignKeys;
use stockade::model::{Algorithm, AuthMethod, Client, ClientKind, GrantType};
use stockade::oauth::trusted::TrustedIssuer;

use super::fence::{API, Answer, Fence, ISSUER, OPAQUE, START, Wish, wish};
use crate::crypto::forge::{Key, hs256, unsigned, with, without};
use crate::support::elsewhere::Elsewhere;

const CI: &str = "https://ci.example";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The main branch of one repository may deploy.
const POLICY: &str = r#"
    @id("ci.deploy")
    permit (
      principal == Stockade::Client::"deploy",
      action == Stockade::Action::"assertion:accept",
      resource == Stockade::TrustedIssuer::"https://ci.example"
    ) when { context.claims.contains("repository=acme/api") && context.claims.contains("ref=refs/heads/main") };
"#;

struct Ci {
    fence: Fence,
    key: Key,
}

impl Ci {
    /// A server that trusts a CI system, and a client without a secret that its workloads act as.
    async fn new() -> Self {
        let key = Key::p256();
        let keys = ForeignKeys::fixed(&key.jwks("ci-1")).unwrap();
        Self::trusting(keys, key).await
    }

    async fn trusting(keys: ForeignKeys, key: Key) -> Self {
        let issuer = TrustedIssuer { issuer: CI.into(), audience: ISSUER.into(), algs: vec![Algorithm::ES256], keys };
        let fence = Fence::with(Wish { issuers: vec![issuer], ..wish() }).await;
        let deploy = Client {
            kind: ClientKind::Public,
            auth_method: AuthMethod::None,
            secrets: Vec::new(),
            grants: vec![GrantType::JwtBearer],
            ..fence.secret_client("deploy")
        };
        fence.add(deploy).await;
        fence.add_policies(POLICY);
        Self { fence, key }
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "JWT", "kid": "ci-1" })
    }

    fn claims(&self) -> Value {
        let now = self.fence.clock.now().as_secs();
        json!({
            "iss": CI, "sub": "repo:acme/api:ref:refs/heads/main", "aud": ISSUER, "iat": now, "exp": now + 300,
            "repository": "acme/api", "ref": "refs/heads/main",
        })
    }

    fn assertion(&self, claims: &Value) -> String {
        self.key.jwt(&self.header(), claims)
    }

    async fn ask(&self, client: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", GRANT), ("client_id", client), ("assertion", assertion)];
        form.extend_from_slice(more);
        self.fence.post("/oauth/token", None, &form).await
    }
}

#[tokio::test]
async fn a_workload_gets_the_token_of_the_client_that_it_may_act_as() {
    let ci = Ci::new().await;
    for (resource, kind) in [(API, "jwt"), (OPAQUE, "opaque")] {
        let answer =
            ci.ask("deploy", &ci.assertion(&ci.claims()), &[("resource", resource), ("scope", "notes:read")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}: {answer:?}");
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["scope"]), (&json!("Bearer"), &json!("notes:read")));
        assert!(body.get("refresh_token").is_none());
        let token = ci.fence.live.verify(body["access_token"].as_str().unwrap(), ci.fence.clock.now()).await.unwrap();
        assert_eq!(
            (token.sub.as_str(), token.client_id.as_str(), &token.aud[..]),
            ("deploy", "deploy", &[resource.to_owned()][..])
        );
    }
    let events = ci.fence.events_of("token.issued", 2).await;
    for event in events {
        assert_eq!(event["data"]["grant"], GRANT);
        assert_eq!(event["data"]["assertion_issuer"], CI);
        assert_eq!(event["data"]["assertion_subject"], "repo:acme/api:ref:refs/heads/main");
    }
    let metadata = ci.fence.get("/.well-known/oauth-authorization-server").await.json();
    assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)), "{metadata}");
}

#[tokio::test]
async fn a_token_does_not_outlive_its_assertion() {
    let ci = Ci::new().await;
    let claims = with(&ci.claims(), "exp", json!(ci.fence.clock.now().as_secs() + 40));
    let body = ci.ask("deploy", &ci.assertion(&claims), &[]).await.json();
    assert_eq!(body["expires_in"], 40);
    let long = with(&ci.claims(), "exp", json!(ci.fence.clock.now().as_secs() + 100_000));
    assert_eq!(ci.ask("deploy", &ci.assertion(&long), &[]).await.json()["expires_in"], 600);
}

#[tokio::test]
async fn nothing_is_accepted_that_no_policy_permits_by_its_claims() {
    let ci = Ci::new().await;
    for (claim, value) in [
        ("ref", json!("refs/heads/feature")),
        ("repository", json!("acme/other")),
        ("repository", json!({ "x": "acme/api" })),
        ("repository", json!("acme/api ")),
    ] {
        let answer = ci.ask("deploy", &ci.assertion(&with(&ci.claims(), claim, value.clone())), &[]).await;
        assert_eq!(answer.error(), (400, "invalid_grant".to_owned()), "{claim} {value}");
    }
    let refused = ci.fence.events_of("token.refused", 4).await;
    assert_eq!(refused[0]["reason"], "no_permit");
    assert_eq!(refused[0]["resource"], r#"TrustedIssuer::"https://ci.example""#);
    let other = Client { client_id: "other".to_owned(), ..ci.fence.live.client("deploy").unwrap().client.clone() };
    ci.fence.add(other).await;
    assert_eq!(ci.ask("other", &ci.assertion(&ci.claims()), &[]).await.error().1, "invalid_grant", "another client");
}

#[tokio::test]
async fn without_a_policy_of_its_own_a_trusted_issuer_opens_nothing() {
    let ci = Ci::new().await;
    ci.fence.engine.install(stockade::policy::Snapshot::embedded().unwrap());
    assert_eq!(ci.ask("deploy", &ci.assertion(&ci.claims()), &[]).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn an_assertion_that_is_not_right_in_every_part_is_400_invalid_grant() {
    let ci = Ci::new().await;
    let (header, claims) = (ci.header(), ci.claims());
    let now = ci.fence.clock.now().as_secs();
    let public = serde_json::to_vec(&ci.key.jwk("ci-1")).unwrap();
    let signed = |member: &str, value: Value| ci.assertion(&with(&claims, member, value));
    for (what, assertion) in [
        ("no JWT", "nonsense".to_owned()),
        ("another issuer", signed("iss", json!("https://evil.example"))),
        ("ourselves", signed("iss", json!(ISSUER))),
        ("another audience", signed("aud", json!("https://elsewhere.example"))),
        ("no audience", ci.assertion(&without(&claims, "aud"))),
        ("expired", signed("exp", json!(now))),
        ("no expiry", ci.assertion(&without(&claims, "exp"))),
        ("expiry as text", signed("exp", json!((now + 300).to_string()))),
        ("not yet", signed("nbf", json!(now + 60))),
        ("from the future", signed("iat", json!(now + 60))),
        ("no subject", ci.assertion(&without(&claims, "sub"))),
        ("unsigned", unsigned(&with(&header, "alg", json!("none")), &claims)),
        ("HMAC with the public key", hs256(&public, &with(&header, "alg", json!("HS256")), &claims)),
        ("another's key", Key::p256().jwt(&header, &claims)),
        ("an unknown key", ci.key.jwt(&with(&header, "kid", json!("ci-2")), &claims)),
        ("an access token", ci.key.jwt(&with(&header, "typ", json!("at+jwt")), &claims)),
        ("crit", ci.key.jwt(&with(&header, "crit", json!(["x"])), &claims)),
    ] {
        let answer = ci.ask("deploy", &assertion, &[]).await;
        assert_eq!(answer.error(), (400, "invalid_grant".to_owned()), "{what}: {answer:?}");
    }
    let several = signed("aud", json!(["https://elsewhere.example", ISSUER]));
    assert_eq!(ci.ask("deploy", &several, &[]).await.status, 200);
}

#[tokio::test]
async fn the_client_must_be_one_that_works_this_way_and_asks_for_what_is_its_own() {
    let ci = Ci::new().await;
    let assertion = ci.assertion(&ci.claims());
    let ask = async |client: &str, more: &[(&str, &str)]| ci.ask(client, &assertion, more).await.error();
    assert_eq!(ask("spa", &[]).await, (400, "unauthorized_client".to_owned()));
    assert_eq!(ask("nobody", &[]).await, (401, "invalid_client".to_owned()));
    assert_eq!(
        ask("app", &[]).await,
        (401, "invalid_client".to_owned()),
        "a client with a secret shows it all the same"
    );
    assert_eq!(ask("deploy", &[("scope", "admin")]).await.1, "invalid_scope");
    assert_eq!(ask("deploy", &[("scope", "openid")]).await.1, "invalid_scope");
    assert_eq!(ask("deploy", &[("resource", "https://unknown.example")]).await.1, "invalid_target");
    let none = ci.fence.post("/oauth/token", None, &[("grant_type", GRANT), ("client_id", "deploy")]).await;
    assert_eq!(none.error(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn c15_a_rotated_key_is_found_and_a_key_set_that_is_gone_is_503() {
    let (first, second) = (Key::p256(), Key::p256());
    let set = Arc::new(parking_lot::Mutex::new((StatusCode::OK, first.jwks("ci-0").to_string())));
    let shown = Arc::clone(&set);
    let router = axum::Router::new().route("/keys", axum::routing::get(move || async move { shown.lock().clone() }));
    let elsewhere = Elsewhere::serving(router).await;
    let clock = Arc::new(ManualClock::at(START));
    let uri = format!("{}/keys", elsewhere.url);
    let keys = ForeignKeys::fetched(uri, elsewhere.fetcher(), Arc::clone(&clock) as _).unwrap();
    let ci = Ci::trusting(keys, second).await;
    let old = first.jwt(&with(&ci.header(), "kid", json!("ci-0")), &ci.claims());
    assert_eq!(ci.ask("deploy", &old, &[]).await.status, 200);
    *set.lock() = (StatusCode::OK, ci.key.jwks("ci-1").to_string());
    assert_eq!(ci.ask("deploy", &ci.assertion(&ci.claims()), &[]).await.status, 200, "an unknown key is fetched");
    assert_eq!(ci.ask("deploy", &old, &[]).await.error().1, "invalid_grant", "the old one is gone");
    *set.lock() = (StatusCode::BAD_GATEWAY, String::new());
    clock.advance(Duration::from_secs(3600));
    let gone = ci.ask("deploy", &ci.assertion(&ci.claims()), &[]).await;
    assert_eq!((gone.error(), gone.header("retry-after")), ((503, "temporarily_unavailable".to_owned()), Some("1")));
}
