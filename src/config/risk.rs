//! `[findings.risk]`: what findings do to those whom they name.

use std::collections::HashMap;

use ipnet::IpNet;

use super::reader::{Fields, Reader};

/// Whether the risk that findings give counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RiskMode {
    /// Nobody is at risk.
    Off,
    /// Nobody is at risk; what would be otherwise is counted, and stands in events.
    #[default]
    DryRun,
    /// Policies see it.
    On,
}

/// `[findings.risk]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// Whether it counts.
    pub mode: RiskMode,
    /// How many names may become new in a minute.
    pub new_a_minute: u32,
    /// User names, ids of people and clients: no finding touches them.
    pub break_glass: Vec<String>,
    /// Addresses that no finding makes risky.
    pub spared_networks: Vec<IpNet>,
    /// What findings call our people (by user name or id) and clients: from their name for one to ours.
    pub known_as: HashMap<String, Ours>,
}

/// One of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ours {
    /// A person, by user name or id.
    User(String),
    /// A client, by id.
    Client(String),
}

impl Default for Risk {
    fn default() -> Self {
        Self {
            mode: RiskMode::default(),
            new_a_minute: 100,
            break_glass: Vec::new(),
            spared_networks: Vec::new(),
            known_as: HashMap::new(),
        }
    }
}

impl Risk {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let known_as = r.tables("findings.risk.known_as", known_as).into_iter().flatten().flatten().collect();
        Self {
            mode: r.parsed("findings.risk.mode", d.mode, mode),
            new_a_minute: r.number("findings.risk.new_a_minute", d.new_a_minute, 1..=1_000_000),
            break_glass: r.list("findings.risk.break_glass", Vec::new(), name),
            spared_networks: r.list("findings.risk.spared_networks", Vec::new(), super::server::network),
            known_as,
        }
    }
}

fn mode(text: &str) -> Result<RiskMode, String> {
    match text {
        "off" => Ok(RiskMode::Off),
        "dry_run" => Ok(RiskMode::DryRun),
        "on" => Ok(RiskMode::On),
        _ => Err(format!("`{text}` is none of \"off\", \"dry_run\", \"on\"")),
    }
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name is empty".to_owned()) } else { Ok(text.trim().to_owned()) }
}

/// One of ours, and every name that findings have for it.
fn known_as(f: &mut Fields<'_>) -> Option<Vec<(String, Ours)>> {
    let (user, client) = (f.optional("user", name), f.optional("client", name));
    let names = f.required("names", name)?;
    let ours = match (user, client) {
        (Some(user), None) => Ours::User(user),
        (None, Some(client)) => Ours::Client(client),
        _ => {
            f.wrong("name either a `user` or a `client`");
            return None;
        }
    };
    Some(names.split_whitespace().map(|name| (name.to_owned(), ours.clone())).collect())
}
