//! Log output: one flat event a line on stderr, as JSON or for people. Spans carry no fields into it: a request's event says
//! everything itself, which costs a fifth of a span with an event inside.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::json_lines::JsonLines;
use super::lines::{self, Lines, Writing};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One flat JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("`{0}` is not a level: write `info`, or directives such as `info,stockade::store=debug`")]
    Level(String, #[source] tracing_subscriber::filter::ParseError),
    /// The process already has a subscriber.
    #[error("logs are already set up in this process")]
    Taken(#[source] TryInitError),
    /// No thread.
    #[error("the thread that writes log lines could not start")]
    Thread(#[source] io::Error),
}

/// Log output. Keep it until the end: dropping it writes what is queued.
pub struct Logs(Writing);

/// Lines dropped since the start because stderr was too slow. One count for the process, as there is one stderr.
static DROPPED: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// Lines dropped since the start because stderr was too slow.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("dropped", &dropped()).finish_non_exhaustive()
    }
}

impl Logs {
    /// Returns when every line so far has been written.
    pub fn flush(&self) {
        self.0.flush();
    }
}

/// Sends this process's events to stderr: `format`, at `level` (a level or `EnvFilter` directives).
///
/// # Errors
/// [`LogError`] when the level does not parse, the process has a subscriber already, or no thread could start.
pub fn init(format: Format, level: &str) -> Result<Logs, LogError> {
    let (lines, writing) = lines::start(io::stderr(), Arc::clone(&DROPPED)).map_err(LogError::Thread)?;
    subscriber(format, level, lines)?.try_init().map_err(LogError::Taken)?;
    Ok(Logs(writing))
}

fn subscriber(format: Format, level: &str, lines: Lines) -> Result<impl Subscriber + Send + Sync, LogError> {
    let filter = EnvFilter::try_new(level).map_err(|e| LogError::Level(level.to_owned(), e))?;
    let layer: Box<dyn Layer<_> + Send + Sync> = match format {
        Format::Json => JsonLines::new(lines).boxed(),
        Format::Pretty => fmt::layer().compact().with_ansi(false).with_writer(lines).boxed(),
    };
    Ok(Registry::default().with(filter).with(layer))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, level: &str, events: impl FnOnce()) -> String {
        let out = Out::default();
        let (lines, writing) = lines::start(out.clone(), Arc::default()).unwrap();
        tracing::subscriber::with_default(subscriber(format, level, lines).unwrap(), events);
        drop(writing);
        let bytes = out.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let text = written(Format::Json, "info", || {
            let _span = tracing::info_span!("outer", hidden = 1).entered();
            tracing::info!(target: "stockade::access", request_id = "r\n1", status = 200_u16, "answered");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(line.values().all(|v| !v.is_object() && !v.is_array()), "{text}");
        assert_eq!(
            (&line["message"], &line["request_id"], &line["status"]),
            (&"answered".into(), &"r\n1".into(), &200.into())
        );
        assert!(line.contains_key("timestamp") && line["level"] == "INFO" && !line.contains_key("hidden"));
    }

    #[test]
    fn directives_choose_what_is_said() {
        let say = || {
            tracing::debug!(target: "stockade::store", "quiet");
            tracing::debug!(target: "stockade::policy", "loud");
        };
        let text = written(Format::Pretty, "info,stockade::policy=debug", say);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        assert!(subscriber(Format::Json, "info,=", lines::start(io::sink(), Arc::default()).unwrap().0).is_err());
    }
}
