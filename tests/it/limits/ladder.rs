//! Addresses: one address, its prefixes, and those who hold many.

use std::net::{IpAddr, Ipv6Addr};

use stockade::limits::address::rungs;
use stockade::limits::{Buckets, Claim, Limit};

use super::{SECOND, buckets, left};

fn passes(ours: &Buckets, address: IpAddr, limit: Limit) -> bool {
    ours.check(&rungs(ours.keys(), "coarse", address, limit), SECOND).is_allowed()
}

/// How many of `addresses` pass, one call each.
fn passed(addresses: impl Iterator<Item = u128>) -> usize {
    let ours = buckets(1 << 16);
    let limit = Limit::per_second(1, 10).unwrap();
    addresses.filter(|bits| passes(&ours, IpAddr::V6(Ipv6Addr::from_bits(*bits)), limit)).count()
}

const BASE: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0000;

#[test]
fn hopping_within_a_64_gains_nothing() {
    assert_eq!(passed((0..1000).map(|i| BASE + i)), 10);
}

#[test]
fn hopping_over_the_64s_of_a_56_gains_four_times_as_much() {
    assert_eq!(passed((0..256).flat_map(|net| (0..10).map(move |i| BASE + (net << 64) + i))), 40);
}

#[test]
fn hopping_over_the_56s_of_a_48_gains_sixteen_times_as_much() {
    assert_eq!(passed((0..65_536_u128).flat_map(|net| (0..2).map(move |i| BASE + (net << 64) + i))), 160);
}

#[test]
fn another_48_is_somebody_else() {
    assert_eq!(passed((0..4).flat_map(|net| (0..20).map(move |i| BASE + (net << 80) + i))), 40);
}

#[test]
fn a_refusal_by_a_wide_prefix_charges_the_narrow_one_nothing() {
    let ours = buckets(1 << 16);
    let limit = Limit::per_second(1, 10).unwrap();
    for net in 0..4 {
        for _ in 0..10 {
            assert!(passes(&ours, IpAddr::V6(Ipv6Addr::from_bits(BASE + (net << 64))), limit));
        }
    }
    let fresh = IpAddr::V6(Ipv6Addr::from_bits(BASE + (9 << 64)));
    let claims = rungs(ours.keys(), "coarse", fresh, limit);
    assert!(!ours.check(&claims, SECOND).is_allowed());
    assert_eq!(left(&ours, claims[0], SECOND), 10);
}

#[test]
fn ipv4_counts_alone_and_the_same_inside_ipv6() {
    let ours = buckets(1 << 16);
    let limit = Limit::per_second(1, 2).unwrap();
    let at = |text: &str| passes(&ours, text.parse().unwrap(), limit);
    assert!(at("192.0.2.1") && at("::ffff:192.0.2.1") && !at("64:ff9b::192.0.2.1"));
    assert!(at("192.0.2.2"));
}

#[test]
fn what_is_given_back_can_be_taken_again_and_a_full_bucket_stays_full() {
    let ours = buckets(1 << 10);
    let limit = Limit::new(1, std::time::Duration::from_secs(3600), 2).unwrap();
    let claims = [Claim::new(ours.keys().user("password", "ada"), limit)];
    let takes = || ours.check(&claims, SECOND).is_allowed();
    assert_eq!([takes(), takes(), takes()], [true, true, false]);
    ours.give_back(&claims, SECOND);
    assert_eq!([takes(), takes()], [true, false]);
    for _ in 0..5 {
        ours.give_back(&claims, SECOND);
    }
    assert_eq!([takes(), takes(), takes()], [true, true, false]);
}
