//! The loop that every periodic task runs in: an interval, an end, and a line in the log when it fails. What a task does
//! belongs to its room; that it happens at all belongs here.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

/// Runs `task` every `interval` until `stop` turns true. A run that fails is reported and tried again at the next
/// interval; runs do not overlap, and one that took too long is not made up for.
pub async fn every<F, E>(
    name: &'static str,
    interval: Duration,
    mut stop: watch::Receiver<bool>,
    mut task: impl FnMut() -> F,
) where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = timer.tick() => {}
        }
        match task().await {
            Ok(()) if failing => {
                failing = false;
                tracing::info!(task = name, "works again");
            }
            Ok(()) => {}
            Err(error) if failing => {
                tracing::debug!(task = name, error = &error as &dyn std::error::Error, "still failing");
            }
            Err(error) => {
                failing = true;
                tracing::warn!(task = name, error = &error as &dyn std::error::Error, "failed; trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_tried_again_until_stopped() {
        let (stop, stopped) = watch::channel(false);
        let runs = Cell::new(0);
        every("test", Duration::from_secs(1), stopped, || {
            runs.set(runs.get() + 1);
            if runs.get() == 3 {
                stop.send_replace(true);
            }
            std::future::ready(if runs.get() == 1 { Err(std::fmt::Error) } else { Ok(()) })
        })
        .await;
        assert_eq!(runs.get(), 3);
    }
}
