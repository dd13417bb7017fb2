//! More clicks from one address than people make: counted by the minute, in memory of a fixed size.
//!
//! A table of counters stands for all addresses. An address has four places in it, found by a keyed hash; when
//! all are taken by others in this minute, the least used gives way. So a flood from a million addresses
//! makes the table forget who came once, never those who came often, and nobody is taken for another. There
//! is no lock: threads that meet at one counter may miscount by one.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

const SETS: usize = 1 << 14;
const PLACES: usize = 4;
/// A counter holds 32 bits of the address's hash, 12 of the minute, and 20 of the count.
const COUNT_BITS: u32 = 20;
const MINUTE_BITS: u32 = 12;
/// Counting stops below what fits, so that threads at one counter can't spill into the minute.
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1024;

/// Tells floods. Takes 512 KiB, unless it is switched off.
#[derive(Debug)]
pub struct FloodLimiter {
    limit: u64,
    hasher: RandomState,
    counters: Box<[AtomicU64]>,
}

impl FloodLimiter {
    /// Clicks that one address may make in a minute, at most a million; 0 switches it off.
    pub fn new(clicks_per_minute: u32) -> Self {
        let places = if clicks_per_minute == 0 { 0 } else { SETS * PLACES };
        Self {
            limit: u64::from(clicks_per_minute).min(MAX_COUNT - 1),
            hasher: RandomState::new(),
            counters: std::iter::repeat_with(AtomicU64::default).take(places).collect(),
        }
    }

    /// Counts a click, and says whether its address has made too many in this minute.
    pub fn count(&self, address: IpAddr, now_ms: i64) -> bool {
        if self.counters.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(network(address));
        let minute = now_ms.div_euclid(60_000).cast_unsigned() & ((1 << MINUTE_BITS) - 1);
        let stamp = (hash >> 32 << MINUTE_BITS | minute) << COUNT_BITS;
        // The low bits choose the set; the cut is what is wanted.
        let first = usize::try_from(hash % SETS as u64).unwrap_or(0) * PLACES;
        let places = &self.counters[first..first + PLACES];
        count_at(places, stamp) > self.limit
    }
}

/// The click's number among those of its address and minute.
fn count_at(places: &[AtomicU64], stamp: u64) -> u64 {
    let count_mask = (1 << COUNT_BITS) - 1;
    let minute_mask = ((1 << MINUTE_BITS) - 1) << COUNT_BITS;
    let (mut least, mut least_count) = (&places[0], u64::MAX);
    for place in places {
        let seen = place.load(Ordering::Relaxed);
        let count = seen & count_mask;
        if seen & !count_mask == stamp && count > 0 {
            if count < MAX_COUNT {
                place.fetch_add(1, Ordering::Relaxed);
            }
            return count + 1;
        }
        let worth = if seen & minute_mask == stamp & minute_mask { count } else { 0 };
        if worth < least_count {
            (least, least_count) = (place, worth);
        }
    }
    least.store(stamp | 1, Ordering::Relaxed);
    1
}

/// What counts as one address: an IPv4 address, or the /64 network that one line or phone is given.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // Global networks begin with 2 or 3, so that none equals an IPv4 address.
        IpAddr::V6(address) => {
            address.segments()[..4].iter().fold(0, |high, segment| high << 16 | u64::from(*segment))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const MINUTE: i64 = 60_000;

    fn floods(limiter: &FloodLimiter, address: IpAddr, now: i64, clicks: usize) -> usize {
        (0..clicks).filter(|_| limiter.count(address, now)).count()
    }
    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    #[test]
    fn clicks_above_the_limit_are_a_flood_until_the_minute_is_over() {
        let limiter = FloodLimiter::new(10);
        assert_eq!(floods(&limiter, v4(1), 0, 15), 5);
        assert_eq!(floods(&limiter, v4(2), 0, 10), 0);
        assert_eq!(floods(&limiter, v4(1), MINUTE - 1, 1), 1);
        assert_eq!(floods(&limiter, v4(1), MINUTE, 15), 5);
        // A clock that is set back starts again.
        assert_eq!(floods(&limiter, v4(1), 5, 10), 0);
    }

    #[test]
    fn zero_switches_it_off() {
        let limiter = FloodLimiter::new(0);
        assert_eq!(floods(&limiter, v4(1), 0, 10_000), 0);
    }

    #[test]
    fn the_highest_limits_hold() {
        let limiter = FloodLimiter::new(u32::MAX);
        let over = floods(&limiter, v4(1), 0, 1 << 20);
        assert!((1_000..2_000).contains(&over), "{over}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let limiter = FloodLimiter::new(10);
        let address = |high: u128, low: u128| IpAddr::from(Ipv6Addr::from_bits(high << 64 | low));
        let over: usize = (0..15).map(|low| floods(&limiter, address(0x2001_0db8, low), 0, 1)).sum();
        assert_eq!(over, 5);
        assert_eq!(floods(&limiter, address(0x2001_0db9, 0), 0, 10), 0);
        let mapped = Ipv4Addr::from_bits(7).to_ipv6_mapped().into();
        assert_eq!(floods(&limiter, mapped, 0, 10) + floods(&limiter, v4(7), 0, 1), 1);
    }

    #[test]
    fn a_flood_from_many_addresses_hides_none_that_floods_alone_and_hits_nobody_else() {
        let limiter = FloodLimiter::new(10);
        let many = 300_000;
        let mut hit = 0;
        for other in 0..many {
            hit += floods(&limiter, v4(1_000 + other), 0, 1);
            // Two floods among them, one click each at a time.
            if other % 1_000 == 0 {
                limiter.count(v4(1), 0);
                limiter.count(v4(2), 0);
            }
        }
        assert_eq!(hit, 0);
        assert!(limiter.count(v4(1), 0) || limiter.count(v4(2), 0));
        assert_eq!(limiter.counters.len(), SETS * PLACES);
    }
}
