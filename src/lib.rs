//! Stockade fences an API: who is calling (OAuth 2.1), whether they may (Cedar), how often (token buckets), and what
//! happened (a tamper-evident log).
//!
//! # The map of the house
//!
//! Data moves one way; a module imports only what stands to its left. `tests/it/house.rs` keeps it so.
//!
//! ```text
//! base -> model -> config -> telemetry -> store, crypto, policy, limits -> live, audit_log, registry
//!      -> accounts, doctor -> http -> oauth login enforce access audit findings manage -> ticks -> app -> cli -> main
//! ```
//!
//! `sqlx` lives under [`store`], `cedar_policy` under [`policy`], `axum` in [`http`], the rooms and [`app`]; stdout and
//! the process's exit belong to [`cli`] and `main`, the environment to [`config`]. Rooms never import each other: what
//! two rooms share moves left.
//!
//! Without default features the library is the tower layer ([`enforce`]), the policy engine and the buckets; it builds
//! without database and HTTP server.

pub mod base;
pub mod crypto;
pub mod enforce;
pub mod http;
pub mod limits;
pub mod model;
pub mod policy;
pub mod telemetry;

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod accounts;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod audit_log;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod findings;
#[cfg(feature = "server")]
pub mod live;
#[cfg(feature = "server")]
pub mod login;
#[cfg(feature = "server")]
pub mod manage;
#[cfg(feature = "server")]
pub mod oauth;
#[cfg(feature = "server")]
pub mod registry;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod ticks;
