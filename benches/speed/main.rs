//! `make bench`: every speed and memory promise as a ratio, measured in one run.
//!
//! Servers are child processes, measured alone and in turn (A B A B); processor time a request comes from
//! `/proc/PID/stat`, because it survives what else the machine does. Floors are this program itself, run as a server.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise, prints, and reads the machine's clocks"
)]

mod append;
mod buckets;
mod compare;
mod decisions;
mod floor;
mod load;
mod people;
mod policies;
mod process;
mod report;
mod stage;
mod timing;
mod wire;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("floor") => floor::serve(arguments.get(1).expect("an address")),
        Some("layers") => floor::serve_behind_layers(arguments.get(1).expect("an address")),
        Some("keys") => println!("{}", buckets::keys()),
        Some("flood") => println!("{}", buckets::flood()),
        _ => measure(&arguments),
    }
}

type Section = (&'static str, fn(&mut report::Report));

/// In process first: nothing else runs then.
const SECTIONS: [Section; 6] = [
    ("compare", compare::measure),
    ("buckets", buckets::measure),
    ("decisions", decisions::measure),
    ("append", append::measure),
    ("wire", wire::measure),
    ("people", people::measure),
];

/// Measures the sections that are wanted; all of them when none is named.
fn measure(wanted: &[String]) {
    let mut report = report::Report::default();
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            section(&mut report);
        }
    }
    println!("{}", report.table());
    let json = serde_json::to_string_pretty(&report.json()).expect("JSON");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/bench-results.json"), json + "\n").expect("written");
}
