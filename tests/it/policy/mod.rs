//! Tests of `policy`.

mod explains;
mod shipped;
