//! The recorder behind `/metrics`: Prometheus text format 0.0.4. One per service, never the process's global one, so that
//! two services in one test do not share counters.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::metrics::{CATALOGUE, Metrics};

/// A recorder and what reads it.
#[derive(Clone, Debug)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// The content type of [`Prometheus::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A recorder with the bounds of the catalogue, and the handles of every metric in it.
    pub fn new() -> (Self, Metrics) {
        let recorder = recorder();
        let metrics = metrics::with_local_recorder(&recorder, Metrics::register);
        (Self(recorder.handle()), metrics)
    }

    /// Every series as text. Takes milliseconds when there are many: not for a thread that serves requests.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds recorded values into the histograms. Without it, every value since the last scrape stays in memory: call it every
    /// few seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for definition in CATALOGUE.iter().filter(|d| !d.bounds.is_empty()) {
        let named = Matcher::Full(definition.name.to_owned());
        // The builder comes back only with the answer, and refuses nothing but empty bounds.
        builder = builder.set_buckets_for_metric(named, definition.bounds).unwrap_or_else(|_| PrometheusBuilder::new());
    }
    builder.build_recorder()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::{Endpoint, StatusClass};
    use crate::telemetry::metrics::Kind;

    #[test]
    fn every_counter_stands_at_zero_before_the_first_request() {
        let text = Prometheus::new().0.render();
        for definition in CATALOGUE.iter().filter(|d| d.kind == Kind::Counter) {
            let series: Vec<_> = text.lines().filter(|l| l.split(['{', ' ']).next() == Some(definition.name)).collect();
            assert!(!series.is_empty(), "{} has no series", definition.name);
            assert!(series.iter().all(|l| l.ends_with(" 0")), "{series:?}");
            assert!(text.contains(&format!("# TYPE {} counter", definition.name)), "{} has no type", definition.name);
            assert!(text.contains(&format!("# HELP {} {}", definition.name, definition.help)), "{}", definition.name);
        }
        assert!(text.contains(r#"stockade_http_requests_total{endpoint="token",status="5xx"} 0"#), "{text}");
    }

    #[test]
    fn a_time_of_exactly_a_fifth_of_a_second_counts_under_the_bound() {
        let (prometheus, metrics) = Prometheus::new();
        metrics.http_seconds.record_ns(Endpoint::Token, 200_000_000);
        metrics.http_seconds.record_ns(Endpoint::Token, 200_000_001);
        metrics.http_requests.add((Endpoint::Token, StatusClass::Success));
        prometheus.upkeep();
        let text = prometheus.render();
        let bucket = |le: &str| {
            let name = format!("stockade_http_request_duration_seconds_bucket{{endpoint=\"token\",le=\"{le}\"}} ");
            text.lines().find_map(|l| l.strip_prefix(&name)).map(str::to_owned)
        };
        assert_eq!(bucket("0.1").as_deref(), Some("0"), "{text}");
        assert_eq!(bucket("0.2").as_deref(), Some("1"));
        assert_eq!(bucket("0.4").as_deref(), Some("2"));
        assert!(text.contains(r#"stockade_http_requests_total{endpoint="token",status="2xx"} 1"#));
    }

    #[test]
    fn two_services_do_not_share_counters() {
        let ((one, metrics), (other, _)) = (Prometheus::new(), Prometheus::new());
        metrics.revocations.add(());
        assert!(one.render().contains("stockade_revocations_total 1"));
        assert!(other.render().contains("stockade_revocations_total 0"));
    }
}
