//! Tests of `enforce`.

mod bearer;
mod demo;
mod limits;
mod nginx;
mod stage;
