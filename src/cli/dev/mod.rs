//! `stockade dev`: everything embedded, loopback only, with demo clients and the guarded demo API; `--tour` plays the main
//! job against it.

mod place;
mod tour;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::failure::Failure;
use super::{local, output, serve};
use crate::config::Config;
use place::Place;

pub(super) use place::variable;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The public listener, on loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = loopback)]
    listen: SocketAddr,
    /// The listener of /healthz, /readyz and /metrics, on loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = loopback)]
    ops_listen: SocketAddr,
    /// Where everything is kept; a second start finds it again
    #[arg(long, value_name = "DIR", default_value = "stockade-dev")]
    data: PathBuf,
    /// Play the main job against itself, print each step as the curl that repeats it, and end
    #[arg(long)]
    tour: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected an address with a port, such as 127.0.0.1:8080")?;
    if !address.ip().to_canonical().is_loopback() {
        return Err("dev stays on loopback: `stockade init DIR` starts what others may reach".to_owned());
    }
    if address.port() == 0 {
        return Err("name the port: it is part of the issuer".to_owned());
    }
    Ok(address)
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let place = Place { dir: args.data.clone(), listen: args.listen, ops_listen: args.ops_listen };
    if place.listen == place.ops_listen {
        return Err(Failure::usage("--listen and --ops-listen must differ"));
    }
    let lock = place.lock()?;
    place.furnish()?;
    let config = configured(&place, args.tour)?;
    let logs = serve::start_logs(&config.log)?;
    let done = serve::runtime()?.block_on(start(&place, config, args.tour));
    logs.flush();
    drop(lock);
    done
}

/// What the directory and the environment say; the flags win.
fn configured(place: &Place, tour: bool) -> Result<Config, Failure> {
    let mut config = local::configured(Some(&place.config()))?;
    config.server.issuer = place.issuer();
    config.server.listen = place.listen;
    config.server.ops_listen = place.ops_listen;
    config.demo = true;
    if tour {
        // The tour says what happens.
        "warn".clone_into(&mut config.log.level);
    }
    Ok(config)
}

async fn start(place: &Place, config: Config, tour: bool) -> Result<(), Failure> {
    // A taken address must not change what the server that has it told its users.
    let app = serve::build(config).await?;
    let bound = app.bind().await?;
    let people = place.people().await?;
    app.live().refresh().await.map_err(|e| Failure::chain(&e))?;
    let person = place.person().await?;
    place.samples().await?;
    place.tell(&people, &person)?;
    let stopped = serve::stopped()?;
    if !tour {
        greet(place);
        app.run(bound, stopped).await;
        return Ok(());
    }
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(bound, async move {
        // Either way it is over: told so, or the tour is gone.
        let _ = finished.await;
    }));
    let told = tokio::select! {
        told = tour::play(place, &people) => told,
        () = stopped => Err(Failure::failed("the tour was interrupted")),
    };
    drop(finish);
    running.await.map_err(|e| Failure::failed(format!("the server ended badly: {e}")))?;
    told
}

fn greet(place: &Place) {
    output::note(format!(
        "\n  issuer       {}\n  guarded API  {}/notes\n  ops          {}/readyz\n  credentials  . {}\n\n  \
         try          stockade dev --tour, in a directory of its own, shows what they are for\n  \
         sign in      stockade try code --config {}, as $DEMO_USER\n",
        place.issuer(),
        place.api(),
        place.ops(),
        place.env_file().display(),
        place.config().display()
    ));
}
