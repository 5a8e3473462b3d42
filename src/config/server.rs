//! `[server]`: who we are and where we listen.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::reader::Reader;

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The URL that clients know this server by, without a final slash. https, unless its host is loopback.
    pub issuer: String,
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener of `/healthz`, `/readyz`, `/metrics`.
    pub ops_listen: SocketAddr,
    /// Peers whose forwarding headers are believed and who may ask `/enforce/…`.
    pub trusted_proxies: Vec<IpNet>,
    /// A proxy in front terminates TLS.
    pub behind_tls_proxy: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            issuer: "http://localhost:8080".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            trusted_proxies: Vec::new(),
            behind_tls_proxy: false,
        }
    }
}

impl Server {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        Self {
            issuer: r.parsed("server.issuer", d.issuer, issuer),
            listen: r.parsed("server.listen", d.listen, address),
            ops_listen: r.parsed("server.ops_listen", d.ops_listen, address),
            trusted_proxies: r.list("server.trusted_proxies", d.trusted_proxies, network),
            behind_tls_proxy: r.flag("server.behind_tls_proxy", d.behind_tls_proxy),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address with a port: write \"127.0.0.1:8080\""))
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{text}` is not an address or network: write \"10.0.0.0/8\""))
}

fn issuer(text: &str) -> Result<String, String> {
    if text.ends_with('/') {
        return Err(format!("`{text}` ends with a slash: write \"https://auth.example.com\""));
    }
    foreign_issuer(text)
}

/// An issuer as others spell theirs: with a final slash or without.
pub(super) fn foreign_issuer(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`{text}` {why}: write \"https://auth.example.com\""));
    let Ok(url) = url::Url::parse(text) else { return wrong("is not a URL") };
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return wrong("has no host"),
    };
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return wrong("has more than scheme, host, port and path");
    }
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        "http" if loopback => Ok(text.to_owned()),
        _ => wrong("is not https, and its host is not loopback"),
    }
}

/// An absolute URI without fragment (RFC 8707 2), spelled as it will be in `aud`.
pub(super) fn resource_uri(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.fragment().is_none() => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an absolute URI without fragment: write \"https://api.example.com\"")),
    }
}
