//! Tests of `policy`.

mod bad_trees;
mod corpora;
mod engine;
mod explains;
mod fail_closed;
mod generated;
mod remembered;
mod routes;
mod shipped;
mod yaml;
