//! Tests of `http`.

mod edge;
mod fetch;
mod flow;
mod serve;
mod session;
