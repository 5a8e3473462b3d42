//! What was measured against what, as a table and as JSON.

use serde_json::{Value, json};

/// A bound that a ratio should keep.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Shown beside a bounded line.
    Free,
}

/// One line of the table.
pub(crate) struct Line {
    pub(crate) name: String,
    /// What is compared: `cpu us`, `req/s`, `p99 us`, …
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) other: f64,
    pub(crate) bound: Bound,
}

impl Line {
    fn ratio(&self) -> f64 {
        self.ours / self.other
    }

    fn kept(&self) -> Option<bool> {
        match self.bound {
            Bound::AtMost(limit) => Some(self.ratio() <= limit),
            Bound::AtLeast(limit) => Some(self.ratio() >= limit),
            Bound::Free => None,
        }
    }
}

/// Everything measured in one run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    /// What could not be measured, and why.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    /// Adds a line.
    pub(crate) fn line(&mut self, name: &str, unit: &'static str, ours: f64, other: f64, bound: Bound) {
        self.lines.push(Line { name: name.to_owned(), unit, ours, other, bound });
    }

    /// The table that is printed.
    pub(crate) fn table(&self) -> String {
        let heads = ["measured", "unit", "Stockade", "against", "ratio", "bound", ""].map(str::to_owned);
        let rows = self.lines.iter().map(|line| {
            let bound = match line.bound {
                Bound::AtMost(limit) => format!("<= {limit:.2}"),
                Bound::AtLeast(limit) => format!(">= {limit:.2}"),
                Bound::Free => String::new(),
            };
            let kept = line.kept().map_or("", |kept| if kept { "kept" } else { "MISSED" });
            let (ours, other) = (figure(line.ours), figure(line.other));
            let ratio = format!("{:.2}", line.ratio());
            [line.name.clone(), line.unit.to_owned(), ours, other, ratio, bound, kept.to_owned()]
        });
        let mut text = aligned(&std::iter::once(heads).chain(rows).collect::<Vec<_>>());
        for reason in &self.left_out {
            text.push_str(&format!("SKIPPED: {reason}\n"));
        }
        let missed = self.lines.iter().filter(|line| line.kept() == Some(false)).count();
        let bounded = self.lines.iter().filter(|line| line.kept().is_some()).count();
        text.push_str(&format!("{} of {bounded} bounds kept", bounded - missed));
        text
    }

    /// The same for machines.
    pub(crate) fn json(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                let (least, most) = match line.bound {
                    Bound::AtMost(limit) => (None, Some(limit)),
                    Bound::AtLeast(limit) => (Some(limit), None),
                    Bound::Free => (None, None),
                };
                json!({
                    "name": line.name, "unit": line.unit, "stockade": line.ours, "against": line.other,
                    "ratio": line.ratio(), "at_least": least, "at_most": most, "kept": line.kept(),
                })
            })
            .collect();
        json!({ "lines": lines, "left_out": self.left_out })
    }
}

fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// A Markdown table whose columns line up.
fn aligned(rows: &[[String; 7]]) -> String {
    let widths: Vec<usize> = (0..7).map(|n| rows.iter().map(|row| row[n].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
            text.push_str("|\n");
        }
    }
    text
}
