//! The loop that every periodic task runs in: an interval, an end, a metric, and a line in the log when it fails. What a
//! task does belongs to its room; that it happens at all belongs here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::Clock;
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Ended, Tick};

/// What every tick is given.
#[derive(Clone, Debug)]
pub struct Ticks {
    /// Counts and times the runs.
    pub metrics: Arc<Metrics>,
    /// Times them.
    pub clock: Arc<dyn Clock>,
    /// Turns true when the process stops.
    pub stop: watch::Receiver<bool>,
}

impl Ticks {
    /// Runs `task` every `interval` until the process stops. A run that fails is reported and tried again at the next
    /// interval; runs do not overlap, and one that took too long is not made up for.
    pub async fn every<F, E>(mut self, tick: Tick, interval: Duration, mut task: impl FnMut() -> F)
    where
        F: Future<Output = Result<Ended, E>>,
        E: std::error::Error + 'static,
    {
        let mut timer = tokio::time::interval(interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => return,
                _ = timer.tick() => {}
            }
            let began_ns = self.clock.monotonic_ns();
            let ended = match task().await {
                Ok(ended) => {
                    if failing {
                        tracing::info!(?tick, "works again");
                    }
                    failing = false;
                    ended
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(?tick, error = %crate::telemetry::chain(&error), "failed; trying again");
                    }
                    failing = true;
                    Ended::Failed
                }
            };
            self.metrics.ticks.add((tick, ended));
            self.metrics.tick_seconds.record_ns(tick, self.clock.monotonic_ns().saturating_sub(began_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::base::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_tried_again_until_stopped() {
        let (stop, stopped) = watch::channel(false);
        let runs = Cell::new(0);
        let ticks = Ticks { metrics: Arc::new(Metrics::register()), clock: Arc::new(SystemClock), stop: stopped };
        let task = || {
            runs.set(runs.get() + 1);
            if runs.get() == 3 {
                stop.send_replace(true);
            }
            std::future::ready(if runs.get() == 1 { Err(std::fmt::Error) } else { Ok(Ended::Done) })
        };
        ticks.every(Tick::Upkeep, Duration::from_secs(1), task).await;
        assert_eq!(runs.get(), 3);
    }
}
