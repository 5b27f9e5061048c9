//! Which events were said already: most are said once an account, none may flood the log.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Remembers keys for a while, and at most so many.
#[derive(Debug)]
pub struct Seen<K> {
    inner: Mutex<Inner<K>>,
    again_after: Duration,
}

#[derive(Debug)]
struct Inner<K> {
    at: HashMap<K, Instant>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone> Seen<K> {
    /// Remembers each key for `again_after`.
    #[must_use]
    pub fn new(again_after: Duration) -> Self {
        Seen { inner: Mutex::new(Inner { at: HashMap::new(), order: VecDeque::new() }), again_after }
    }

    /// Whether this key is new, or was long enough ago; remembers it.
    pub fn is_new(&self, key: K, now: Instant) -> bool {
        // A panic while the lock was held leaves nothing half done here.
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match inner.at.get_mut(&key) {
            Some(at) if now.saturating_duration_since(*at) < self.again_after => return false,
            Some(at) => {
                *at = now;
                return true;
            }
            None => {}
        }
        if inner.order.len() >= KEYS_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.at.remove(&oldest);
        }
        inner.order.push_back(key.clone());
        inner.at.insert(key, now);
        true
    }
}

/// More servers than any directory has; bounds the memory that strangers can take.
const KEYS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_a_key_once_until_its_time_is_over() {
        let seen = Seen::new(Duration::from_secs(60));
        let start = Instant::now();
        assert!(seen.is_new(1, start));
        assert!(!seen.is_new(1, start + Duration::from_secs(59)));
        assert!(seen.is_new(2, start));
        assert!(seen.is_new(1, start + Duration::from_secs(60)));
    }

    #[test]
    fn remembers_a_bounded_number() {
        let seen = Seen::new(Duration::MAX);
        let start = Instant::now();
        for key in 0..=KEYS_MAX {
            seen.is_new(key, start);
        }
        assert!(seen.is_new(0, start));
        assert!(!seen.is_new(KEYS_MAX, start));
    }
}
