//! How many requests may be with the service at a time: all together, and those of one entry of the table. Whoever holds
//! its connections for long must leave some to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one account at the service.
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// One for each entry that has requests now.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
    slots_max: usize,
}

/// The right to one connection, until it is dropped.
pub(super) struct Slot {
    _of_entry: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// There was none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy {
    /// How many there may be, for the entry or for all.
    pub(super) connections: usize,
}

impl Slots {
    pub(super) fn new(slots_max: usize) -> Self {
        Slots { all: Arc::new(Semaphore::new(slots_max)), shares: Mutex::default(), slots_max }
    }

    /// One for a request of this entry, once there is one.
    pub(super) async fn take(&self, entry: &str, patience: Duration) -> Result<Slot, Busy> {
        let begun = tokio::time::Instant::now();
        let of_entry = acquire(self.share(entry), patience);
        let of_entry = of_entry.await.ok_or(Busy { connections: self.share_max() })?;
        let patience = patience.saturating_sub(begun.elapsed());
        let of_all = acquire(self.all.clone(), patience).await.ok_or(Busy { connections: self.slots_max })?;
        Ok(Slot { _of_entry: of_entry, _of_all: of_all })
    }

    /// As if as many answers were being read as there may be connections.
    #[cfg(test)]
    pub(super) async fn take_all(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(self.slots_max).expect("few");
        self.all.clone().acquire_many_owned(all).await.expect("nobody closes the slots")
    }

    fn share_max(&self) -> usize {
        (self.slots_max - self.slots_max / SHARES).min(self.slots_max.saturating_sub(1)).max(1)
    }

    fn share(&self, entry: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(entry).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share_max()));
        shares.insert(entry.to_owned(), Arc::downgrade(&share));
        share
    }
}

async fn acquire(slots: Arc<Semaphore>, patience: Duration) -> Option<OwnedSemaphorePermit> {
    let slot = tokio::time::timeout(patience, slots.acquire_owned()).await.ok()?;
    Some(slot.expect("nobody closes the slots"))
}

/// A quarter is left to the others: whoever holds all it can takes nobody's mail away, and an entry that is alone, as
/// that of Exchange often is, has the rest.
const SHARES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_entry_takes_its_share_and_gives_it_back() {
        let (slots, patience) = (Slots::new(8), Duration::from_secs(1));
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(slots.take("a", patience).await.unwrap());
        }
        assert_eq!(slots.take("a", patience).await.err(), Some(Busy { connections: 6 }));
        for entry in ["b", "c"] {
            held.push(slots.take(entry, patience).await.unwrap());
        }
        assert_eq!(slots.take("e", patience).await.err(), Some(Busy { connections: 8 }));
        held.clear();
        assert!(slots.take("a", patience).await.is_ok());
        // Nothing is left of who has no requests.
        assert!(slots.shares.lock().unwrap().len() <= 2);
        // Everybody may have one.
        let few = Slots::new(2);
        let _one = few.take("a", patience).await.unwrap();
        assert_eq!(few.take("a", patience).await.err(), Some(Busy { connections: 1 }));
        assert!(few.take("b", patience).await.is_ok());
    }
}
