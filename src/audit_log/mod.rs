//! The append side of the audit log: a bounded queue, group commit, the Merkle tree, signed tree heads, export and the
//! offline verifier. Rooms hand events to [`AuditLog`]; what belongs to a state change is written by
//! [`crate::store::events::intake`] in the transaction of that change instead.
//!
//! Numbers have no gaps, and what a full queue drops is itself one event that says how many. One process of a deployment
//! appends at a time (the sequencer, by lease and fence); on SQLite the serving process appends straight to the log, on
//! PostgreSQL every process commits to the intake and the sequencer moves it.

pub mod anchor;
pub mod checkpoint;
pub mod disk;
pub mod erasure;
pub mod export;
pub mod fold;
pub mod heads;
pub mod leaf;
pub mod merkle;
mod offline;
pub mod proof;
pub mod prove;
pub mod retention;
pub mod sequencer;
mod signals;
pub mod tiles;
pub mod verify;
mod walk;
mod writer;

pub use signals::{Signal, Subject, Thresholds};
pub use writer::{AuditLog, NotRecorded, Settings, Worker};
