//! The management API, wherever it is: inside this process over the configured store, or at a server. Commands that have both
//! ways ask this one thing, so each is written once.

mod credentials;
mod discovery;
mod kept;
mod remote;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::ArgMatches;
use clap::parser::ValueSource;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::failure::Failure;
use super::local::Local;
use crate::app::Inside;
use crate::base::{SystemClock, SystemRng};
use crate::model::DenyReason;
use remote::Remote;

pub(super) use credentials::Credential;
pub(super) use discovery::{Metadata, place, plain};
pub(super) use kept::Kept;
pub(super) use remote::{Issued, OauthError, ask_for_token, http_client, server_url, signed_in};

/// Which deployment a command works on.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct At {
    /// The configuration file [default: stockade.toml of the working directory, when there is one]
    #[arg(long, global = true, env = "STOCKADE_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,
    /// Ask this server's management API, after `stockade login` or with --client-id, instead of opening the store
    #[arg(long, global = true, env = "STOCKADE_SERVER", value_name = "URL", hide_env_values = true)]
    pub(super) server: Option<String>,
    /// Ask as this client, by its secret or its key, instead of by `stockade login`
    #[arg(long, global = true, env = "STOCKADE_CLIENT_ID", value_name = "ID", hide_env_values = true)]
    pub(super) client_id: Option<String>,
    /// The file that holds the client's secret
    #[arg(long, global = true, env = "STOCKADE_CLIENT_SECRET_FILE", value_name = "FILE", hide_env_values = true)]
    pub(super) client_secret_file: Option<PathBuf>,
    /// The file that holds the client's private key (PEM): it signs an assertion (RFC 7523)
    #[arg(long, global = true, env = "STOCKADE_CLIENT_KEY_FILE", value_name = "FILE", hide_env_values = true)]
    pub(super) client_key_file: Option<PathBuf>,
}

impl At {
    /// One deployment of the two that may be named: a flag wins over the environment.
    pub(super) fn settled(mut self, matches: &ArgMatches) -> Result<Self, Failure> {
        let flag = |name: &str| deepest(matches).value_source(name) == Some(ValueSource::CommandLine);
        if self.server.is_none() || self.config.is_none() {
            return Ok(self);
        }
        match (flag("config"), flag("server")) {
            (true, false) => self.server = None,
            (false, true) => self.config = None,
            (true, true) => return Err(Failure::usage("--config and --server name two deployments: choose one")),
            (false, false) => {
                let both =
                    "STOCKADE_CONFIG and STOCKADE_SERVER name two deployments: choose one with --config or --server";
                return Err(Failure::usage(both));
            }
        }
        Ok(self)
    }

    /// Of a command that works on the store itself.
    pub(super) fn store_only(&self, matches: &ArgMatches, command: &str) -> Result<(), Failure> {
        if deepest(matches).value_source("server") == Some(ValueSource::CommandLine) {
            return Err(Failure::usage(format!("`{command}` works on the store itself: leave out --server")));
        }
        Ok(())
    }
}

/// The matches of the command that was named last: a global flag is known there, wherever it stood.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| deepest(inner))
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// The state that it shows.
    pub(super) etag: Option<String>,
}

impl Answer {
    /// A refusal is a failure.
    pub(super) fn accepted(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(refusal(self.status, &self.body)) }
    }
}

/// The management API.
#[derive(Debug)]
pub(super) enum Api {
    /// In this process, for `Operator::"local"`.
    Inside(Box<Local>, Box<Inside>),
    /// At a server.
    Remote(Box<Remote>),
}

impl Api {
    /// Opens the configured store, or signs in at the server.
    pub(super) async fn open(at: &At) -> Result<Self, Failure> {
        if let Some(server) = &at.server {
            return Ok(Self::Remote(Box::new(Remote::open(server, at).await?)));
        }
        let local = Local::open(at.config.as_deref()).await?;
        let inside = Inside::new(
            &local.config,
            local.store.clone(),
            local.policies()?,
            local.operator(),
            Arc::new(SystemClock),
            Arc::new(SystemRng),
        );
        let inside = inside.map_err(|error| Failure::chain(&error))?;
        Ok(Self::Inside(Box::new(local), Box::new(inside)))
    }

    /// Who issues the tokens of this deployment.
    pub(super) fn issuer(&self) -> &str {
        match self {
            Self::Inside(local, _) => &local.config.server.issuer,
            Self::Remote(remote) => remote.server(),
        }
    }

    /// Asks; a refusal is a failure.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.ask(method, path, body, None).await?.accepted()
    }

    /// Asks, about the state `etag` alone when it is given.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(body).map_err(|e| Failure::usage(format!("`{path}` cannot be asked for: {e}")))?;
        let response = match self {
            Self::Inside(_, inside) => inside.call(request).await,
            Self::Remote(remote) => remote.call(request).await?,
        };
        let text = response.body();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_slice(text).unwrap_or_default() };
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: response.status().as_u16(), body, etag })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Writes an answer as it comes, however long it is; of a stream of events what follows the one numbered `last`.
    pub(super) async fn stream(
        &self,
        path: &str,
        last: Option<i64>,
        out: &mut impl std::io::Write,
    ) -> Result<(), Failure> {
        let inside = match self {
            Self::Remote(remote) => return remote.stream(path, last, out).await,
            Self::Inside(_, inside) => inside,
        };
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Bytes::new());
        let request = request.map_err(|e| Failure::usage(format!("`{path}` cannot be asked for: {e}")))?;
        let (parts, mut body) = inside.open(request).await.into_parts();
        if !parts.status.is_success() {
            let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(refusal(parts.status.as_u16(), &serde_json::from_slice(&whole).unwrap_or_default()));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Failure::failed(format!("the answer broke off: {e}")))?;
            match out.write_all(frame.data_ref().map_or(&[][..], |data| data)) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Err(Failure::ReaderLeft),
                Err(e) => return Err(Failure::failed(format!("cannot write to stdout: {e}"))),
            }
        }
        Ok(())
    }

    /// Moves what waits in the intake of an opened store to its log; a server does that by itself.
    pub(super) async fn sequence(&self) -> Result<(), Failure> {
        match self {
            Self::Inside(local, _) => local.sequence().await,
            Self::Remote(_) => Ok(()),
        }
    }

    /// Numbers also the events that followed the last answers: then the log says that it was read.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        match self {
            Self::Inside(local, inside) => {
                inside.finish().await?;
                local.sequence().await
            }
            Self::Remote(_) => Ok(()),
        }
    }

    /// The items of every page.
    pub(super) async fn all(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let (mut items, mut next) = (Vec::new(), format!("{path}?limit=500"));
        loop {
            let Value::Object(mut page) = self.get(&next).await?.body else { return Ok(items) };
            if let Some(Value::Array(found)) = page.remove("items") {
                items.extend(found);
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(cursor) => next = format!("{path}?limit=500&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    /// The bytes of an answer, as they came; a refusal is a failure.
    pub(super) async fn bytes(&self, path: &str) -> Result<Bytes, Failure> {
        let request = Request::get(path).body(Bytes::new());
        let request = request.map_err(|e| Failure::usage(format!("`{path}` cannot be asked for: {e}")))?;
        let response = match self {
            Self::Inside(_, inside) => inside.call(request).await,
            Self::Remote(remote) => remote.call(request).await?,
        };
        let (parts, bytes) = response.into_parts();
        if parts.status.is_success() {
            return Ok(bytes);
        }
        Err(refusal(parts.status.as_u16(), &serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Ends what was opened; what follows answers is written. The first failure is told.
    pub(super) async fn close<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let Self::Inside(local, inside) = self else { return done };
        let finished = inside.finish().await;
        local.store.close().await;
        done.and_then(|done| finished.map(|()| done).map_err(Failure::from))
    }
}

/// `text` as one segment of a path (RFC 3986 3.3).
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A denial of the operator, and what says more about it.
pub(super) fn may_not(principal: &str, action: &str, reason: &str, policies: &str) -> Failure {
    let next = if reason == DenyReason::UnknownAction.as_str() {
        "the policies are older than this version: `stockade check` says what they lack"
    } else {
        "`stockade policy explain` says what would allow it"
    };
    Failure::failed(format!("{principal} may not `{action}`: {reason}{policies}; {next}"))
}

/// A refusal in the words of the command line.
pub(super) fn refusal(status: u16, body: &Value) -> Failure {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let told = text("detail").or(text("error_description")).or(text("title")).unwrap_or("the answer says no more");
    if let (403, Some(principal), Some(action)) = (status, text("principal"), text("action")) {
        let policies = body.get("policies").and_then(Value::as_array).into_iter().flatten();
        let policies: Vec<_> = policies.filter_map(Value::as_str).collect();
        let policies = if policies.is_empty() { String::new() } else { format!(" ({})", policies.join(", ")) };
        let reason = text("reason").unwrap_or_default();
        return may_not(principal, action, reason, &policies);
    }
    match status {
        400 | 413 | 415 | 422 | 428 => {
            let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten();
            let each = errors.filter_map(|error| {
                let part = |name: &str| error.get(name).and_then(Value::as_str);
                let place = part("pointer").and_then(|p| p.split('/').nth(1)).or(part("parameter")).unwrap_or_default();
                let detail = part("detail")?;
                Some(if place.is_empty() { detail.to_owned() } else { format!("`{place}`: {detail}") })
            });
            let each: Vec<String> = each.collect();
            Failure::CannotTell(if each.is_empty() { vec![told.to_owned()] } else { each })
        }
        401 => Failure::failed(format!("{told}; `stockade login --server URL` signs in")),
        // Whether it was done, or what the answer would be, nobody can tell.
        500.. => Failure::usage(format!("the server answered {status}: {told}")),
        _ => Failure::failed(told),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_segment_holds_no_delimiter() {
        assert_eq!(segment("a-B_c.~1"), "a-B_c.~1");
        assert_eq!(segment("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
        assert_eq!(segment("\u{e9}"), "%C3%A9");
    }

    #[test]
    fn a_refusal_keeps_its_exit_code() {
        let failed = |status, body: Value| matches!(refusal(status, &body), Failure::Failed(_));
        assert!(failed(401, json!({})) && failed(403, json!({})) && failed(404, json!({})) && failed(409, json!({})));
        assert!(
            !failed(400, json!({})) && !failed(422, json!({})) && !failed(500, json!({})) && !failed(503, json!({}))
        );
        let all = json!({ "detail": "x", "errors": [
            { "pointer": "/scopes/0", "detail": "a" }, { "parameter": "limit", "detail": "b" }, { "pointer": "", "detail": "c" },
        ] });
        assert_eq!(refusal(422, &all).to_string(), "`scopes`: a; `limit`: b; c");
        let denied = json!({
            "principal": "Operator::\"local\"", "action": "client:create", "reason": "forbidden", "policies": ["g"],
        });
        assert!(
            refusal(403, &denied)
                .to_string()
                .starts_with("Operator::\"local\" may not `client:create`: forbidden (g);")
        );
    }
}
