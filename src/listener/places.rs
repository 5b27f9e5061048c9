//! Places for connections whose other end has not proven who it is: so many, and so many for one source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many may be there at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all_max: usize,
    pub(super) each_max: usize,
}

/// Clones are the same places.
#[derive(Clone)]
pub(super) struct Places {
    limits: Limits,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One place; free again when it is dropped.
pub(super) struct Place {
    places: Places,
    source: IpAddr,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Places { limits, taken: Arc::default() }
    }

    /// A place for a connection from an address, unless all are taken, or all of this source.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let source = source(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&source).copied().unwrap_or(0);
        if own >= self.limits.each_max || taken.values().sum::<usize>() >= self.limits.all_max {
            return None;
        }
        taken.insert(source, own + 1);
        Some(Place { places: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

/// Who an address is counted for: a host with IPv6 has a whole /64 of them.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_leaves_places_for_others() {
        let places = Places::new(Limits { all_max: 3, each_max: 2 });
        let (one, two) = (address("10.0.0.1"), address("10.0.0.2"));
        let held = [places.take(one), places.take(one)];
        assert!(held.iter().all(Option::is_some) && places.take(one).is_none());
        let last = places.take(two);
        assert!(last.is_some() && places.take(two).is_none(), "all are taken");
        drop(held);
        assert!(places.take(one).is_some() && places.take(two).is_some());
        drop(last);
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_one_host_is_one_source() {
        assert_eq!(source(address("2001:db8::1:2:3:4")), source(address("2001:db8::9")));
        assert_ne!(source(address("2001:db8:0:1::1")), source(address("2001:db8::1")));
        assert_eq!(source(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
