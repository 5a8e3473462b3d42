//! Metrics of one name: one handle per combination of labels, all made at the start.

use std::marker::PhantomData;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label as Pair};

use super::labels::LabelSet;

fn pairs<L: LabelSet>() -> impl Iterator<Item = Vec<Pair>> {
    L::all()
        .into_iter()
        .map(|values| L::KEYS.iter().zip(values).map(|(key, value)| Pair::from_static_parts(key, value)).collect())
}

macro_rules! family {
    ($(#[$doc:meta])* $name:ident of $handle:ident by $register:ident describe $describe:ident) => {
        $(#[$doc])*
        pub struct $name<L: LabelSet> {
            handles: Vec<$handle>,
            none: $handle,
            labels: PhantomData<fn(L)>,
        }

        impl<L: LabelSet> std::fmt::Debug for $name<L> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("series", &self.handles.len()).finish_non_exhaustive()
            }
        }

        impl<L: LabelSet> $name<L> {
            /// Describes the metric to the current recorder and makes every series of it.
            pub(super) fn register(name: &'static str, help: &'static str) -> Self {
                metrics::$describe!(name, help);
                let handles = pairs::<L>().map(|labels| metrics::$register!(name, labels)).collect();
                Self { handles, none: $handle::noop(), labels: PhantomData }
            }

            /// The handle of one combination.
            pub fn with(&self, labels: L) -> &$handle {
                self.handles.get(labels.index()).unwrap_or(&self.none)
            }
        }
    };
}

family!(
    /// Counters.
    Counters of Counter by counter describe describe_counter
);
family!(
    /// Gauges.
    Gauges of Gauge by gauge describe describe_gauge
);
family!(
    /// Histograms.
    Histograms of Histogram by histogram describe describe_histogram
);

impl<L: LabelSet> Counters<L> {
    /// Makes every series show its zero.
    pub(super) fn at_zero(self) -> Self {
        for handle in &self.handles {
            handle.absolute(0);
        }
        self
    }

    /// One more.
    #[inline]
    pub fn add(&self, labels: L) {
        self.with(labels).increment(1);
    }
}

impl<L: LabelSet> Histograms<L> {
    /// A time in seconds, from nanoseconds.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "a histogram of seconds needs no nanosecond beyond 104 days")]
    pub fn record_ns(&self, labels: L, ns: u64) {
        self.with(labels).record(ns as f64 / 1e9);
    }

    /// A time.
    pub fn record(&self, labels: L, time: Duration) {
        self.with(labels).record(time.as_secs_f64());
    }
}

impl<L: LabelSet> Gauges<L> {
    /// A count.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float by format")]
    pub fn set(&self, labels: L, value: u64) {
        self.with(labels).set(value as f64);
    }
}
