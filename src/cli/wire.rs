//! Real HTTP for the tour and the test client, and what of its answers may be printed.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;

use super::failure::Failure;

/// What the server said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-")
    }

    /// The body on one line, tokens left out.
    pub(super) fn shown(&self) -> String {
        let Ok(mut body) = serde_json::from_str::<Value>(&self.text) else {
            return self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        };
        for name in ["access_token", "refresh_token", "id_token", "device_code"] {
            if let Some(token) = body.get_mut(name) {
                *token = Value::from("…");
            }
        }
        body.to_string()
    }
}

/// A client of the server.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: reqwest::Client,
}

impl Wire {
    pub(super) fn new() -> Result<Self, Failure> {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(Duration::from_secs(30)).build().map_err(|e| Failure::chain(&e))?;
        Ok(Self::of(client))
    }

    /// With this client, which must follow no redirect: what it carries is for one server.
    pub(super) fn of(client: reqwest::Client) -> Self {
        Self { client }
    }

    pub(super) fn plain(&self, url: impl Display) -> reqwest::RequestBuilder {
        self.client.get(url.to_string())
    }

    pub(super) fn get(&self, url: impl Display, token: &str) -> reqwest::RequestBuilder {
        self.client.get(url.to_string()).bearer_auth(token)
    }

    pub(super) fn post(&self, url: impl Display) -> reqwest::RequestBuilder {
        self.client.post(url.to_string())
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let answer = request.send().await.map_err(|e| Failure::chain(&e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(|e| Failure::chain(&e))?;
        Ok(Answer { status, headers, text })
    }

    /// The request of an OAuth library, answered by this client. What was answered is kept in `seen`, as it came.
    pub(super) async fn exchange(
        &self,
        request: oauth2::HttpRequest,
        seen: &Mutex<Option<Answer>>,
    ) -> Result<oauth2::HttpResponse, Failure> {
        let (head, body) = request.into_parts();
        let request = self.client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
        let answer = self.send(request).await?;
        *seen.lock() = Some(answer.clone());
        let mut response = http::Response::new(answer.text.into_bytes());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
