//! Tests of `enforce`.

mod bearer;
mod demo;
mod dpop;
mod limits;
mod nginx;
mod risk;
mod stage;
mod step_up;
