//! How often an event is said: once in a while for each key, and not too often in all. What is left out is counted,
//! and the next one says how many there were.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Remembers what was said, and counts what was not.
#[derive(Debug)]
pub struct Tally<K> {
    inner: Mutex<Inner<K>>,
    again_after: Duration,
}

#[derive(Debug)]
struct Inner<K> {
    said: HashMap<K, Said>,
    order: VecDeque<K>,
    /// Left out, and of keys that are not remembered.
    others_left_out: u64,
    minute: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    left_out: u64,
}

impl<K: Hash + Eq + Clone> Tally<K> {
    /// Says the same key again after so long.
    #[must_use]
    pub fn new(again_after: Duration) -> Self {
        let inner = Inner { said: HashMap::new(), order: VecDeque::new(), others_left_out: 0, minute: None };
        Tally { inner: Mutex::new(inner), again_after }
    }

    /// Whether to say an event of this key now: with the number of those that were left out since the last one, of
    /// this key and of keys that were forgotten. `None`: it is left out, and counted.
    pub fn say(&self, key: K, now: Instant) -> Option<u64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = inner.said.get_mut(&key)
            && now.saturating_duration_since(said.at) < self.again_after
        {
            said.left_out += 1;
            return None;
        }
        if !inner.has_room_in_minute(now) {
            match inner.said.get_mut(&key) {
                Some(said) => said.left_out += 1,
                None => inner.others_left_out += 1,
            }
            return None;
        }
        let own = inner.remember(key, now);
        Some(own + std::mem::take(&mut inner.others_left_out))
    }
}

impl<K: Hash + Eq + Clone> Inner<K> {
    fn has_room_in_minute(&mut self, now: Instant) -> bool {
        let minute = self.minute.filter(|(since, _)| now.saturating_duration_since(*since) < MINUTE);
        let (since, said) = minute.unwrap_or((now, 0));
        let room = said < MINUTE_MAX;
        self.minute = Some((since, if room { said + 1 } else { said }));
        room
    }

    /// Gives what was left out of this key.
    fn remember(&mut self, key: K, now: Instant) -> u64 {
        if let Some(said) = self.said.get_mut(&key) {
            said.at = now;
            return std::mem::take(&mut said.left_out);
        }
        if self.order.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(said) = self.said.remove(&oldest)
        {
            self.others_left_out += said.left_out;
        }
        self.order.push_back(key.clone());
        self.said.insert(key, Said { at: now, left_out: 0 });
        0
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// More than anybody reads.
const MINUTE_MAX: u32 = 100;
/// More servers than any directory has; bounds the memory that strangers can take.
const KEYS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN_AFTER: Duration = Duration::from_secs(60);

    #[test]
    fn the_next_event_says_how_many_were_left_out() {
        let (tally, start) = (Tally::new(AGAIN_AFTER), Instant::now());
        assert_eq!(tally.say("a", start), Some(0));
        assert!((0..7).all(|_| tally.say("a", start).is_none()));
        assert_eq!(tally.say("b", start), Some(0));
        assert_eq!(tally.say("a", start + AGAIN_AFTER), Some(7));
        assert_eq!(tally.say("a", start + 2 * AGAIN_AFTER), Some(0));
    }

    #[test]
    fn many_keys_are_no_flood_and_none_is_lost() {
        let (tally, start) = (Tally::new(AGAIN_AFTER), Instant::now());
        let said = (0..1_000).filter(|key| tally.say(*key, start).is_some()).count();
        assert_eq!(said, 100);
        assert_eq!(tally.say(0, start + MINUTE), Some(900));
    }

    #[test]
    fn what_is_forgotten_is_still_counted() {
        let (tally, start) = (Tally::new(Duration::MAX), Instant::now());
        let (mut said, mut left_out) = (0, 0);
        for key in 0..2 * KEYS_MAX {
            for _ in 0..3 {
                let minute = MINUTE * u32::try_from(key).unwrap();
                if let Some(before) = tally.say(key, start + minute) {
                    (said, left_out) = (said + 1, left_out + before);
                }
            }
        }
        assert_eq!(said, 2 * KEYS_MAX);
        // Two of each key that was forgotten.
        assert_eq!(left_out, 2 * KEYS_MAX as u64);
        assert_eq!(tally.inner.lock().unwrap().said.len(), KEYS_MAX);
    }
}
