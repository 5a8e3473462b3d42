//! Configuration: `stockade.toml`, the environment, and files that hold a secret, checked into real types. One file per
//! section; `default.toml` is defaults and reference at once. The only place that reads the environment. Everyone to the
//! right imports the sections; this room imports `base` and `model` alone.

mod audit_log;
mod crypto;
mod database;
mod error;
mod findings;
mod http;
mod limits;
mod log;
mod login;
mod oauth;
mod outbound;
mod policy;
mod reader;
mod registration;
mod risk;
mod server;
mod signals;
mod source;
pub mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use audit_log::{Anchors, AuditLog, Disk, Issuance};
pub use crypto::Crypto;
pub use database::Database;
pub use error::ConfigError;
pub use findings::{FindingSource, Findings};
pub use http::{Http, TlsFiles};
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use login::{Login, LoginProvider, ScopeWords};
pub use oauth::{IssuerKeys, Oauth, ResourceServer, TokenFormat, TrustedIssuer};
pub use outbound::Outbound;
pub use policy::Policy;
pub use reader::{Shown, environment_name};
pub use registration::Registration;
pub use risk::{Ours, Risk, RiskMode};
pub use server::Server;
pub use signals::Signals;
pub use source::Origin;
pub use text::RateLimit;

use reader::Reader;

/// The embedded defaults, which are the reference too.
pub const REFERENCE: &str = include_str!("default.toml");

/// The file that is read when none is named and it exists.
pub const FILE_NAME: &str = "stockade.toml";

/// Everything that can be set, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[http]`.
    pub http: Http,
    /// `[database]`.
    pub database: Database,
    /// `[crypto]`.
    pub crypto: Crypto,
    /// `[oauth]`.
    pub oauth: Oauth,
    /// `[login]`.
    pub login: Login,
    /// `[outbound]`.
    pub outbound: Outbound,
    /// `[policy]`.
    pub policy: Policy,
    /// `[audit_log]`.
    pub audit_log: AuditLog,
    /// `[findings]`.
    pub findings: Findings,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: Log,
    /// Whether the demo API is mounted. No key: `stockade dev` alone sets it.
    pub demo: bool,
}

impl Config {
    /// The TLS files of the ops listener: `[http.tls]` when it listens beyond loopback, else none.
    pub fn ops_tls(&self) -> Option<&TlsFiles> {
        if self.server.ops_listen.ip().is_loopback() { None } else { self.http.tls.as_ref() }
    }
}

/// What was read, whether or not it is right: `stockade config show` prints it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or every mistake in it.
    pub config: Result<Config, Vec<ConfigError>>,
    /// Every key with its value (secrets redacted) and origin, in the order of the reference.
    pub shown: Vec<Shown>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Whether there is a file and it cannot be read: then nothing else is known to be wrong.
    pub unreadable: bool,
}

/// The environment of this process. Names and values that are not Unicode are left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads and checks the configuration: `path`, or `stockade.toml` of the working directory when it exists, below `env`.
///
/// # Errors
/// Every mistake at once.
pub fn load(path: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Config, Vec<ConfigError>> {
    read(path, env).config
}

/// Like [`load`], and says where every value came from.
pub fn read(path: Option<&Path>, env: &BTreeMap<String, String>) -> Loaded {
    let mut errors = Vec::new();
    let standing = Path::new(FILE_NAME);
    let file = path.map(Path::to_owned).or_else(|| standing.is_file().then(|| standing.to_owned()));
    let mut leaves = source::Leaves::new();
    let mut unreadable = None;
    if let Some(path) = &file {
        match std::fs::read_to_string(path) {
            Ok(text) => leaves = source::from_toml(path, &text, &mut errors),
            Err(e) => {
                let what = "name the file with --config, or make one with `stockade init DIR`";
                unreadable = Some(ConfigError::new(None, format!("cannot read {}: {e}; {what}", path.display())));
            }
        }
    }
    let base = file.as_deref().and_then(|path| std::path::absolute(path).ok()).unwrap_or_default();
    let base = base.parent().unwrap_or(Path::new(""));
    let env = source::from_environment(env);
    let defaults = source::from_toml(Path::new("default.toml"), REFERENCE, &mut errors);

    let mut reader = Reader::new(&env, &leaves, &defaults, base);
    let config = Config {
        server: Server::read(&mut reader),
        http: Http::read(&mut reader),
        database: Database::read(&mut reader, base),
        crypto: Crypto::read(&mut reader),
        oauth: Oauth::read(&mut reader),
        login: Login::read(&mut reader),
        outbound: Outbound::read(&mut reader),
        policy: Policy::read(&mut reader),
        audit_log: AuditLog::read(&mut reader),
        findings: Findings::read(&mut reader),
        limits: Limits::read(&mut reader),
        log: Log::read(&mut reader),
        demo: false,
    };
    check_exposure(&config, &mut reader);
    check_default_resource(&config, &mut reader);
    reader.finish();
    errors.append(&mut reader.errors);
    let shown = reader.shown;
    let unread = unreadable.is_some();
    if let Some(error) = unreadable {
        // What else seems wrong may stand right in the file.
        errors = vec![error];
    }
    Loaded { config: if errors.is_empty() { Ok(config) } else { Err(errors) }, shown, file, unreadable: unread }
}

/// The default API is one that tokens are issued for.
fn check_default_resource(config: &Config, reader: &mut Reader<'_>) {
    let known = |uri: &str| uri == config.server.issuer || config.oauth.resources.iter().any(|api| api.id == uri);
    if let Some(uri) = config.oauth.default_resource.as_deref().filter(|uri| !known(uri)) {
        reader.wrong(
            "oauth.default_resource",
            format!("`{uri}` is no API of this server: add it to [[oauth.resources]]"),
        );
    }
}

/// Nothing listens beyond loopback without TLS or an explicit statement that a proxy terminates it.
fn check_exposure(config: &Config, reader: &mut Reader<'_>) {
    let server = &config.server;
    if config.http.tls.is_some() || server.behind_tls_proxy {
        return;
    }
    for (key, address) in [("server.listen", server.listen), ("server.ops_listen", server.ops_listen)] {
        if !address.ip().to_canonical().is_loopback() {
            let message = format!(
                "{address} is beyond loopback without TLS: set [http.tls], or `server.behind_tls_proxy = true` when a \
                 proxy terminates it"
            );
            reader.wrong(key, message);
        }
    }
}
