//! AuthZEN Authorization API 1.0: the policies answer questions that others ask about their own subjects and resources.
//!
//! Callers show a bearer token of ours; that they may ask is itself a decision (`access:evaluate`, usually the scope
//! `pdp`). Whatever a well-formed question comes to is 200 with `decision`; what is not well-formed is 400 with a message,
//! and inside a batch it is `false` at its place. One snapshot answers all of a batch, and every answer is an event.

mod answer;
mod evaluate;
mod json;
mod question;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use self::question::{Asked, Malformed};
use crate::audit_log::NotRecorded;
use crate::http::who_may::{Guard, May, Permission};
use crate::http::{Kind, Problem, body, coarse};
use crate::limits::Limit;
use crate::model::{Outcome, event};
use crate::policy::Resource;

/// Largest body of a request, in bytes.
const LARGEST: usize = 256 * 1024;

/// May ask for decisions about others.
#[derive(Debug)]
pub struct Evaluate;

impl Permission for Evaluate {
    const ACTION: &'static str = "access:evaluate";
    const SCOPE: &'static str = "pdp";

    fn resource() -> &'static Resource {
        static POINT: OnceLock<Resource> = OnceLock::new();
        POINT.get_or_init(Resource::decision_point)
    }
}

#[derive(Clone)]
struct Ctx {
    guard: Arc<Guard>,
    /// Questions of one client.
    limit: Limit,
    metadata: Bytes,
}

impl FromRef<Ctx> for Arc<Guard> {
    fn from_ref(ctx: &Ctx) -> Self {
        Arc::clone(&ctx.guard)
    }
}

/// Metadata, `evaluation` and `evaluations`, for a decision point whose base URL is `issuer`. A client may ask as many
/// questions as `limit` says, each of a batch counted.
pub fn router(issuer: &str, guard: Arc<Guard>, limit: Limit) -> Router {
    let metadata = serde_json::json!({
        "policy_decision_point": issuer,
        "access_evaluation_endpoint": format!("{issuer}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{issuer}/access/v1/evaluations"),
    });
    Router::new()
        .route("/.well-known/authzen-configuration", get(configuration))
        .route("/access/v1/evaluation", post(evaluation))
        .route("/access/v1/evaluations", post(evaluations))
        .with_state(Ctx { guard, limit, metadata: metadata.to_string().into() })
}

async fn configuration(State(ctx): State<Ctx>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
    ];
    (headers, ctx.metadata).into_response()
}

impl Ctx {
    /// Counts `questions` of the caller; the refusal when there were too many. Folded, because it comes in floods.
    fn count(&self, may: &May<Evaluate>, questions: usize) -> Result<(), Problem> {
        let cost = u32::try_from(questions).unwrap_or(u32::MAX);
        let client_id = may.caller.client_id();
        self.guard.coarse.client("access", client_id, self.limit, cost).map_err(|verdict| {
            let (kind, action, resource) = (event::kind::RATE_LIMITED, Evaluate::ACTION, Evaluate::resource());
            let mut event = self.guard.event(&may.caller, &may.info, kind, Outcome::Denied, action, resource);
            event.reason = Some(Arc::from("rate_limited"));
            self.guard.audit.fold(event);
            coarse::client_problem(&verdict)
        })
    }
}

async fn evaluation(State(ctx): State<Ctx>, may: May<Evaluate>, request: Request) -> Response {
    let body = read(request).await;
    let question = body.as_ref().map_err(Clone::clone).and_then(question::single);
    if let Err(refusal) = ctx.count(&may, 1) {
        return refusal.into_response();
    }
    match question {
        Ok(one) => answered(evaluate::single(&ctx.guard, &may, &one).await),
        Err(malformed) => refuse(&malformed),
    }
}

async fn evaluations(State(ctx): State<Ctx>, may: May<Evaluate>, request: Request) -> Response {
    let body = read(request).await;
    let asked = body.as_ref().map_err(Clone::clone).and_then(question::batch);
    let questions = match &asked {
        Ok(Asked::Many(many)) => many.questions.len(),
        Ok(Asked::One(_)) | Err(_) => 1,
    };
    if let Err(refusal) = ctx.count(&may, questions) {
        return refusal.into_response();
    }
    match asked {
        Ok(Asked::One(one)) => answered(evaluate::single(&ctx.guard, &may, &one).await),
        Ok(Asked::Many(many)) => answered(evaluate::batch(&ctx.guard, &may, &many).await),
        Err(malformed) => refuse(&malformed),
    }
}

/// The answer, if everything that a policy wants recorded first was.
fn answered(answer: Result<Vec<u8>, NotRecorded>) -> Response {
    match answer {
        Ok(body) => json_answer(StatusCode::OK, body),
        Err(NotRecorded) => Problem::new(Kind::NotRecorded).detail("try again later").into_response(),
    }
}

/// The body as a JSON object without repeated names. Anything else is 400, the media type too: that is what the
/// certification demands.
async fn read(request: Request<Body>) -> Result<json::Object, Malformed> {
    let (parts, body) = request.into_parts();
    if !body::is_type(&parts.headers, "application/json") {
        return Err(Malformed::new("send the body as `Content-Type: application/json`"));
    }
    let bytes = body::read(body, LARGEST).await.map_err(|problem| match problem.kind() {
        Kind::BodyTooLarge => Malformed::too_large(format!("the body is longer than {LARGEST} bytes: send less")),
        _ => Malformed::new("the body broke off: send it again"),
    })?;
    json::object(&bytes).map_err(Malformed::new)
}

/// An error message, as a JSON string (AuthZEN 1.0, transport).
fn refuse(malformed: &Malformed) -> Response {
    json_answer(malformed.status, serde_json::Value::from(malformed.message.as_str()).to_string().into_bytes())
}

fn json_answer(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
