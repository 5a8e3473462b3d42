//! `GET /api/openapi.json`: what the management API answers, made of the tables that its routers are made of.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use serde_json::Value;

use crate::http::routes::{Described, document};
use crate::{audit, findings, manage};

/// What the rooms answer below `/api/v1`.
pub fn rooms() -> Vec<Described> {
    vec![manage::described(), audit::described(), findings::described()]
}

/// The document of a deployment with this issuer.
pub fn of(issuer: &str) -> Value {
    document(issuer, &rooms())
}

/// The route. Anyone may read it: it says nothing of a deployment but its issuer.
pub(super) fn router(issuer: &str) -> Router {
    let text = Bytes::from(of(issuer).to_string());
    let answer = move || {
        let text = text.clone();
        std::future::ready(([(header::CONTENT_TYPE, "application/json")], text))
    };
    Router::new().route("/api/openapi.json", get(answer))
}
