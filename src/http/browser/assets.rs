//! What pages load from us: one stylesheet, one script. Each under a name made of its digest, so that browsers keep it for
//! good and a new version is another file. Nothing else is ever served from here, and nothing that anyone uploaded.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use http::{HeaderValue, header};

use crate::crypto::{b64url, sha256};

/// Where they stand below the issuer.
const DIR: &str = "/login/assets";

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// Path below the issuer, digest included.
    pub path: String,
    /// `sha256-…`, for the `integrity` of an element (Subresource Integrity 3.3).
    pub integrity: String,
    body: &'static str,
    content_type: HeaderValue,
}

impl Asset {
    fn new(name: &str, body: &'static str, content_type: &'static str) -> Self {
        let digest = sha256(body.as_bytes());
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let version = b64url::encode(digest.first_chunk::<9>().map_or(&[][..], |nine| nine));
        Self {
            path: format!("{DIR}/{stem}-{version}.{extension}"),
            integrity: format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(digest)),
            body,
            content_type: HeaderValue::from_static(content_type),
        }
    }

    fn answer(&self) -> Response {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        ([(header::CONTENT_TYPE, self.content_type.clone()), (header::CACHE_CONTROL, kept)], self.body).into_response()
    }
}

/// The stylesheet of every page.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style.css", include_str!("../../../templates/style.css"), "text/css; charset=utf-8"));

/// The script of pages that offer a passkey. Everything else works without it.
pub static PASSKEY: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("passkey.js", include_str!("../../../templates/passkey.js"), "text/javascript; charset=utf-8")
});

/// The routes of both, below `prefix`.
pub fn router(prefix: &str) -> Router {
    Router::new()
        .route(&format!("{prefix}{}", STYLE.path), get(async || STYLE.answer()))
        .route(&format!("{prefix}{}", PASSKEY.path), get(async || PASSKEY.answer()))
}
