//! The certificate of a listener, taken anew from its files when they change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file holds no PEM of the kind that belongs there.
    #[error("{path} holds no {what} in PEM: write the {what} there")]
    NoPem {
        /// The file.
        path: String,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Certificate and key do not fit, or are of a kind that rustls does not serve.
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate that changes with its files.
#[derive(Clone, Debug)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<ArcSwap<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    pem: (Vec<u8>, Vec<u8>),
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files once.
    ///
    /// # Errors
    /// When a file cannot be read, holds no PEM, or the two do not fit.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let loaded = parse(files, read(files)?)?;
        Ok(Self { files: files.clone(), current: Arc::new(ArcSwap::from_pointee(loaded)) })
    }

    /// What a handshake uses now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Looks at the files once a second, for as long as it is polled. A pair that does not fit (a half-written renewal) is
    /// said once and left; the last good one keeps serving.
    pub(super) async fn follow(&self) -> std::convert::Infallible {
        let mut refused = None;
        loop {
            tokio::time::sleep(POLL).await;
            let files = self.files.clone();
            let Ok(Ok(pem)) = tokio::task::spawn_blocking(move || read(&files)).await else { continue };
            if pem == self.current.load().pem || refused.as_ref() == Some(&pem) {
                continue;
            }
            match parse(&self.files, pem.clone()) {
                Ok(loaded) => {
                    self.current.store(Arc::new(loaded));
                    refused = None;
                    tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded");
                }
                Err(error) => {
                    tracing::warn!(%error, "the changed certificate is not usable, the last one keeps serving");
                    refused = Some(pem);
                }
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.display().to_string(), source })
    };
    Ok((read(&files.certificate)?, read(&files.key)?))
}

fn parse(files: &TlsFiles, pem: (Vec<u8>, Vec<u8>)) -> Result<Loaded, TlsError> {
    let none = |path: &Path, what| TlsError::NoPem { path: path.display().to_string(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.0).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| none(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&pem.1).map_err(|_| none(&files.key, "private key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { pem, config: Arc::new(config) })
}
