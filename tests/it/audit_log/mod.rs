//! Tests of `audit_log`.
