//! `application/x-www-form-urlencoded` bodies, read strictly (RFC 6749 3.2): one spelling, nothing repeated but
//! `resource`, nothing in the query, at most 64 KiB.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::error::Error;
use crate::http::body;
pub(super) use crate::http::query::decode;

/// Longest body that is read.
const LONGEST: usize = 64 * 1024;
/// Most parameters that are read.
const MOST: usize = 64;
/// The one parameter that may be repeated (RFC 8707 2).
const RESOURCE: &str = "resource";

/// Reads the body of a form `POST`.
pub(super) async fn read(request: Request<Body>) -> Result<(HeaderMap, Bytes), Error> {
    if request.method() != Method::POST {
        return Err(Error::Method("POST"));
    }
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(Error::InvalidRequest("parameters belong in the body, not in the query"));
    }
    let headers = request.headers().clone();
    read_beside(request).await.map(|body| (headers, body))
}

/// Reads the body of a form where a query may stand beside it: our own pages post to where they were.
pub(super) async fn read_beside(request: Request<Body>) -> Result<Bytes, Error> {
    let (parts, stream) = request.into_parts();
    if !body::is_type(&parts.headers, "application/x-www-form-urlencoded") {
        return Err(Error::InvalidRequest("send the parameters as application/x-www-form-urlencoded"));
    }
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > LONGEST as u64) {
        return Err(Error::TooLarge);
    }
    match Limited::new(stream, LONGEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge),
        Err(_) => Err(Error::InvalidRequest("the body ended early")),
    }
}

/// The parameters of one request. A parameter without a value counts as absent (RFC 6749 3.2).
#[derive(Debug)]
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|_| Error::InvalidRequest("the body is not UTF-8"))?;
        let mut fields: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return Err(Error::InvalidRequest("the body has a broken percent-encoding"));
            };
            if name != RESOURCE && fields.iter().any(|(known, _)| *known == name) {
                return Err(Error::InvalidRequest("a parameter is repeated"));
            }
            if fields.len() == MOST {
                return Err(Error::InvalidRequest("there are too many parameters"));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The value of a parameter, if there is one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_absent() {
        let form = Form::parse(b"grant_type=client_credentials&scope=a%20b+c&client_id=&x&&y==").unwrap();
        assert_eq!(form.get("grant_type"), Some("client_credentials"));
        assert_eq!(form.get("scope"), Some("a b c"));
        assert_eq!((form.get("client_id"), form.get("x"), form.get("y")), (None, None, Some("=")));
    }

    #[test]
    fn only_resource_may_be_repeated() {
        let form = Form::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        for body in ["scope=a&scope=a", "scope=&scope=a", "s%63ope=a&scope=b", "x=1&x=2"] {
            assert_eq!(Form::parse(body.as_bytes()).unwrap_err(), Error::InvalidRequest("a parameter is repeated"));
        }
    }

    #[test]
    fn broken_encodings_and_too_many_parameters_are_refused() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=a", "a=%C3%28"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Form::parse(b"a=\xff").is_err());
        let many: Vec<String> = (0..65).map(|i| format!("p{i}=1")).collect();
        assert!(Form::parse(many.join("&").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn what_another_encoder_writes_is_read(pairs in proptest::collection::vec(("[a-z]{1,8}", "\\PC{1,20}"), 0..10)) {
            let pairs: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
            let body = serde_urlencoded::to_string(&pairs).unwrap();
            let form = Form::parse(body.as_bytes()).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(form.get(name), Some(value.as_str()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
        }
    }
}
