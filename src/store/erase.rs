//! Erasing halves of entries: what remains is their commitment, in the place of their salt.

use super::log::Half;
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};

statements! {
    PERSONAL = shared("select personal, personal_salt from events where seq = $1");
    REST = shared("select rest, rest_salt from events where seq = $1");
    /// The searchable copies go with their half.
    ERASE_PERSONAL = shared(
        "update events set personal = null, personal_salt = $2, principal = null where seq = $1 and personal is not null"
    );
    ERASE_REST = shared(
        "update events set rest = null, rest_salt = $2, action = null, resource = null, request_id = null
         where seq = $1 and rest is not null"
    );
}

/// Which half of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with what is personal.
    Personal,
    /// The other.
    Rest,
}

/// One half of entry `seq`, if there is such an entry.
///
/// # Errors
/// When the database fails.
pub async fn half(handle: &mut impl Handle, seq: i64, which: Which) -> Result<Option<Half>, StoreError> {
    let row: Option<(Option<Vec<u8>>, Vec<u8>)> = match which {
        Which::Personal => run!(handle, PERSONAL, |conn, text| sqlx::query_as(text).bind(seq).fetch_optional(conn))?,
        Which::Rest => run!(handle, REST, |conn, text| sqlx::query_as(text).bind(seq).fetch_optional(conn))?,
    };
    Ok(row.map(|(body, salt)| Half { body, salt }))
}

/// Puts `commitment` in the place of a half; whether it was still there.
///
/// # Errors
/// When the database fails.
pub async fn erase(tx: &mut Tx, seq: i64, which: Which, commitment: &[u8; 32]) -> Result<bool, StoreError> {
    let changed = match which {
        Which::Personal => {
            affected!(tx, ERASE_PERSONAL, |text| sqlx::query(text).bind(seq).bind(commitment.as_slice()))?
        }
        Which::Rest => affected!(tx, ERASE_REST, |text| sqlx::query(text).bind(seq).bind(commitment.as_slice()))?,
    };
    Ok(changed > 0)
}
