//! Scopes as RFC 6749 3.3 spells them.

use super::error::Error;

/// The scopes that a request asks for, each once, in order. `None` when it asks for none.
pub(super) fn requested(text: Option<&str>) -> Result<Option<Vec<&str>>, Error> {
    let Some(text) = text else { return Ok(None) };
    let mut scopes: Vec<&str> = Vec::with_capacity(4);
    for scope in text.split(' ') {
        if scope.is_empty() || !scope.bytes().all(is_scope_char) {
            return Err(Error::InvalidScope("scopes are separated by one space and have no quotes"));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(Some(scopes))
}

/// Whether a scope only makes sense where a person signed in.
pub(super) fn is_for_people(scope: &str) -> bool {
    matches!(scope, "openid" | "offline_access")
}

/// `%x21 / %x23-5B / %x5D-7E`: what stands in a JSON string as it is.
pub(super) fn is_scope_char(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_split_at_single_spaces_and_kept_once() {
        assert_eq!(requested(None), Ok(None));
        assert_eq!(requested(Some("b a b")), Ok(Some(vec!["b", "a"])));
        for bad in [" a", "a ", "a  b", "a\"b", "a\\b", "a\tb", "ä", "a\0"] {
            assert!(requested(Some(bad)).is_err(), "{bad:?}");
        }
    }
}
