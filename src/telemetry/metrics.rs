//! The catalogue: every metric there is, with its name, kind, labels and help. Dashboards, alarms and docs refer to these
//! names; a metric that is not here does not exist.

use super::family::{Counters, Gauges, Histograms};
use super::labels::{
    Activity, Authorized, Bucket, Ended, Endpoint, Factor, KeyChange, LabelSet, Limited, Load, Noticed, OauthError,
    Point, Recorded, Replayed, StatusClass, Subject, Table, Tick, TokenFormat, Verification, Would,
};
use crate::model::{
    Algorithm, AuthMethod, Came, Decision, DenyReason, EventClass, Format, GrantType, KeyState, Outcome, Service,
};

/// Bounds of the histograms of seconds. 0.2 is exact, because objectives are stated at it.
pub const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0, 2.5, 5.0, 10.0];
/// Bounds of the histograms of counts.
pub const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1000.0];

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often a value lay under each bound.
    Histogram,
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The member of [`Metrics`] that holds its handles.
    pub field: &'static str,
    /// The name on `/metrics`.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Label names, in order.
    pub labels: &'static [&'static str],
    /// Bounds, of a histogram.
    pub bounds: &'static [f64],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! catalogue {
    (
        counters { $($counter:ident: $counter_labels:ty = $counter_name:literal, $counter_help:literal;)* }
        gauges { $($gauge:ident: $gauge_labels:ty = $gauge_name:literal, $gauge_help:literal;)* }
        histograms { $($histogram:ident: $histogram_labels:ty = $histogram_name:literal, $bounds:ident, $histogram_help:literal;)* }
    ) => {
        /// A handle for every series of every metric. Made once and shared; a call costs a few nanoseconds.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $counter_help] pub $counter: Counters<$counter_labels>,)*
            $(#[doc = $gauge_help] pub $gauge: Gauges<$gauge_labels>,)*
            $(#[doc = $histogram_help] pub $histogram: Histograms<$histogram_labels>,)*
        }

        /// Every metric there is.
        pub const CATALOGUE: &[Definition] = &[
            $(Definition {
                field: stringify!($counter),
                name: $counter_name,
                kind: Kind::Counter,
                labels: <$counter_labels as LabelSet>::KEYS,
                bounds: &[],
                help: $counter_help,
            },)*
            $(Definition {
                field: stringify!($gauge),
                name: $gauge_name,
                kind: Kind::Gauge,
                labels: <$gauge_labels as LabelSet>::KEYS,
                bounds: &[],
                help: $gauge_help,
            },)*
            $(Definition {
                field: stringify!($histogram),
                name: $histogram_name,
                kind: Kind::Histogram,
                labels: <$histogram_labels as LabelSet>::KEYS,
                bounds: &$bounds,
                help: $histogram_help,
            },)*
        ];

        impl Metrics {
            /// Registers every series with the recorder that is current on this thread (`metrics::with_local_recorder`, or
            /// the global one). Counters stand at zero from then on. Without a recorder every call does nothing.
            pub fn register() -> Self {
                Self {
                    $($counter: Counters::register($counter_name, $counter_help).at_zero(),)*
                    $($gauge: Gauges::register($gauge_name, $gauge_help),)*
                    $($histogram: Histograms::register($histogram_name, $histogram_help),)*
                }
            }
        }
    };
}

catalogue! {
    counters {
        http_requests: (Endpoint, StatusClass) = "stockade_http_requests_total", "Requests answered.";
        http_panics: () = "stockade_http_panics_total", "Handlers that panicked; each was answered with 500.";
        tokens_issued: (GrantType, TokenFormat) = "stockade_tokens_issued_total", "Access tokens issued.";
        tokens_refused: OauthError = "stockade_token_refusals_total", "Token requests refused.";
        authorizations: Authorized = "stockade_authorizations_total", "Visits of the authorization endpoint.";
        replays: Replayed = "stockade_replays_total", "Codes and refresh tokens that came again; each ended its family.";
        client_authentications: (AuthMethod, Outcome) =
            "stockade_client_authentications_total", "Authentications of clients.";
        logins: (Factor, Outcome) = "stockade_logins_total", "Passwords, codes, passkeys and ID tokens of providers checked; failed: too many at once.";
        introspections: Activity = "stockade_introspections_total", "Introspections answered.";
        revocations: () = "stockade_revocations_total", "Tokens revoked.";
        token_verifications: Verification = "stockade_token_verifications_total", "Access tokens presented and checked.";
        decisions: (Point, Option<DenyReason>) = "stockade_decisions_total", "Decisions by Cedar.";
        risk_dry_runs: (Point, Would) = "stockade_risk_dry_run_changes_total",
            "Answers that would have been others if the risk that findings give had counted.";
        policy_loads: Load = "stockade_policy_loads_total", "Loads of a policy snapshot.";
        limit_checks: (Bucket, Limited) = "stockade_limit_checks_total", "Checks of a rate limit.";
        limit_overflows: () = "stockade_limit_overflows_total",
            "Checks answered by a shared bucket because the table had no room for another key.";
        audit_events: (EventClass, Recorded) = "stockade_audit_events_total", "Events handed to the audit log.";
        key_changes: KeyChange = "stockade_key_changes_total",
            "Changes of the signing keys as this process saw them, whoever made them.";
        store_transactions: () = "stockade_store_transactions_total", "Transactions committed to SQLite's main file.";
        store_commits: () = "stockade_store_commits_total",
            "Commits of SQLite's main file; transactions that wait together share one.";
        ticks: (Tick, Ended) = "stockade_ticks_total", "Runs of periodic tasks.";
        findings: (Format, Came) = "stockade_findings_total", "Findings that were fetched.";
        finding_problems: Format = "stockade_finding_problems_total",
            "Findings that could not be read whole; their bytes are kept.";
        finding_polls: (Service, Ended) = "stockade_finding_polls_total", "Times that a source of findings was asked.";
        signals: Noticed = "stockade_signals_total", "Things that this server noticed by itself and keeps as findings.";
        log_lines_dropped: () = "stockade_log_lines_dropped_total", "Log lines dropped because stderr was too slow.";
    }
    gauges {
        http_in_flight: () = "stockade_http_requests_in_flight", "Requests being answered.";
        signing_keys: (Algorithm, KeyState) = "stockade_signing_keys", "Signing keys by where they stand in their life.";
        policies: () = "stockade_policies", "Policies of the snapshot that decides; 0 when there is none.";
        policy_activated: () = "stockade_policy_activated_timestamp_seconds", "When the snapshot that decides was activated.";
        table_rows: Table = "stockade_table_rows", "Rows of tables that grow with use; expired ones leave within minutes.";
        findings_read: Service = "stockade_findings_read_timestamp_seconds",
            "When every source of the service had last been read to its end by this process; 0 before.";
        findings_drift: Service = "stockade_findings_drift",
            "Findings that are open at the service and not here, or here and not there, when they were last counted.";
        limit_keys: () = "stockade_limit_keys", "Keys whose bucket is not full.";
        limit_slots: () = "stockade_limit_slots", "Slots of the table of buckets, 24 bytes each.";
        risk_subjects: Subject = "stockade_risk_subjects",
            "People, clients and addresses that active findings name; held_back: more than may become new in a minute.";
        audit_queue: () = "stockade_audit_queue_events", "Events waiting to be written to the audit log.";
        audit_size: () = "stockade_audit_log_events", "Events in the audit log.";
        disk_used: () = "stockade_disk_used_percent", "How full the file system of the embedded database is.";
        audit_anchored: () = "stockade_audit_anchored_events", "Events of the audit log under a head that is kept outside.";
    }
    histograms {
        http_seconds: Endpoint = "stockade_http_request_duration_seconds", SECONDS, "How long requests took.";
        decision_seconds: Point = "stockade_decision_duration_seconds", SECONDS, "How long decisions by Cedar took.";
        audit_commit_seconds: () = "stockade_audit_commit_duration_seconds", SECONDS,
            "How long a commit of the audit log took.";
        audit_batch: () = "stockade_audit_batch_events", COUNTS, "How many events one commit of the audit log held.";
        tick_seconds: Tick = "stockade_tick_duration_seconds", SECONDS, "How long runs of periodic tasks took.";
    }
}

impl Metrics {
    /// Counts a decision, and that risk would have made it another.
    pub fn decided(&self, point: Point, decision: &Decision) {
        self.decisions.add((point, decision.denied));
        if let Some(would) = &decision.would {
            self.risk_dry_runs.add((point, if would.denied.is_some() { Would::Deny } else { Would::Allow }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind_and_unit() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|d| d.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for definition in CATALOGUE {
            let name = definition.name;
            assert!(name.starts_with("stockade_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), definition.kind == Kind::Counter, "{name}");
            assert!(definition.help.ends_with('.'), "{name}: {}", definition.help);
            if definition.bounds == SECONDS {
                assert!(name.ends_with("_seconds"), "{name}");
            }
        }
    }

    #[test]
    fn the_bounds_of_seconds_hold_exactly_the_one_that_objectives_name() {
        assert!(SECONDS.iter().any(|bound| bound.to_bits() == 0.2_f64.to_bits()));
        assert!(SECONDS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
