//! Whose address a request comes from, when proxies stand in between. `X-Forwarded-For` is believed only as far as trusted
//! proxies wrote it: from the right, up to the first address that is none of theirs. What stands further left is the
//! caller's own text.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::limits::address::canonical;

/// Most hops that are walked.
const HOPS: usize = 32;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose `X-Forwarded-For` is believed. None unless configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts the peers in `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client behind `peer`: `peer` itself unless it is trusted. When a trusted proxy wrote something that is
    /// no address, the last one that is.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = canonical(peer);
        if self.0.is_empty() || !self.contains(nearest) {
            return nearest;
        }
        // Several header lines are one list (RFC 9110 5.3).
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
        for hop in hops.take(HOPS) {
            let Some(address) = std::str::from_utf8(hop).ok().and_then(parse) else { return nearest };
            nearest = address;
            if !self.contains(address) {
                return nearest;
            }
        }
        nearest
    }
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches([' ', '\t']);
    let address = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|s| s.ip()));
    let address = address.or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(canonical)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let trusted = TrustedProxies::new(trusted.iter().map(|n| n.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_list_is_read_from_the_right_up_to_the_first_stranger() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        for (peer, lines, expected, why) in [
            ("192.0.2.9", &["1.2.3.4"][..], "192.0.2.9", "an untrusted peer writes what it likes"),
            ("10.0.0.1", &[], "10.0.0.1", "no header"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7", "one proxy"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7", "the left is the caller's own text"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.0.0.2"], "198.51.100.7", "two proxies"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.7"], "198.51.100.7", "two lines are one list"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", "all are ours: the furthest"),
            ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2", "no address: the last that is one"),
            ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1", "no address at once: the peer"),
            ("10.0.0.1", &[""], "10.0.0.1", "an empty line"),
            ("10.0.0.1", &["198.51.100.7,"], "10.0.0.1", "an empty last hop"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7", "with a port"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7", "IPv6 with a port"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7", "IPv6 in brackets"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7", "IPv4 inside IPv6"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7", "an IPv6 proxy"),
            ("10.0.0.1", &["127.0.0.1"], "127.0.0.1", "a stranger's loopback is trusted no more than any other"),
            ("10.0.0.1", &["198.51.100.7 198.51.100.8"], "10.0.0.1", "two addresses in one hop are none"),
        ] {
            assert_eq!(client(&proxies, peer, lines), expected, "{why}: {lines:?} from {peer}");
        }
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        assert_eq!(client(&[], "127.0.0.1", &["1.2.3.4"]), "127.0.0.1");
    }

    proptest! {
        /// Whatever the caller writes on the left, the answer is what the proxies wrote on the right.
        #[test]
        fn text_of_the_caller_never_changes_the_answer(
            forged in "[ -~]{0,80}",
            client_bits in any::<u32>(),
            ours in 0_usize..3,
        ) {
            let stranger = IpAddr::from(client_bits.to_be_bytes());
            prop_assume!(!"10.0.0.0/8".parse::<IpNet>().unwrap().contains(&stranger));
            let tail = (0..ours).map(|i| format!(", 10.0.0.{}", i + 2)).collect::<String>();
            let line = format!("{forged}, {stranger}{tail}");
            prop_assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&line]), stranger.to_string());
        }

        /// The answer is the peer or stands in the header, and reading garbage never fails.
        #[test]
        fn the_answer_is_always_an_address_that_someone_wrote(bytes in proptest::collection::vec(0x20_u8..0x7f, 0..120)) {
            let line = String::from_utf8(bytes).unwrap();
            let answer = client(&["0.0.0.0/0", "::/0"], "10.0.0.1", &[&line]);
            let written = line.split(',').filter_map(parse).any(|a| a.to_string() == answer);
            prop_assert!(answer == "10.0.0.1" || written, "{}", answer);
        }
    }
}
