//! A posted form of a page: small, one spelling, nothing twice.

use axum::body::Body;
use axum::extract::Request;
use http::request::Parts;
use zeroize::Zeroizing;

use crate::http::body;
use crate::http::problem::{Kind, Problem};

/// Longest form that is read: a passkey's answer is the longest there is.
pub const LONGEST: usize = 32 * 1024;
/// Most fields.
const MOST: usize = 32;

/// The fields of a form. Their values are wiped when it is dropped, and do not print.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads the body of a request whose content type says that it is a form.
    ///
    /// # Errors
    /// The problem: 413 past [`LONGEST`], 415 for another type, 400 when it does not parse.
    pub async fn read(request: Request<Body>) -> Result<(Parts, Self), Problem> {
        let (parts, stream) = request.into_parts();
        if !body::is_type(&parts.headers, "application/x-www-form-urlencoded") {
            let detail = "send the form as application/x-www-form-urlencoded";
            return Err(Problem::new(Kind::UnsupportedMediaType).detail(detail));
        }
        let bytes = body::read(stream, LONGEST).await?;
        let form =
            Self::parse(&bytes).ok_or_else(|| Problem::new(Kind::InvalidBody).detail("the form does not parse"))?;
        Ok((parts, form))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let pairs: Vec<(String, Zeroizing<String>)> = serde_urlencoded::from_bytes::<Vec<(String, String)>>(bytes)
            .ok()?
            .into_iter()
            .map(|(name, value)| (name, Zeroizing::new(value)))
            .collect();
        let twice = |(at, (name, _)): (usize, &(String, _))| pairs.iter().take(at).any(|(other, _)| other == name);
        // No database keeps a NUL in a text.
        let nul = |(name, value): &(String, Zeroizing<String>)| name.contains('\0') || value.contains('\0');
        if pairs.len() > MOST || pairs.iter().enumerate().any(twice) || pairs.iter().any(nul) {
            return None;
        }
        Some(Self(pairs))
    }

    /// The value of a field; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_there_once_or_the_form_does_not_count() {
        let form = Form::parse(b"username=ada&password=a+b%26").unwrap();
        assert_eq!((form.get("username"), form.get("password"), form.get("other")), ("ada", "a b&", ""));
        assert!(!format!("{form:?}").contains("a b&"));
        let many: String = (0..33).map(|i| format!("f{i}=x&")).collect();
        for bad in ["a=1&a=2", "a=1&b=2&a=1", "a=x%00", "%00=x", &many] {
            assert!(Form::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
