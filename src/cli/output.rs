//! Data on stdout, notes on stderr.

use std::fmt::Display;
use std::io::{self, Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// JSON for programs
    Json,
}

/// The flag of every command that lists or shows.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Output {
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Format,
}

/// Prints one line on stdout.
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints text as it is on stdout.
pub(super) fn bytes(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"))),
    }
}

/// Prints one line on stderr. When that is gone there is nobody left to tell.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).map_err(|e| Failure::failed(format!("cannot write JSON: {e}")))?)
}

/// Prints rows under a header, or the values behind them as a JSON array.
pub(super) fn list<T: Serialize>(
    format: Format,
    header: &[&str],
    items: &[T],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    if format == Format::Json {
        return json(&items);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for item in items {
        table.add_row(row(item));
    }
    trimmed(&table)
}

/// Prints names and values, one a line, or the value behind them as a JSON object.
pub(super) fn record(format: Format, value: &impl Serialize, rows: &[(&str, String)]) -> Result<(), Failure> {
    if format == Format::Json {
        return json(value);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for (name, value) in rows {
        table.add_row([*name, value]);
    }
    trimmed(&table)
}

/// A value as people read it in a table: text as it is, lists with blanks between, `-` for none.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Without the blanks that a table leaves at both ends of its lines.
fn trimmed(table: &Table) -> Result<(), Failure> {
    for row in table.lines() {
        line(row.trim_end().strip_prefix(' ').unwrap_or(row.trim_end()))?;
    }
    Ok(())
}
