//! Bounds how often one address may come with a wrong token.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts wrong tokens by address, for a while.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<BTreeMap<IpAddr, (u32, Instant)>>);

impl Throttle {
    /// Whether this address may try.
    pub(super) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.get(&address).is_none_or(|(wrong, since)| {
            *wrong < WRONG_MAX || now.saturating_duration_since(*since) >= FORGET_AFTER
        })
    }

    /// Notes a wrong token.
    pub(super) fn wrong(&self, address: IpAddr, now: Instant) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (_, since)| now.saturating_duration_since(*since) < FORGET_AFTER);
        if tries.len() >= ADDRESSES_MAX {
            tries.pop_first();
        }
        tries.entry(address).or_insert((0, now)).0 += 1;
    }
}

/// A secret of 128 bits is not guessed at any rate; this keeps log and processor free.
const WRONG_MAX: u32 = 10;
const FORGET_AFTER: Duration = Duration::from_secs(60);
const ADDRESSES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_tokens_a_minute_and_no_more() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let [address, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        for _ in 0..WRONG_MAX {
            assert!(throttle.allows(address, start));
            throttle.wrong(address, start);
        }
        assert!(!throttle.allows(address, start + FORGET_AFTER / 2));
        assert!(throttle.allows(other, start));
        assert!(throttle.allows(address, start + FORGET_AFTER));
    }

    #[test]
    fn remembers_a_bounded_number_of_addresses() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for number in 0..2_000_u32 {
            throttle.wrong(IpAddr::from(number.to_be_bytes()), start);
        }
        assert_eq!(throttle.0.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
