//! From outside: the built binary, its files and the wire, as its users meet them.

mod bad_input;
mod browser;
mod clients;
mod database_gone;
mod discovery;
mod disk_full;
mod drain;
mod forged_tokens;
mod kill;
mod leaks;
mod load;
mod login;
mod nginx;
mod openapi;
mod operations;
mod policies;
mod postgres_stage;
mod remote;
mod risk;
mod secrets;
mod stage;
mod tour;
mod two_processes;
mod wire;
mod workloads;
