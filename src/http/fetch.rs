//! Requests of ours: to key sets, documents and callbacks that configuration or strangers name. https alone, no redirects,
//! no proxy from the environment, nowhere inside ([`Networks`], asked about each address that a name stands for, and about
//! the very one that is connected to), a few seconds, a small answer, and not too many at once.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::networks::Networks;

/// The longest answer that is read.
pub const LARGEST: usize = 64 * 1024;
/// Exchanges at once; more are refused.
const AT_ONCE: usize = 64;
/// The longest URL.
const LONGEST_URL: usize = 2048;

/// Why there is no answer. None of it says what was found inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL is none that is asked.
    #[error("the URL must be https, with a host, and without user and fragment")]
    Url,
    /// Its host is not on the internet, and not in a network that the configuration names.
    #[error("the address is not a public one; `[outbound] networks` names others that may be asked")]
    Inside,
    /// No answer in time.
    #[error("there was no answer in time")]
    Slow,
    /// No connection, no TLS, or one that broke off.
    #[error("the connection failed")]
    Connection,
    /// Another status than success.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// A longer answer than is read.
    #[error("the answer was longer than 64 KiB")]
    TooLarge,
    /// Too many exchanges at once.
    #[error("too many requests are under way")]
    Busy,
}

/// Why nothing can be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// The file of certificates.
    #[error("`[outbound] ca_file`: {0}")]
    Certificates(String),
    /// The library refused to begin.
    #[error("outbound requests cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// How requests go out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long one exchange may take as a whole.
    pub patience: Duration,
    /// Networks beside the internet that may be asked. Plain http is allowed to loopback addresses among them.
    pub networks: Networks,
    /// PEM certificates of authorities, beside those of the machine.
    pub ca_file: Option<std::path::PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { patience: Duration::from_secs(5), networks: Networks::default(), ca_file: None }
    }
}

/// Makes requests. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    networks: Networks,
    patience: Duration,
    room: Arc<Semaphore>,
}

/// Resolves names to those of their addresses that may be asked.
#[derive(Debug)]
struct Guarded(Networks);

/// A name all of whose addresses are inside.
#[derive(Debug, thiserror::Error)]
#[error("every address of this name is inside")]
struct AllInside;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut any = false;
            let allowed: Vec<SocketAddr> = found.inspect(|_| any = true).filter(|a| networks.allow(a.ip())).collect();
            if any && allowed.is_empty() {
                return Err(Box::new(AllInside) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl Fetcher {
    /// A fetcher under these settings.
    ///
    /// # Errors
    /// When the certificates cannot be read, or TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<Self, FetcherError> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded(settings.networks.clone()));
        if let Some(file) = &settings.ca_file {
            builder = builder.tls_certs_merge(certificates(file)?);
        }
        Ok(Self {
            client: builder.build()?,
            networks: settings.networks.clone(),
            patience: settings.patience,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// The document at `url`, asked for as media type `accept`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, url: &str, accept: &'static str) -> Result<Bytes, FetchError> {
        let request = Request::get(url).header(header::ACCEPT, accept).body(Vec::new()).map_err(|_| FetchError::Url)?;
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        Ok(response.into_body())
    }

    /// Sends a request; whatever status comes back is an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Bytes>, FetchError> {
        let (parts, body) = request.into_parts();
        let url = self.checked(&parts.uri.to_string())?;
        let _room = self.room.try_acquire().map_err(|_| FetchError::Busy)?;
        let exchange = self.exchange(parts.method, url, parts.headers, body);
        tokio::time::timeout(self.patience, exchange).await.map_err(|_| FetchError::Slow)?
    }

    async fn exchange(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, FetchError> {
        let sent = self.client.request(method, url).headers(headers).body(body).send().await;
        let mut answer = sent.map_err(|error| told(&error))?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        if answer.content_length().is_some_and(|length| length > LARGEST as u64) {
            return Err(FetchError::TooLarge);
        }
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| told(&error))? {
            if whole.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        *response.body_mut() = whole.into();
        Ok(response)
    }

    /// Whether `url` is one that would be asked, as far as that shows without asking a name server.
    ///
    /// # Errors
    /// [`FetchError::Url`] or [`FetchError::Inside`].
    pub fn checked(&self, url: &str) -> Result<Url, FetchError> {
        if url.len() > LONGEST_URL {
            return Err(FetchError::Url);
        }
        let url = Url::parse(url).map_err(|_| FetchError::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let host = url.host().filter(|_| plain).ok_or(FetchError::Url)?;
        // An address is connected to without asking the resolver.
        let address = match &host {
            Host::Ipv4(v4) => Some(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(*v6)),
            Host::Domain(_) => None,
        };
        if address.is_some_and(|address| !self.networks.allow(address)) {
            return Err(FetchError::Inside);
        }
        let loopback = match (&host, address) {
            (_, Some(address)) => address.is_loopback(),
            (Host::Domain(name), None) => *name == "localhost" && self.networks.allow(IpAddr::from([127, 0, 0, 1])),
            _ => false,
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback => Ok(url),
            _ => Err(FetchError::Url),
        }
    }
}

fn told(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(why) = cause {
        if why.is::<AllInside>() {
            return FetchError::Inside;
        }
        cause = why.source();
    }
    if error.is_timeout() { FetchError::Slow } else { FetchError::Connection }
}

fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, FetcherError> {
    let bad = |why: String| FetcherError::Certificates(format!("{}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|e| bad(e.to_string()))?;
    let found =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| bad("this is no PEM certificate".to_owned()))?;
    if found.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(found) }
}
