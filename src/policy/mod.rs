//! Cedar policies: loaded as one immutable [`Snapshot`], indexed by scope, decided fail closed, explained. Pure: no HTTP,
//! no database.
//!
//! ```text
//! files -> load (parse, validate strictly, every problem at once) -> Snapshot (index, static entities, routes, tiers)
//! Engine = the snapshot in force, swapped atomically; the last good one stays when a load fails
//! decide = candidates from the index -> Cedar -> fail-closed wrapper -> model::Decision
//! ```
//!
//! Cedar skips a policy that errs. For a `permit` that is safe; for a `forbid` it opens the door, so here the request is
//! denied ([`crate::model::DenyReason::ForbidErred`]), as it is when the principal or the resource is not a known entity,
//! when the request does not fit the schema, and while no snapshot is loaded.

pub mod ambient;
pub mod claims;
mod decide;
mod embedded;
mod engine;
mod entity;
pub mod explain;
mod facts;
mod index;
mod issuance;
mod load;
mod named;
mod needed;
mod problem;
mod reads;
mod remembered;
mod risk;
mod routes;
#[cfg(feature = "server")]
mod rows;
mod shape;
mod snapshot;
mod step_up;
pub mod testing;
mod tiers;
pub mod types;
#[cfg(feature = "server")]
mod within;

pub use decide::Question;
pub use embedded::embedded;
pub use engine::Engine;
pub use entity::{Principal, Resource};
pub use facts::Facts;
pub use index::Index;
pub use issuance::Issuance;
pub use load::check;
pub use named::{Prepared, WireContext};
pub use problem::{Files, Problem, Severity};
pub use risk::{Known, Risk, Standings, place};
pub use routes::{Route, RouteMatch};
#[cfg(feature = "server")]
pub use rows::{Rows, Said};
pub use snapshot::Snapshot;
pub use step_up::StepUp;
pub use tiers::Tier;
