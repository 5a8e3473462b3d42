//! `stockade serve`: the service.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::{local, output};
use crate::app::App;
use crate::app::{RunError, StartError};
use crate::base::{SystemClock, SystemRng};
use crate::config::{Config, Log, LogFormat};
use crate::telemetry::logs::{self, Logs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let config = local::configured(path)?;
    let logs = start_logs(&config.log)?;
    let done = runtime()?.block_on(async {
        let (public, ops) = (config.server.listen, config.server.ops_listen);
        let app = build(config).await?;
        let bound = app.bind().await?;
        tracing::info!(%public, %ops, "serving");
        app.run(bound, stopped()?).await;
        Ok(())
    });
    logs.flush();
    done
}

/// Where log lines go from here on.
pub(super) fn start_logs(log: &Log) -> Result<Logs, Failure> {
    let format = match log.format {
        LogFormat::Json => logs::Format::Json,
        LogFormat::Pretty => logs::Format::Pretty,
        LogFormat::Auto if std::io::stderr().is_terminal() => logs::Format::Pretty,
        LogFormat::Auto => logs::Format::Json,
    };
    logs::init(format, &log.level).map_err(|e| Failure::chain(&e))
}

/// The runtime of a process that serves.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Failure::failed(format!("no runtime: {e}")))
}

/// The service on the machine's clock.
pub(super) async fn build(config: Config) -> Result<App, Failure> {
    let dir = config.policy.dir.clone();
    App::build(config, Arc::new(SystemClock), Arc::new(SystemRng)).await.map_err(|error| {
        if let StartError::Policies(problems) = &error {
            for problem in problems {
                output::note(format!("{}/{problem}", dir.as_deref().unwrap_or(Path::new("policies")).display()));
            }
        }
        Failure::chain(&error)
    })
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match &error {
            RunError::Listen(address, inner) if inner.kind() == std::io::ErrorKind::AddrInUse => {
                Self::failed(format!("{address} is taken: stop what listens there, or choose another address"))
            }
            _ => Self::chain(&error),
        }
    }
}

/// Resolves when this process is asked to stop: SIGTERM or SIGINT. The handlers are in place when it returns.
pub(super) fn stopped() -> Result<impl Future<Output = ()>, Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let wrong = |e| Failure::failed(format!("signals cannot be handled: {e}"));
        let mut term = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut int = signal(SignalKind::interrupt()).map_err(wrong)?;
        Ok(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
