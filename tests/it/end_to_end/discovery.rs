//! How a client that knows an API alone finds out where its tokens come from (RFC 9728, RFC 8414).

use serde_json::{Value, json};

use super::stage::Stage;

async fn json_at(stage: &Stage, url: &str) -> Value {
    let answer = stage.send(stage.get(url, "")).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_every_api_s_challenge_leads_to_the_server_that_issues_its_tokens() {
    let stage = Stage::dev().await;
    let issuer = stage.var("ISSUER").to_owned();
    let notes = format!("{}/notes", stage.var("API"));
    let own = issuer.clone();
    for (path, resource) in [
        (notes, stage.var("API").to_owned()),
        ("/api/v1/clients".to_owned(), own.clone()),
        ("/api/v1/audit/events".to_owned(), own.clone()),
        ("/access/v1/evaluation".to_owned(), own.clone()),
        ("/oauth/userinfo".to_owned(), own),
    ] {
        let refused = stage.send(stage.get(&path, "nonsense")).await;
        if refused.status == 405 {
            continue;
        }
        assert_eq!(refused.status, 401, "{path}: {}", refused.text);
        let challenge = refused.header("www-authenticate");
        let named = challenge.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next());
        let named = named.unwrap_or_else(|| panic!("{path}: {challenge}"));
        let said = json_at(&stage, named).await;
        assert_eq!((&said["resource"], &said["authorization_servers"]), (&json!(resource), &json!([issuer])), "{path}");
        let server = json_at(&stage, &format!("{issuer}/.well-known/oauth-authorization-server")).await;
        assert_eq!(server["issuer"], said["authorization_servers"][0]);
    }
}
