//! Tests of `http`.

mod edge;
mod serve;
mod session;
