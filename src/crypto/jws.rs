//! JWS compact serialisation (RFC 7515 7.1): written with a pre-encoded header into one buffer, read with suspicion.

use serde::{Deserialize, Serialize};

use super::keyring::Signer;
use super::{CryptoError, b64url, claims};

/// The `typ` of access tokens (RFC 9068 2.1).
pub const ACCESS_TOKEN: &str = "at+jwt";

/// Longer texts are not read at all.
pub const LONGEST: usize = 16 * 1024;

/// Signs `claims` as a JWT of type `typ`.
///
/// # Errors
/// When the claims do not serialise or the library refuses.
pub fn sign(signer: &Signer, typ: &str, claims: &impl Serialize) -> Result<String, CryptoError> {
    if typ == ACCESS_TOKEN {
        sign_with(signer, &signer.access_header, claims)
    } else {
        sign_with(signer, &signer.header(typ), claims)
    }
}

fn sign_with(signer: &Signer, header: &str, claims: &impl Serialize) -> Result<String, CryptoError> {
    let mut payload = Vec::with_capacity(512);
    serde_json::to_writer(&mut payload, claims).map_err(|_| CryptoError::Refused)?;
    // 342 characters hold the longest signature, of RSA with 2048 bits.
    let mut token = String::with_capacity(header.len() + b64url::encoded_len(payload.len()) + 343);
    token.push_str(header);
    b64url::encode_onto(&payload, &mut token);
    let signature = signer.signature(token.as_bytes())?;
    token.push('.');
    b64url::encode_onto(&signature, &mut token);
    Ok(token)
}

/// What is read of a header. A repeated member is an error; what is not named here has no effect.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, deserialize_with = "claims::optional_text")]
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    pub(super) kid: Option<String>,
    #[serde(default, deserialize_with = "claims::present")]
    crit: bool,
}

impl Header {
    /// Whether `typ` is `wanted`, with or without `application/`, in any case (RFC 7515 4.1.9).
    pub(super) fn is(&self, wanted: &str) -> bool {
        let Some(typ) = &self.typ else { return false };
        let short = match typ.split_at_checked(12) {
            Some((front, rest)) if front.eq_ignore_ascii_case("application/") => rest,
            _ => typ,
        };
        short.eq_ignore_ascii_case(wanted)
    }
}

/// A token taken apart; nothing in it is proven.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    /// What was signed.
    pub(super) message: &'a [u8],
    pub(super) payload: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Why a text is not a JWS that could be looked at further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not three strict base64url parts with a JSON header.
    Malformed,
    /// `crit` names extensions; there are none that we understand (RFC 7515 4.1.11).
    Critical,
}

impl<'a> Parts<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, Unreadable> {
        if token.len() > LONGEST {
            return Err(Unreadable::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Unreadable::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Unreadable::Malformed)?;
        if payload.contains('.') {
            return Err(Unreadable::Malformed);
        }
        let bytes = b64url::decode_strict(header).ok_or(Unreadable::Malformed)?;
        let header: Header = claims::object(&bytes).ok_or(Unreadable::Malformed)?;
        if header.crit {
            return Err(Unreadable::Critical);
        }
        let signature = b64url::decode_strict(signature).ok_or(Unreadable::Malformed)?;
        Ok(Self { header, message: signed.as_bytes(), payload, signature })
    }

    /// The payload's bytes. Read them after the signature was checked.
    pub(super) fn claims(&self) -> Option<Vec<u8>> {
        b64url::decode_strict(self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Result<Header, Unreadable> {
        Parts::read(&format!("{}.e30.AA", b64url::encode(json.as_bytes()))).map(|p| p.header)
    }

    #[test]
    fn the_type_is_compared_as_a_media_type() {
        for (typ, is) in [
            ("at+jwt", true),
            ("AT+JWT", true),
            ("application/at+jwt", true),
            ("JWT", false),
            ("application/jwt", false),
        ] {
            assert_eq!(header(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#)).unwrap().is("at+jwt"), is, "{typ}");
        }
        assert!(!header(r#"{"alg":"ES256"}"#).unwrap().is("at+jwt"));
    }

    #[test]
    fn repeated_members_wrong_types_and_crit_are_refused() {
        for bad in [
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":null}"#,
            r#"{"typ":"at+jwt"}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"["ES256"]"#,
            r#"["ES256","at+jwt","kid"]"#,
            r#"{"alg":"ES256","typ":null}"#,
            r#"{"alg":"ES256","kid":null}"#,
            "",
        ] {
            assert_eq!(header(bad).unwrap_err(), Unreadable::Malformed, "{bad}");
        }
        assert_eq!(header(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#).unwrap_err(), Unreadable::Critical);
        assert_eq!(header(r#"{"alg":"ES256","crit":null}"#).unwrap_err(), Unreadable::Critical);
        assert_eq!(header(r#"{"alg":"ES256","crit":[]}"#).unwrap_err(), Unreadable::Critical);
    }

    #[test]
    fn only_three_parts_are_read() {
        for bad in ["", ".", "..", "e30.e30", "a.b.c.d", "e30.e30.AA.AA", "e30..", "e30=.e30.AA"] {
            assert!(Parts::read(bad).is_err(), "{bad}");
        }
        assert!(Parts::read(&"a".repeat(LONGEST + 1)).is_err());
    }
}
