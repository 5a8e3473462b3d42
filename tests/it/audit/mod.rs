//! Tests of `audit`: the API over its router, on both databases.

mod api;
mod bad_input;
mod counts;
mod guard;
pub(crate) mod rows;
pub(crate) mod stage;
mod tail;
mod take;
mod tlog;
