//! `[log]`: what the process says on stderr.

use super::reader::Reader;

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// A level, or directives such as `info,stockade::store=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One flat JSON object a line.
    Json,
    /// For people.
    Pretty,
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

impl Log {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        Self { format: r.parsed("log.format", d.format, format), level: r.parsed("log.level", d.level, level) }
    }
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        "auto" => Ok(LogFormat::Auto),
        _ => Err(format!("`{text}` is not a format: choose \"json\", \"pretty\" or \"auto\"")),
    }
}

fn level(text: &str) -> Result<String, String> {
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` is not a level: write \"info\", or directives such as \"info,stockade::store=debug\""
        )),
    }
}
