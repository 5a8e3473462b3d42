//! What a leaf commits to: two salted commitments, one of the half that can be erased and one of the half that stays,
//! over the stored bytes. When a half and its salt are erased, its commitment tells nothing, and the leaf still proves
//! that the entry was there. The format cannot change later.

use crate::crypto::sha256;
use crate::store::entry::Half;

/// The commitment of one half: SHA-256 of a tag, the salt and the bytes. The salt's length is fixed at 16.
fn commit(tag: u8, half: Half<'_>) -> Option<[u8; 32]> {
    let Some(body) = half.body else { return half.salt.try_into().ok() };
    let mut input = Vec::with_capacity(1 + half.salt.len() + body.len());
    input.push(tag);
    input.extend_from_slice(half.salt);
    input.extend_from_slice(body);
    Some(sha256(&input))
}

/// The commitment of the half that can be erased: what stays in the place of its salt, once it is.
pub fn of_personal(half: Half<'_>) -> Option<[u8; 32]> {
    commit(1, half)
}

/// The commitment of the other half.
pub fn of_rest(half: Half<'_>) -> Option<[u8; 32]> {
    commit(2, half)
}

/// The RFC 9162 leaf hash (2.1.1: SHA-256 of `0x00` and the leaf data) of an event; the leaf data are the two
/// commitments. `None` when an erased half does not have a commitment of 32 bytes.
pub fn hash(personal: Half<'_>, rest: Half<'_>) -> Option<[u8; 32]> {
    let mut data = [0; 65];
    let (personal, rest) = (of_personal(personal)?, of_rest(rest)?);
    for (to, from) in data.iter_mut().skip(1).zip(personal.into_iter().chain(rest)) {
        *to = from;
    }
    Some(sha256(&data))
}
