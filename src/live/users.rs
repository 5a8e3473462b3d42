//! People in memory: those asked about lately. Any change of anybody forgets all of them, which costs a read each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto::bounded::Bounded;
use crate::model::User;
use crate::policy::Principal;
use crate::store::{Handle, Store, StoreError, Tx, users};

/// How many people are remembered.
const REMEMBERED: usize = 65_536;

/// A person in memory, with what the hot paths would otherwise compute each time.
#[derive(Debug)]
pub struct LiveUser {
    /// The person.
    pub user: User,
    /// The version in the store.
    pub version: i64,
    /// The Cedar entity.
    pub principal: Principal,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Users {
    known: Bounded<Box<str>, Arc<LiveUser>>,
    /// Raised before each forgetting: what was read before it is not remembered after it.
    turn: AtomicU64,
}

impl Users {
    pub(super) fn new() -> Self {
        Self { known: Bounded::new(REMEMBERED), turn: AtomicU64::new(0) }
    }

    pub(super) async fn get(&self, store: &Store, user_id: &str) -> Result<Option<Arc<LiveUser>>, StoreError> {
        if let Some(known) = self.known.get(user_id) {
            return Ok(Some(known));
        }
        let turn = self.turn.load(Ordering::SeqCst);
        let Some(live) = read(&mut store.read().await?, user_id).await? else { return Ok(None) };
        self.known.insert(user_id.into(), Arc::clone(&live));
        if self.turn.load(Ordering::SeqCst) != turn {
            self.known.remove(user_id);
        }
        Ok(Some(live))
    }

    pub(super) async fn get_in(&self, tx: &mut Tx, user_id: &str) -> Result<Option<Arc<LiveUser>>, StoreError> {
        match self.known.get(user_id) {
            Some(known) => Ok(Some(known)),
            None => read(tx, user_id).await,
        }
    }

    pub(super) fn forget(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.known.clear();
    }
}

async fn read(handle: &mut impl Handle, user_id: &str) -> Result<Option<Arc<LiveUser>>, StoreError> {
    let Some(users::Stored { version, user }) = users::find(handle, user_id).await? else { return Ok(None) };
    let principal = Principal::user(&user.user_id, &user.roles, user.disabled);
    Ok(Some(Arc::new(LiveUser { user, version, principal })))
}
