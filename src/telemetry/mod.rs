//! Logs, traces, and the catalogue of every metric there is.
