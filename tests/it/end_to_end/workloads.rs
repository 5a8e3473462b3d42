//! A workload without a secret: what its CI system issued it, a policy, and a token.

use serde_json::json;

use super::stage::{Stage, until};
use crate::crypto::forge::Key;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const POLICY: &str = r#"
@id("ci.deploy")
permit (
  principal == Stockade::Client::"deploy",
  action == Stockade::Action::"assertion:accept",
  resource == Stockade::TrustedIssuer::"https://ci.example"
)
when { context.claims.contains("repository=acme/api") };
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_deploys_once_a_policy_says_that_it_may() {
    let key = Key::p256();
    let home = tempfile::tempdir().expect("a directory");
    let keys = home.path().join("ci.json");
    std::fs::write(&keys, key.jwks("ci-1").to_string()).expect("written");
    let trusted = format!(r#"[{{ issuer = "https://ci.example", jwks = "{}", algs = "ES256" }}]"#, keys.display());
    let stage = Stage::dev_with(&[("STOCKADE_OAUTH__TRUSTED_ISSUERS", trusted.as_str())]).await;
    let api = stage.var("API");
    let create = ["client", "create", "--id", "deploy", "--public", "--grant", "jwt-bearer", "--scope", "notes:read"];
    stage.cli_ok(&[&create[..], &["--resource", api]].concat());
    #[expect(clippy::disallowed_methods, reason = "the server's clock is the machine's")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let claims = json!({
        "iss": "https://ci.example", "sub": "repo:acme/api", "aud": stage.issuer, "iat": now, "exp": now + 300,
        "repository": "acme/api",
    });
    let assertion = key.jwt(&json!({ "alg": "ES256", "kid": "ci-1" }), &claims);
    let ask = || async {
        let form = [("grant_type", GRANT), ("client_id", "deploy"), ("assertion", assertion.as_str())];
        stage.send(stage.http.post(format!("{}/oauth/token", stage.issuer)).form(&form)).await
    };
    // The new client is known within a second; then it is the policy that is missing.
    let refused = until("the client is known", || async { Some(ask().await).filter(|a| a.status != 401) }).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")), "{}", refused.text);
    std::fs::write(stage.data().join("policies/grant/ci.cedar"), POLICY).expect("written");
    let answer = until("the policy counts", || async { Some(ask().await).filter(|a| a.status == 200) }).await;
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(stage.send(stage.get(&format!("{api}/notes"), &token)).await.status, 200);
}
