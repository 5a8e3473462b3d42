//! `[http]` and `[http.tls]`: what a connection may cost, and its certificate.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::text;

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// How long a new connection may take to its first request, the TLS handshake included.
    pub header_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    /// How long a request may take as a whole.
    pub request_timeout: Duration,
    /// The largest request body in bytes.
    pub body_limit: usize,
    /// Open connections per listener.
    pub connections: usize,
    /// How long requests in flight may take to end when the process stops.
    pub drain: Duration,
    /// `[http.tls]`; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// PEM files of the certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(30),
            body_limit: 65_536,
            connections: 8192,
            drain: Duration::from_secs(20),
            tls: None,
        }
    }
}

impl Http {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let http = Self {
            header_timeout: r.parsed("http.header_timeout", d.header_timeout, text::duration),
            idle_timeout: r.parsed("http.idle_timeout", d.idle_timeout, text::duration),
            request_timeout: r.parsed("http.request_timeout", d.request_timeout, text::duration),
            body_limit: r.number("http.body_limit", d.body_limit as u64, 1024..=16 * 1024 * 1024) as usize,
            connections: r.number("http.connections", d.connections as u64, 1..=1_000_000) as usize,
            drain: r.parsed("http.drain", d.drain, text::duration),
            tls: match (r.path("http.tls.certificate", None), r.path("http.tls.key", None)) {
                (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
                (None, None) => None,
                (Some(_), None) => {
                    r.wrong("http.tls.certificate", "there is no `http.tls.key`: set both or neither");
                    None
                }
                (None, Some(_)) => {
                    r.wrong("http.tls.key", "there is no `http.tls.certificate`: set both or neither");
                    None
                }
            },
        };
        for (key, value) in [
            ("http.header_timeout", http.header_timeout),
            ("http.idle_timeout", http.idle_timeout),
            ("http.request_timeout", http.request_timeout),
        ] {
            if value.is_zero() {
                r.wrong(key, "must be longer than nothing");
            }
        }
        http
    }
}
