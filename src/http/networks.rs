//! Which addresses a request of ours may go to. What a stranger names (a key set, a document, a logout address) must not
//! reach what only we can reach: the machine itself, its neighbours, the cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::limits::address::canonical;

/// Networks that are nobody's on the internet (IANA special-purpose registries), beyond those that the standard library
/// names.
const SPECIAL_V4: [(Ipv4Addr, u8); 7] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
const SPECIAL_V6: [(Ipv6Addr, u8); 8] = [
    // `::`, `::1` and IPv4 written into the last 32 bits.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    // Teredo, ORCHID, benchmarks, documentation.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // Unique local, link-local, site-local, multicast.
    (Ipv6Addr::new(0xf000, 0, 0, 0, 0, 0, 0, 0), 4),
];

/// Whether an address is someone's on the internet.
pub fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            let inside = |(network, bits): &(Ipv4Addr, u8)| {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                v4.to_bits() & mask == network.to_bits()
            };
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || SPECIAL_V4.iter().any(inside))
        }
        IpAddr::V6(v6) => {
            let inside = |(network, bits): &(Ipv6Addr, u8)| {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                v6.to_bits() & mask == network.to_bits()
            };
            !SPECIAL_V6.iter().any(inside)
        }
    }
}

/// Where requests may go: to the internet, and to the networks that the configuration names.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// With these beside the internet.
    pub fn new(beside: Vec<IpNet>) -> Self {
        Self(beside)
    }

    /// Whether a request may go to `address`.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobodys_on_the_internet_is_not_public() {
        for inner in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for outer in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(outer.parse().unwrap()), "{outer}");
        }
    }

    #[test]
    fn a_named_network_is_allowed_however_its_address_is_written() {
        let networks = Networks::new(vec!["10.96.0.0/16".parse().unwrap()]);
        for (address, allowed) in
            [("10.96.0.1", true), ("::ffff:10.96.0.1", true), ("10.97.0.1", false), ("8.8.8.8", true)]
        {
            assert_eq!(networks.allow(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
