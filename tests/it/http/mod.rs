//! Tests of `http`.

mod edge;
mod fetch;
mod flow;
mod openapi;
mod serve;
mod session;
