//! `stockade healthcheck`: the container's probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use super::failure::Failure;
use super::{local, output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask this URL [default: /readyz of `server.ops_listen`]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => ready_url(path)?,
    };
    // The certificate names the service, not the address that its own container asks: it proves nothing here.
    let client =
        reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).timeout(Duration::from_secs(5));
    let client = client.build().map_err(|e| Failure::chain(&e))?;
    let answer = client.get(&url).send().await.map_err(|e| Failure::chain(&e.without_url()))?;
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    if status.is_success() {
        return output::line(body.trim_end());
    }
    Err(Failure::failed(format!("{url} answers {}: {}", status.as_u16(), body.trim_end())))
}

fn ready_url(path: Option<&Path>) -> Result<String, Failure> {
    let config = local::configured(path)?;
    let mut address = config.server.ops_listen;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let scheme = if config.ops_tls().is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{address}/readyz"))
}
