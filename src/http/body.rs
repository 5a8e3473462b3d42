//! Request bodies, bounded.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The whole of `body`, at most `limit` bytes.
///
/// # Errors
/// A problem of kind [`Kind::BodyTooLarge`] past the limit, [`Kind::InvalidBody`] when it breaks off.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Kind::BodyTooLarge).detail(format!("the body is longer than {limit} bytes: send less")))
        }
        Err(_) => Err(Problem::new(Kind::InvalidBody).detail("the body broke off: send it again")),
    }
}

/// Whether `Content-Type` is `wanted`, whatever its parameters.
pub fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or("").split(';').next().unwrap_or("");
    essence.trim().eq_ignore_ascii_case(wanted)
}

/// A JSON body of type `T`, at most `limit` bytes.
///
/// # Errors
/// As [`read`]; [`Kind::UnsupportedMediaType`] when it is not `application/json`; [`Kind::InvalidBody`] with line and column
/// when it does not parse.
pub async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body, limit: usize) -> Result<T, Problem> {
    if !is_type(headers, "application/json") {
        let detail = "send the body as `Content-Type: application/json`";
        return Err(Problem::new(Kind::UnsupportedMediaType).detail(detail));
    }
    serde_json::from_slice(&read(body, limit).await?).map_err(|error| {
        // serde_json names what it expected and where; the values it quotes are the caller's own.
        Problem::new(Kind::InvalidBody).detail(error.to_string())
    })
}
