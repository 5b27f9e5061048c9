//! The answers in memory, and which have to go when there are too many. Pure.

use super::{KeptAnswer, Key};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// All that are kept.
#[derive(Default)]
pub(super) struct Answers {
    held: HashMap<Key, Held>,
    bytes: usize,
}

struct Held {
    answer: KeptAnswer,
    written: Option<Instant>,
}

impl Answers {
    pub(super) fn get(&self, key: &Key) -> Option<&KeptAnswer> {
        self.held.get(key).map(|held| &held.answer)
    }

    /// Takes an answer in, and says which had to go: those that are too old, and the oldest of whoever has the most.
    /// So a caller that asks in a thousand ways drives out its own.
    pub(super) fn put(&mut self, key: Key, answer: &KeptAnswer, age_max: Duration) -> Vec<Key> {
        let written = self.take(key).and_then(|held| held.written);
        self.bytes += answer.body.len();
        self.held.insert(key, Held { answer: answer.clone(), written });
        let too_old = |held: &Held| held.answer.age(age_max).is_none();
        let mut gone: Vec<Key> =
            self.held.iter().filter(|(_, held)| too_old(held)).map(|(key, _)| *key).collect();
        for key in &gone {
            self.remove(*key);
        }
        while let Some(key) = self.too_much(&answer.caller) {
            self.remove(key);
            gone.push(key);
        }
        gone
    }

    /// Whether there was one.
    pub(super) fn remove(&mut self, key: Key) -> bool {
        self.take(key).is_some()
    }

    /// Whether the disk should take this answer now; remembers that it does.
    pub(super) fn is_to_be_written(&mut self, key: Key, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(&key) else { return false };
        let recent = |at: Instant| now.saturating_duration_since(at) < WRITTEN_EVERY;
        if held.written.is_some_and(recent) {
            return false;
        }
        held.written = Some(now);
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    fn take(&mut self, key: Key) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.bytes -= held.answer.body.len();
        Some(held)
    }

    /// One that is beyond a bound, after this caller got one more.
    fn too_much(&self, caller: &str) -> Option<Key> {
        if self.of(caller).count() > CALLER_ANSWERS_MAX {
            return self.oldest(caller);
        }
        if self.held.len() <= ANSWERS_MAX && self.bytes <= BYTES_MAX {
            return None;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for held in self.held.values() {
            *counts.entry(&held.answer.caller).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count)?.0;
        self.oldest(most)
    }

    fn of(&self, caller: &str) -> impl Iterator<Item = (&Key, &Held)> {
        self.held.iter().filter(move |(_, held)| held.answer.caller == caller)
    }

    fn oldest(&self, caller: &str) -> Option<Key> {
        self.of(caller).min_by_key(|(_, held)| held.answer.at).map(|(key, _)| *key)
    }
}

/// Four operations at two endpoints, and as many lists of templates.
pub(super) const CALLER_ANSWERS_MAX: usize = 16;
/// A handful of questions of some hundred servers.
pub(super) const ANSWERS_MAX: usize = 1_000;
pub(super) const BYTES_MAX: usize = 32 << 20;
/// A disk has better things to do than to take the same answer again.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);
