//! The audit API: the read side of the log.
