//! Tests of `http`.

mod serve;
