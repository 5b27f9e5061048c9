//! Which authenticators were taken already. Each is taken once, on this node.

use std::collections::{BTreeMap, HashSet};

/// What was taken, by the minute that the client wrote into it: a copy has the same minute.
#[derive(Debug, Default)]
pub(super) struct Replays {
    minutes: BTreeMap<i64, HashSet<[u8; 16]>>,
}

/// Why an authenticator is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was taken before.
    Already,
    /// There is no room to remember it.
    Full,
}

impl Replays {
    /// Remembers an authenticator by a mark of it, for as long as it could be taken again.
    pub(super) fn remember(&mut self, mark: [u8; 16], seconds: i64, now: i64) -> Result<(), Known> {
        // One that is older is refused for its time; the double is for a clock that is set back.
        let oldest = (now - 2 * super::SKEW_SECONDS_MAX).div_euclid(60);
        self.minutes = self.minutes.split_off(&oldest);
        let all: usize = self.minutes.values().map(HashSet::len).sum();
        let minute = self.minutes.entry(seconds.div_euclid(60)).or_default();
        if minute.contains(&mark) {
            return Err(Known::Already);
        }
        if all >= MARKS_MAX {
            return Err(Known::Full);
        }
        minute.insert(mark);
        Ok(())
    }
}

/// A thousand logins a second for fifteen minutes; 32 MiB at most.
const MARKS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_once_and_forgets_what_is_too_old() {
        let mut replays = Replays::default();
        assert_eq!(replays.remember([1; 16], 1_000, 1_000), Ok(()));
        assert_eq!(replays.remember([1; 16], 1_000, 1_300), Err(Known::Already));
        assert_eq!(replays.remember([2; 16], 1_000, 1_300), Ok(()));
        assert_eq!(replays.remember([3; 16], 5_000, 5_000), Ok(()));
        assert_eq!(replays.minutes.len(), 1);
    }

    #[test]
    fn takes_nothing_when_it_is_full() {
        let mut replays = Replays::default();
        let marks = (0..MARKS_MAX as u128).map(u128::to_be_bytes);
        replays.minutes.insert(16, marks.collect());
        assert_eq!(replays.remember([0xff; 16], 1_000, 1_000), Err(Known::Full));
        assert_eq!(replays.remember([0; 16], 1_000, 1_000), Err(Known::Already));
    }
}
