//! Keys of buckets: 128 bits of a keyed hash. No text that a stranger chose stays in memory or reaches a label, and nobody
//! who lacks the process's own random key can aim at another's bucket or at one corner of the table.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::siphash;
use crate::base::{Rng, rng};

/// What a bucket is kept for: a closed set, used as a label of metrics and to share one overflow bucket each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// A peer's address or one of its prefixes.
    Address,
    /// An OAuth client.
    Client,
    /// A user.
    User,
    /// Anything else that a caller names, such as a route class or a tenant.
    Other,
}

impl Space {
    /// Every space.
    pub const ALL: [Self; 4] = [Self::Address, Self::Client, Self::User, Self::Other];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Client => "client",
            Self::User => "user",
            Self::Other => "other",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// The key of one bucket. Cheap to copy; worth keeping beside what it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) hash: [u64; 2],
    pub(super) space: Space,
}

/// Makes keys, under a random key of this process. `class` names the limit (a tier's name, `token`, `coarse`): one client has
/// one bucket per class.
#[derive(Clone, Copy)]
pub struct Keys([u64; 2]);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys([redacted])")
    }
}

impl Keys {
    /// A fresh random key: keys of two processes have nothing in common.
    pub fn new(random: &dyn Rng) -> Self {
        let word = || u64::from_le_bytes(rng::bytes::<8>(random));
        Self([word(), word()])
    }

    /// The bucket of an OAuth client.
    pub fn client(&self, class: &str, client_id: &str) -> Key {
        self.key(Space::Client, &[class], client_id.as_bytes())
    }

    /// The bucket of an OAuth client in one class of a tier.
    pub fn client_in_tier(&self, tier: &str, class: &str, client_id: &str) -> Key {
        self.key(Space::Client, &[tier, class], client_id.as_bytes())
    }

    /// The bucket of a user.
    pub fn user(&self, class: &str, user_id: &str) -> Key {
        self.key(Space::User, &[class], user_id.as_bytes())
    }

    /// The bucket of a user in one class of a tier.
    pub fn user_in_tier(&self, tier: &str, class: &str, user_id: &str) -> Key {
        self.key(Space::User, &[tier, class], user_id.as_bytes())
    }

    /// The bucket of anything else, such as a route class.
    pub fn other(&self, class: &str, id: &str) -> Key {
        self.key(Space::Other, &[class], id.as_bytes())
    }

    /// The bucket of one IPv4 address.
    pub fn v4(&self, class: &str, address: Ipv4Addr) -> Key {
        self.key(Space::Address, &[class], &address.octets())
    }

    /// The bucket of one IPv6 prefix of `bits` bits, 1 to 128.
    pub fn v6(&self, class: &str, address: Ipv6Addr, bits: u8) -> Key {
        let keep = u128::MAX.checked_shl(128 - u32::from(bits.clamp(1, 128))).unwrap_or(0);
        let mut id = [0; 17];
        for (to, from) in id.iter_mut().zip((address.to_bits() & keep).to_be_bytes().into_iter().chain([bits])) {
            *to = from;
        }
        self.key(Space::Address, &[class], &id)
    }

    fn key(&self, space: Space, classes: &[&str], id: &[u8]) -> Key {
        // Lengths first: `("ab", "c")` and `("a", "bc")` are two buckets. Short keys stay on the stack.
        let length = |class: &str| u32::try_from(class.len()).unwrap_or(u32::MAX).to_le_bytes();
        let count = u8::try_from(classes.len()).unwrap_or(u8::MAX);
        let classes_bytes = classes.iter().flat_map(|class| length(class).into_iter().chain(class.bytes()));
        let bytes = [space as u8, count].into_iter().chain(classes_bytes).chain(id.iter().copied());
        let total = 2 + classes.iter().map(|class| 4 + class.len()).sum::<usize>() + id.len();
        let mut short = [0; 128];
        let hash = match short.get_mut(..total) {
            Some(message) => {
                for (to, from) in message.iter_mut().zip(bytes) {
                    *to = from;
                }
                siphash::hash::<1, 3>(self.0, message)
            }
            None => siphash::hash::<1, 3>(self.0, &bytes.collect::<Vec<_>>()),
        };
        Key { hash, space }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn keys_differ_by_space_class_id_and_process() {
        let here = Keys::new(&SeededRng::new(1));
        let there = Keys::new(&SeededRng::new(2));
        let all = [
            here.client("token", "a"),
            here.user("token", "a"),
            here.other("token", "a"),
            here.client("tokena", ""),
            here.client("toke", "na"),
            here.client("coarse", "a"),
            there.client("token", "a"),
            here.client_in_tier("token", "a", ""),
            here.client_in_tier("token", "", "a"),
            here.client_in_tier("", "token", "a"),
            here.user_in_tier("", "token", "a"),
            here.client("token", &"a".repeat(117)),
            here.client("token", &"a".repeat(118)),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a.hash != b.hash), "key {i} is not its own");
        }
        assert_eq!(here.client("token", "a"), here.client("token", "a"));
    }

    #[test]
    fn a_prefix_forgets_the_bits_below_it_and_nothing_else() {
        let keys = Keys::new(&SeededRng::new(3));
        let at = |text: &str, bits| keys.v6("coarse", text.parse().unwrap(), bits);
        assert_eq!(at("2001:db8::1", 64), at("2001:db8::ffff:0:0:2", 64));
        assert_ne!(at("2001:db8::1", 64), at("2001:db8:0:1::1", 64));
        assert_eq!(at("2001:db8:0:1::1", 56), at("2001:db8:0:2::1", 56));
        assert_ne!(at("2001:db8::", 64), at("2001:db8::", 56));
        assert_ne!(at("::1", 128), at("::2", 128));
    }
}
