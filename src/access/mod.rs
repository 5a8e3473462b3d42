//! AuthZEN 1.0.
