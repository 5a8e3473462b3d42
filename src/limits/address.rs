//! Addresses as keys: a ladder of prefixes, because whoever holds one IPv6 address holds 2^64 of them, and often 2^72 or
//! 2^80. IPv4 counts whole; IPv4 inside IPv6 (mapped, RFC 4291 2.5.5.2, and NAT64, RFC 6052 2.1) counts as IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::buckets::Claim;
use super::key::Keys;
use super::rate::Limit;

/// Prefix lengths of IPv6 and how many times the limit each gets.
pub const LADDER: [(u8, u32); 3] = [(64, 1), (56, 4), (48, 16)];

/// The claims of one address: one of IPv4, three of IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Rungs {
    claims: [Claim; 3],
    len: usize,
}

impl std::ops::Deref for Rungs {
    type Target = [Claim];

    fn deref(&self) -> &[Claim] {
        self.claims.get(..self.len).unwrap_or(&self.claims)
    }
}

/// The address that `address` stands for: IPv4 when it carries one.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().or_else(|| nat64(v6)).map_or(address, IpAddr::V4),
    }
}

fn nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// One unit of each bucket that `address` counts against, in `class`, under `limit` for the narrowest.
pub fn rungs(keys: &Keys, class: &str, address: IpAddr, limit: Limit) -> Rungs {
    match canonical(address) {
        IpAddr::V4(v4) => Rungs { claims: [Claim::new(keys.v4(class, v4), limit); 3], len: 1 },
        IpAddr::V6(v6) => Rungs {
            claims: LADDER.map(|(bits, factor)| Claim::new(keys.v6(class, v6, bits), limit.times(factor))),
            len: 3,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_inside_ipv6_is_ipv4() {
        let inner: IpAddr = "192.0.2.33".parse().unwrap();
        for text in ["::ffff:192.0.2.33", "64:ff9b::192.0.2.33", "192.0.2.33"] {
            assert_eq!(canonical(text.parse().unwrap()), inner, "{text}");
        }
        for text in ["2001:db8::1", "64:ff9b:1::192.0.2.33", "::192.0.2.33", "::1"] {
            assert_eq!(canonical(text.parse().unwrap()), text.parse::<IpAddr>().unwrap());
        }
    }
}
