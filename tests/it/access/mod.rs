//! Tests of `access`.

mod batches;
mod callers;
mod certification;
mod form;
mod scenarios;
mod stage;
