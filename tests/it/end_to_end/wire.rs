//! What the tests say to the server, and what every answer must keep.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::Value;

use super::stage::{Stage, until};

/// An answer that kept what every answer keeps.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in the {} answer: {}", self.status, self.text))
    }

    /// One header as text; empty when it is absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of text"))
    }
}

impl Stage {
    /// Sends it and checks what holds for every answer.
    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    /// [`Stage::send`], for servers that may be gone.
    pub(super) async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, text: response.text().await? };
        assert!(!answer.header("x-request-id").is_empty(), "no request id in a {status} answer: {}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "in a {status} answer");
        if status >= 400 && answer.header("content-type").starts_with("application/problem+json") {
            let problem = answer.json();
            assert_eq!(problem["status"], status, "{problem}");
            assert!(problem["type"].is_string(), "{problem}");
            assert_eq!(problem["request_id"], answer.header("x-request-id"), "{problem}");
        }
        Ok(answer)
    }

    /// A form to an endpoint, authenticated as one of the clients of `dev.env`.
    pub(super) fn form_as(&self, who: &str, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let (id, secret) = (self.var(&format!("{who}_CLIENT_ID")), self.var(&format!("{who}_CLIENT_SECRET")));
        self.http.post(format!("{}{path}", self.issuer)).basic_auth(id, Some(secret)).form(form)
    }

    /// An access token for one of the clients of `dev.env`: for its default resource unless one is named.
    pub(super) async fn token(&self, who: &str, resource: Option<&str>) -> String {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(resource.map(|resource| ("resource", resource)));
        // 503 is an honest answer of a machine too busy to record in time: whoever gets it asks again.
        let answer = until("the token endpoint answers", || async {
            let answer = self.send(self.form_as(who, "/oauth/token", &form)).await;
            (answer.status != 503).then_some(answer)
        });
        let answer = answer.await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["access_token"].as_str().expect("an access token").to_owned()
    }

    /// A call with a bearer token.
    pub(super) fn get(&self, url: &str, token: &str) -> reqwest::RequestBuilder {
        let url = if url.starts_with('/') { format!("{}{url}", self.issuer) } else { url.to_owned() };
        self.http.get(url).bearer_auth(token)
    }

    /// Whether a token is active, asked by the client it was issued to.
    pub(super) async fn is_active(&self, who: &str, token: &str) -> bool {
        let answer = self.send(self.form_as(who, "/oauth/introspect", &[("token", token)])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["active"].as_bool().expect("`active`")
    }

    /// Every event, through `audit export`.
    pub(super) fn exported(&self) -> Vec<Value> {
        let lines = self.cli_ok(&["audit", "export"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Checks the log in the store and, offline, an export of it; gives the export.
    pub(super) fn verified(&self) -> String {
        self.cli_ok(&["audit", "verify"]);
        let export = self.cli_ok(&["audit", "export"]);
        let file = self.data().join("export.ndjson");
        std::fs::write(&file, &export).expect("the export is written");
        let mut command = super::stage::stockade();
        let output = command.args(["audit", "verify"]).arg(&file).output().expect("verify runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the export does not verify ({}): {said}", output.status);
        export
    }
}

/// The claims of a JWT, unverified.
pub(super) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("a JWT");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON claims")
}

/// The `jti` of a JWT.
pub(super) fn jti(token: &str) -> String {
    claims(token)["jti"].as_str().expect("a jti").to_owned()
}

/// Those of `wanted` that `text` does not hold.
pub(super) fn missing<'a>(wanted: &'a [String], text: &str) -> BTreeSet<&'a str> {
    wanted.iter().map(String::as_str).filter(|one| !text.contains(one)).collect()
}
