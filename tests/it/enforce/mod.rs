//! Tests of `enforce`.
