//! Logs, traces, and the catalogue of every metric there is.
//!
//! [`metrics`] names every metric once, with labels from closed sets; [`Metrics`] holds their handles, which works with any
//! recorder of the `metrics` facade and costs a few nanoseconds a call. The service adds [`Prometheus`] (the text behind
//! `/metrics`) and [`logs`] (one flat line a request on stderr).
//!
//! Called by every room. Nothing here may see a token, a code, a secret or an assertion.

pub mod family;
pub mod labels;
pub mod metrics;
mod nouns;

#[cfg(feature = "server")]
mod json_lines;
#[cfg(feature = "server")]
mod lines;
#[cfg(feature = "server")]
pub mod logs;
#[cfg(feature = "server")]
mod prometheus;

/// An error with every cause behind it, `: ` between them: what a log line says, and what an answer never does.
pub fn chain<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl std::fmt::Display + 'a {
    std::fmt::from_fn(move |f| {
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    })
}

pub use family::{Counters, Gauges, Histograms};
pub use metrics::Metrics;

#[cfg(feature = "server")]
pub use prometheus::Prometheus;
