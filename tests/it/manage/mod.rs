//! Tests of `manage`, each on both databases.

mod clients;
mod conditions;
mod guard;
mod idempotency;
mod keys;
pub(crate) mod stage;
mod tokens;
mod users;
