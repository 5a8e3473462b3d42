//! `[outbound]`: requests that the service makes itself.

use std::path::PathBuf;

use ipnet::IpNet;

use super::reader::Reader;

/// `[outbound]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbound {
    /// Networks that may be asked beside the internet.
    pub networks: Vec<IpNet>,
    /// PEM certificates of authorities beside those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl Outbound {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            networks: r.list("outbound.networks", Vec::new(), super::server::network),
            ca_file: r.path("outbound.ca_file", None),
        }
    }
}
