//! `[limits]`: the coarse buckets, before anyone is known. Tiers live with the policies.

use std::time::Duration;

use super::reader::Reader;
use super::text::RateLimit;

/// `[limits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests of one address, before any cryptography.
    pub address: RateLimit,
    /// Requests of one address to the token endpoint.
    pub token_address: RateLimit,
    /// Requests of one client to the token endpoint.
    pub token_client: RateLimit,
    /// Registrations that one address may try.
    pub register_address: RateLimit,
    /// Questions of one client to the decision point.
    pub access_client: RateLimit,
    /// All requests together.
    pub ceiling: RateLimit,
    /// Keys that the buckets remember.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address: RateLimit::per_second(200, 400),
            token_address: RateLimit::per_second(50, 100),
            token_client: RateLimit::per_second(50, 100),
            register_address: RateLimit::per(Duration::from_secs(3600), 30, 10),
            access_client: RateLimit::per_second(1000, 2000),
            ceiling: RateLimit::per_second(50_000, 50_000),
            keys: 1_000_000,
        }
    }
}

impl Limits {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        Self {
            address: r.parsed("limits.address", d.address, RateLimit::parse),
            token_address: r.parsed("limits.token_address", d.token_address, RateLimit::parse),
            token_client: r.parsed("limits.token_client", d.token_client, RateLimit::parse),
            register_address: r.parsed("limits.register_address", d.register_address, RateLimit::parse),
            access_client: r.parsed("limits.access_client", d.access_client, RateLimit::parse),
            ceiling: r.parsed("limits.ceiling", d.ceiling, RateLimit::parse),
            keys: r.number("limits.keys", d.keys as u64, 1024..=100_000_000) as usize,
        }
    }
}
