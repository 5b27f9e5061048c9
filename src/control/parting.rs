//! Nodes that were removed while nobody heard of them: such a one may not know, and lets callers in for as long as its
//! table is fresh. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who was heard when, and who went unheard.
#[derive(Default)]
pub(super) struct Parting {
    heard: BTreeMap<u64, Heard>,
    gone: BTreeMap<u64, Gone>,
}

struct Heard {
    name: String,
    /// When it answered last, or was asked first.
    at: Instant,
    /// What held then.
    stale_after: Duration,
}

/// A node that is none any more, and may not know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) node_id: u64,
    pub(super) name: String,
    /// When it refuses by itself at the latest.
    pub(super) refuses_at: Instant,
}

impl Parting {
    /// All nodes as they were asked just now: id, name, whether it answered, and how old its table may be.
    pub(super) fn note<'a>(
        &mut self,
        asked: impl Iterator<Item = (u64, &'a str, bool, Duration)>,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.heard);
        for (id, name, answered, stale_after) in asked {
            let unheard = before.remove(&id).filter(|_| !answered);
            let heard = unheard.unwrap_or_else(|| Heard { name: name.into(), at: now, stale_after });
            self.heard.insert(id, heard);
        }
        for (id, heard) in before {
            // One that was heard knows it from the log, which it is told before it is let go.
            if now.saturating_duration_since(heard.at) >= UNHEARD_AFTER {
                self.part(id, &heard.name, now + heard.stale_after);
            }
        }
        self.gone.retain(|_, gone| gone.refuses_at > now);
    }

    pub(super) fn part(&mut self, node_id: u64, name: &str, refuses_at: Instant) {
        let gone = Gone { node_id, name: name.into(), refuses_at };
        self.gone.entry(node_id).or_insert(gone);
    }

    pub(super) fn gone(&self, now: Instant) -> Vec<Gone> {
        self.gone.values().filter(|gone| gone.refuses_at > now).cloned().collect()
    }
}

/// Longer than from one question to the next, so that a node that ends in order is not taken for one that is lost.
const UNHEARD_AFTER: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_goes_unheard_is_named_until_its_table_is_stale() {
        let (begin, stale) = (Instant::now(), SECOND * 60);
        let mut parting = Parting::default();
        let at = |seconds: u32| begin + SECOND * seconds;
        parting
            .note([(1, "a", true, stale), (2, "b", true, stale), (3, "c", true, stale)].into_iter(), at(0));
        parting
            .note([(1, "a", true, stale), (2, "b", false, stale), (3, "c", true, stale)].into_iter(), at(2));
        parting
            .note([(1, "a", true, stale), (2, "b", false, stale), (3, "c", true, stale)].into_iter(), at(4));
        assert_eq!(parting.gone(at(4)), []);
        // The third one ended in order.
        parting.note([(1, "a", true, stale)].into_iter(), at(6));
        let gone = Gone { node_id: 2, name: "b".into(), refuses_at: at(66) };
        assert_eq!(parting.gone(at(65)), std::slice::from_ref(&gone));
        // Said once more by who removed it: the first word counts.
        parting.part(2, "b", at(70));
        assert_eq!(parting.gone(at(65)), [gone]);
        assert_eq!(parting.gone(at(66)), []);
        parting.note([(1, "a", true, stale)].into_iter(), at(67));
        assert!(parting.gone.is_empty());
    }
}
