//! Documents that somebody has: exports, saved answers, events.

use super::record::{Bringer, Incoming, Mark, Tally, keep};
use super::split::split;
use crate::base::{Clock, Rng};
use crate::model::{Came, PrincipalRef};
use crate::store::findings::Stored;
use crate::store::{Store, StoreError};

/// Findings of one transaction.
const PAGE: usize = 100;

/// Why a document was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not JSON. Nothing of it was kept.
    #[error("it is no JSON: {0}; unpack it first if it is compressed")]
    Json(#[from] serde_json::Error),
    /// The database. What came before is kept; importing again goes on where this ended.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps every finding of a document. Importing it again changes nothing.
///
/// # Errors
/// [`ImportError`].
pub async fn import(
    store: &Store,
    document: &[u8],
    principal: &PrincipalRef,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(Tally, Vec<(Came, Stored)>), ImportError> {
    let by = Bringer { origin: "import", is_live: false, principal: Some(principal.clone()) };
    let (mut tally, mut all) = (Tally::default(), Vec::new());
    for page in split(document)?.chunks(PAGE) {
        let page: Vec<_> = page.iter().map(|piece| Incoming::read(*piece)).collect();
        let kept = keep(store, &page, &by, None::<&Mark<'_, ()>>, clock, rng).await?;
        page.iter().zip(&kept).for_each(|(one, (came, _))| tally.add(*came, one.finding.problem.is_some()));
        all.extend(kept);
    }
    Ok((tally, all))
}
