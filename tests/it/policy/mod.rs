//! Tests of `policy`.

mod shipped;
