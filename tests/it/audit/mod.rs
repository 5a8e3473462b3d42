//! Tests of `audit`: the API over its router, on both databases.

mod api;
mod bad_input;
mod guard;
pub(crate) mod stage;
mod tlog;
