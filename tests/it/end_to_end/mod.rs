//! From outside: the built binary, its files and the wire, as its users meet them.

mod bad_input;
mod clients;
mod database_gone;
mod disk_full;
mod drain;
mod forged_tokens;
mod kill;
mod load;
mod nginx;
mod operations;
mod policies;
mod postgres_stage;
mod secrets;
mod stage;
mod tour;
mod two_processes;
mod wire;
mod workloads;

/// Says that this machine's kernel does not let a test run; unlike a missing package, nothing can be installed for it.
fn cannot(reason: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "\nSKIPPED: {reason}").ok();
}
