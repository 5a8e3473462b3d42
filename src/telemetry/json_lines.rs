//! Log events as JSON, one flat object a line: `timestamp`, `level`, `target`, `message`, and the event's own fields.
//! Every request has a line, so it is written straight into a buffer of the thread: nothing is allocated.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::lines::Lines;
use crate::base::{Clock as _, SystemClock, Timestamp};

/// Writes events to [`Lines`].
pub(super) struct JsonLines(Lines);

impl JsonLines {
    pub(super) fn new(lines: Lines) -> Self {
        Self(lines)
    }
}

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

#[derive(Default)]
struct Buffer {
    line: Vec<u8>,
    /// What a value says before it is escaped.
    text: String,
    /// The second that `prefix` spells.
    second: i64,
    /// `2026-11-24T08:30:00`.
    prefix: String,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        BUFFER.with(|buffer| {
            // An event within an event (a value whose Debug logs) is dropped rather than mixed in.
            let Ok(mut buffer) = buffer.try_borrow_mut() else { return };
            buffer.line.clear();
            buffer.begin(SystemClock.now(), event);
            event.record(&mut *buffer);
            buffer.line.extend_from_slice(b"}\n");
            // A line that finds no room is counted there.
            let _ = (&self.0).write_all(&buffer.line);
        });
    }
}

impl Buffer {
    fn begin(&mut self, now: Timestamp, event: &Event<'_>) {
        if now.as_secs() != self.second || self.prefix.is_empty() {
            self.second = now.as_secs();
            self.prefix.clear();
            let _ = write!(self.prefix, "{now}");
            self.prefix.truncate("2026-11-24T08:30:00".len());
        }
        let micros = now.as_micros().rem_euclid(1_000_000);
        let metadata = event.metadata();
        let _ = write!(
            self.line,
            r#"{{"timestamp":"{}.{micros:06}Z","level":"{}","target":""#,
            self.prefix,
            metadata.level()
        );
        self.line.extend_from_slice(metadata.target().as_bytes());
        self.line.push(b'"');
    }

    fn name(&mut self, field: &Field) {
        self.line.extend_from_slice(b",\"");
        self.line.extend_from_slice(field.name().as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn string(&mut self, text: &str) {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.line, text);
    }

    fn plain(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field);
        let _ = self.line.write_fmt(value);
    }
}

/// Names of fields are Rust identifiers or literals of ours: they need no escaping.
impl Visit for Buffer {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.string(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        let _ = serde_json::to_writer(&mut self.line, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.name(field);
        self.string(&text);
        self.text = text;
    }
}
