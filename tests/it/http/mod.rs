//! Tests of `http`.

mod edge;
mod flow;
mod serve;
mod session;
