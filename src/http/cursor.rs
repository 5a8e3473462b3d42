//! Cursors: where the next page of a list begins. Opaque to the caller, authenticated, and good only for the caller and the
//! filter they were given for.

use aws_lc_rs::hmac;

use crate::base::{Rng, Secret, rng};
use crate::crypto::b64url;

/// Bytes of the tag that are sent: 128 bits.
const TAG: usize = 16;

/// Makes and opens cursors under one key.
#[derive(Clone)]
pub struct Cursors(hmac::Key);

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors([redacted])")
    }
}

impl Cursors {
    /// Cursors that every process with this secret opens: give it one of the configured sealing keys.
    pub fn derived(secret: &Secret<String>) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let own = hmac::sign(&root, b"stockade cursor v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// Cursors that die with this process.
    pub fn random(random: &dyn Rng) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &rng::bytes::<32>(random)))
    }

    /// A cursor at `position`, good together with `binding`: whatever must not change between pages, such as the caller and
    /// the filter.
    pub fn seal(&self, binding: &[&str], position: i64) -> String {
        self.sealed(binding, &position.to_be_bytes())
    }

    /// The same, where positions are text.
    pub fn seal_text(&self, binding: &[&str], position: &str) -> String {
        self.sealed(&[&["text"][..], binding].concat(), position.as_bytes())
    }

    fn sealed(&self, binding: &[&str], position: &[u8]) -> String {
        let mut bytes = position.to_vec();
        bytes.extend(self.tag(binding, position));
        b64url::encode(&bytes)
    }

    /// The position of a cursor; `None` when it is not one of ours, was changed, or was given for another binding.
    pub fn open(&self, binding: &[&str], cursor: &str) -> Option<i64> {
        let bytes = b64url::decode_strict(cursor)?;
        let (position, tag): (&[u8; 8], _) = bytes.split_first_chunk()?;
        crate::crypto::compare::equal(&self.tag(binding, position), tag).then(|| i64::from_be_bytes(*position))
    }

    /// The position of a cursor of [`Cursors::seal_text`]; `None` as [`Cursors::open`] says.
    pub fn open_text(&self, binding: &[&str], cursor: &str) -> Option<String> {
        let bytes = b64url::decode_strict(cursor)?;
        let (position, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        let expected = self.tag(&[&["text"][..], binding].concat(), position);
        crate::crypto::compare::equal(&expected, tag).then(|| String::from_utf8(position.to_vec()).ok())?
    }

    fn tag(&self, binding: &[&str], position: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(position);
        for part in binding {
            // Lengths first: parts cannot run into each other.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().iter().copied().take(TAG).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn a_cursor_opens_only_as_it_was_given() {
        let cursors = Cursors::random(&SeededRng::new(1));
        let cursor = cursors.seal(&["Client::\"a\"", "kind=x"], 4711);
        assert_eq!(cursors.open(&["Client::\"a\"", "kind=x"], &cursor), Some(4711));
        for binding in [&["Client::\"b\"", "kind=x"][..], &["Client::\"a\"", "kind=y"], &["Client::\"a\"kind=x"], &[]] {
            assert_eq!(cursors.open(binding, &cursor), None, "{binding:?}");
        }
        assert_eq!(Cursors::random(&SeededRng::new(2)).open(&["Client::\"a\"", "kind=x"], &cursor), None);
    }

    #[test]
    fn a_position_of_text_opens_as_text_alone() {
        let cursors = Cursors::random(&SeededRng::new(1));
        let cursor = cursors.seal_text(&["x"], "12345678");
        assert_eq!(cursors.open_text(&["x"], &cursor).as_deref(), Some("12345678"));
        assert_eq!(cursors.open(&["x"], &cursor), None);
        assert_eq!(cursors.open_text(&["y"], &cursor), None);
        let number = cursors.seal(&["x"], 7);
        assert_eq!(cursors.open_text(&["x"], &number), None);
        for text in ["", "AAAA"] {
            assert_eq!(cursors.open_text(&[], text), None);
        }
    }

    #[test]
    fn a_changed_cursor_does_not_open() {
        let cursors = Cursors::derived(&Secret::new("k".repeat(32)));
        let cursor = cursors.seal(&[], 1);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(cursors.open(&[], std::str::from_utf8(&changed).unwrap()), None, "byte {at}");
        }
        for text in ["", "A", "AAAA", cursor.trim_start_matches('A'), &format!("{cursor}A"), &format!("{cursor}=")] {
            assert_eq!(cursors.open(&[], text), None, "{text}");
        }
        assert_eq!(Cursors::derived(&Secret::new("k".repeat(32))).open(&[], &cursor), Some(1));
    }
}
