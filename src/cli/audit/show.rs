//! Events at a terminal: aligned, coloured, with times as one says them; elsewhere plain and as recorded.

use std::io::{self, IsTerminal as _};

use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::super::output::{self, Format};
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::config;

const COLUMNS: [&str; 8] = ["seq", "time", "kind", "outcome", "principal", "action", "resource", "reason"];
/// How wide the columns of a line are that comes alone; what is longer pushes the rest on.
const WIDTHS: [usize; 8] = [7, 27, 20, 7, 24, 18, 24, 0];
const RESET: &str = "\x1b[0m";

/// How events look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    is_coloured: bool,
    is_relative: bool,
}

impl Look {
    /// As stdout takes it: `ages` for how long ago, on a terminal. `NO_COLOR` is heeded.
    pub(super) fn new(ages: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let plain = config::environment().get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_coloured: is_terminal && !plain, is_relative: is_terminal && ages }
    }

    fn cells(self, entry: &Map<String, Value>, now: Timestamp) -> Vec<String> {
        let cell = |name: &&str| {
            let text = output::shown(&output::cell(entry.get(*name).unwrap_or(&Value::Null)));
            match (*name, Timestamp::parse(&text)) {
                ("time", Some(time)) if self.is_relative => ago(now, time),
                _ => text,
            }
        };
        COLUMNS.iter().map(cell).collect()
    }

    fn painted(self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if n > 0 {
                line.push_str("  ");
            }
            let colour = if self.is_coloured { colour(n, cell) } else { "" };
            line.push_str(colour);
            line.push_str(cell);
            line.push_str(if colour.is_empty() { "" } else { RESET });
            let pad = width.saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', pad));
        }
        line.trim_end().to_owned()
    }

    /// Under a header, aligned.
    pub(super) fn list(self, found: &[Map<String, Value>]) -> Result<(), Failure> {
        let now = SystemClock.now();
        let header: Vec<String> = COLUMNS.iter().map(|name| name.to_uppercase()).collect();
        let rows: Vec<Vec<String>> = found.iter().map(|entry| self.cells(entry, now)).collect();
        let width = |n: usize| {
            let cells = std::iter::once(&header).chain(&rows).filter_map(|row| row.get(n));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
        let plain = Self { is_coloured: false, ..self };
        output::line(plain.painted(&header, &widths))?;
        rows.iter().try_for_each(|row| output::line(self.painted(row, &widths)))
    }

    /// One event on one line.
    pub(super) fn line(self, format: Format, entry: &Map<String, Value>) -> Result<(), Failure> {
        match format {
            Format::Json => output::line(output::json_shown(&Value::Object(entry.clone()).to_string())),
            Format::Table => output::line(self.painted(&self.cells(entry, SystemClock.now()), &WIDTHS)),
        }
    }
}

fn colour(column: usize, cell: &str) -> &'static str {
    match (column, cell) {
        (0 | 1, _) => "\x1b[2m",
        (2, _) => "\x1b[36m",
        (3, "allowed") => "\x1b[32m",
        (3, "denied") => "\x1b[31m",
        (3, _) => "\x1b[33m",
        _ => "",
    }
}

/// How long ago, in one unit.
fn ago(now: Timestamp, time: Timestamp) -> String {
    let secs = now.as_secs() - time.as_secs();
    match secs {
        i64::MIN..0 => time.to_string(),
        0..60 => format!("{secs}s ago"),
        60..3600 => format!("{}m ago", secs / 60),
        3600..172_800 => format!("{}h ago", secs / 3600),
        _ => format!("{}d ago", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Map<String, Value> {
        let entry = json!({
            "seq": 7, "time": "2026-11-24T10:00:00.000000Z", "kind": "decision", "outcome": "denied",
            "principal": "Client::\"\u{1b}[2J\u{202e}x\"", "action": "a:b",
        });
        entry.as_object().unwrap().clone()
    }

    #[test]
    fn a_hostile_name_moves_no_cursor() {
        for is_coloured in [false, true] {
            let look = Look { is_coloured, is_relative: false };
            let line = look.painted(&look.cells(&entry(), Timestamp::from_secs(0)), &WIDTHS);
            assert!(line.contains("Client::\"\\u{1b}[2J\\u{202e}x\""), "{line}");
            assert_eq!(line.contains('\u{1b}'), is_coloured, "{line}");
            assert!(!line.contains("\u{1b}[2J") && !line.contains('\u{202e}'));
        }
    }

    #[test]
    fn ages_are_said_in_one_unit() {
        let now = Timestamp::parse("2026-11-24T10:00:00Z").unwrap();
        for (time, said) in [
            ("2026-11-24T09:59:58Z", "2s ago"),
            ("2026-11-24T09:10:00Z", "50m ago"),
            ("2026-11-23T10:00:00Z", "24h ago"),
            ("2026-11-14T10:00:00Z", "10d ago"),
            ("2026-11-24T10:00:01Z", "2026-11-24T10:00:01.000000Z"),
        ] {
            assert_eq!(ago(now, Timestamp::parse(time).unwrap()), said);
        }
    }
}
