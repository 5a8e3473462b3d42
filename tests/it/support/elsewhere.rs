//! A server of somebody else's, over TLS on this machine, and a fetcher that may ask it.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use stockade::config::{Http, TlsFiles};
use stockade::http::Tls;
use stockade::http::fetch::{Fetcher, Settings};
use stockade::http::networks::Networks;
use stockade::http::serve::{self, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The server; it goes with this.
pub(crate) struct Elsewhere {
    /// `https://localhost:PORT`.
    pub(crate) url: String,
    /// The certificate that vouches for it.
    pub(crate) ca_file: PathBuf,
    _dir: TempDir,
    _serving: tokio::task::JoinHandle<()>,
}

impl Elsewhere {
    pub(crate) async fn serving(router: Router) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let files = TlsFiles { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("is written");
        std::fs::write(&files.certificate, made.cert.pem()).expect("is written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let tls = Tls::load(&files).expect("a certificate that works");
        let settings = serve::Settings::from(&Http::default());
        let serving = tokio::spawn(async move {
            serve(listener, router, None, Some(tls), settings, std::future::pending()).await;
        });
        Self { url, ca_file: files.certificate, _dir: dir, _serving: serving }
    }

    /// Settings under which it may be asked.
    pub(crate) fn settings(&self) -> Settings {
        let networks = ["127.0.0.0/8", "::1/128"].map(|n| n.parse().expect("a network"));
        Settings {
            networks: Networks::new(networks.to_vec()),
            ca_file: Some(self.ca_file.clone()),
            patience: Duration::from_secs(20),
        }
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        Fetcher::new(&self.settings()).expect("a fetcher")
    }
}
