//! Everything that needs HTTP, SQL or files. Folders mirror the rooms; `house` guards the arrows between them.
#![cfg(test)] // for clippy: a helper may panic where a test may

mod access;
mod accounts;
mod audit;
mod audit_log;
mod cli;
mod config;
mod crypto;
mod doctor;
mod end_to_end;
mod enforce;
mod findings;
mod house;
mod http;
mod limits;
mod live;
mod login;
mod manage;
mod oauth;
mod policy;
mod store;
mod support;
mod telemetry;
