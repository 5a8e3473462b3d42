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
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::failed(format!("cannot write JSON: {e}")))?;
    line(json_shown(&text))
}

/// Whether a character does something to a terminal, or to how the text around it is read.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text that nobody here wrote, for a terminal: what would move its cursor, colour it or turn it round is spelled out.
pub(super) fn shown(text: &str) -> String {
    let each = |c: char| if is_hostile(c) { c.escape_unicode().to_string() } else { c.to_string() };
    if text.chars().any(is_hostile) { text.chars().map(each).collect() } else { text.to_owned() }
}

/// JSON that a terminal can be shown: the same JSON.
pub(super) fn json_shown(json: &str) -> String {
    let is_plain = |c: char| c == '\n' || !is_hostile(c);
    let each = |c: char| if is_plain(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    if json.chars().all(is_plain) { json.to_owned() } else { json.chars().map(each).collect() }
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
        table.add_row(row(item).iter().map(|cell| shown(cell)));
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
        table.add_row([*name, &shown(value)]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_a_terminal_s_cursor_is_spelled_out() {
        assert_eq!(shown("a\u{1b}[31mb\u{9b}c\u{202e}d\re"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\u{d}e");
        assert_eq!(shown("\u{fc}ber \u{1f600}"), "\u{fc}ber \u{1f600}");
        let value = serde_json::json!({ "a": "\u{1b}[2J\u{9b}\u{202e}\u{7f}\u{feff}" });
        let text = json_shown(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
