//! What may be registered, and how it changes: one place for the management API, dynamic registration, the command line and
//! the files of `stockade apply`.
//!
//! A registered thing is read from JSON members ([`client`]): unknown ones are refused with the nearest name, and every
//! mistake is told at once. Reading decides nothing about who may; that is the caller's.

pub mod client;
pub mod declared;
mod members;
pub mod metadata;
pub mod rules;
pub mod uri;
pub mod user;

use std::fmt;

use crate::config::Config;
use crate::model::Algorithm;

/// What of a deployment the rules need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The issuer, which is also an API.
    pub issuer: String,
    /// The other APIs that tokens are issued for.
    pub resources: Vec<String>,
    /// The API of clients that are registered without one; `None`: the issuer.
    pub default_resource: Option<String>,
    /// What access tokens may be signed with.
    pub algs: Vec<Algorithm>,
}

impl Site {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            issuer: config.server.issuer.clone(),
            resources: config.oauth.resources.iter().map(|resource| resource.id.clone()).collect(),
            default_resource: config.oauth.default_resource.clone(),
            algs: config.oauth.signing_algs.clone(),
        }
    }

    /// Whether tokens are issued for this API.
    pub fn knows(&self, uri: &str) -> bool {
        self.issuer == uri || self.resources.iter().any(|known| known == uri)
    }
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a JSON Pointer (RFC 6901) into what was sent.
    pub pointer: String,
    /// What is wrong and what to write instead.
    pub detail: String,
}

impl Mistake {
    /// A mistake of the member `name`.
    pub fn of(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail: detail.into() }
    }

    /// A mistake of one item of the list `name`.
    pub fn item(name: &str, index: usize, detail: impl Into<String>) -> Self {
        let Self { pointer, detail } = Self::of(name, detail);
        Self { pointer: format!("{pointer}/{index}"), detail }
    }

    /// A member that there is none of, and the nearest that there is.
    pub fn unknown(name: &str, known: &[&str]) -> Self {
        let near = |known: &str| strsim::jaro_winkler(known, name);
        let nearest = known.iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|k| near(k) > 0.75);
        let hint = nearest.map(|n| format!(": did you mean `{n}`?")).unwrap_or_default();
        let name: String = name.chars().take(64).collect();
        Self::of(&name, format!("there is no such member{hint}"))
    }

    /// The member it is about, for people: `redirect_uris` of `/redirect_uris/0`.
    pub fn member(&self) -> &str {
        self.pointer.split('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member() {
            "" => f.write_str(&self.detail),
            name => write!(f, "`{name}`: {}", self.detail),
        }
    }
}
