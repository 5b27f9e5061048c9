//! Which authenticators were taken already. Each is taken once, on this node.

use super::SKEW_SECONDS_MAX;
use crate::principal::Sid;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What was taken, by the minute that the client wrote into it: a copy has the same minute.
#[derive(Debug, Default)]
pub(super) struct Replays {
    minutes: BTreeMap<i64, Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    accounts: HashMap<Sid, HashSet<u64>>,
    marks: usize,
}

/// An authenticator, as far as one is remembered.
pub(super) struct Proof<'a> {
    /// Whose it is.
    pub(super) account: &'a Sid,
    /// A part of its hash. A copy has the same; that another one of the account has it too will not happen.
    pub(super) mark: u64,
    /// When the client made it, in seconds since 1970.
    pub(super) seconds: i64,
}

/// Why an authenticator is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was taken before.
    Already,
    /// There is no room to remember it: the account has had its share, or all have.
    Full,
}

impl Replays {
    /// Remembers an authenticator for as long as it could be taken again.
    pub(super) fn remember(&mut self, proof: &Proof<'_>, now: i64) -> Result<(), Known> {
        // One that is older is refused for its time; a minute more is for a clock that is set back.
        let oldest = (now - SKEW_SECONDS_MAX - 60).div_euclid(60);
        self.minutes = self.minutes.split_off(&oldest);
        let of_account = |minute: &Minute| minute.accounts.get(proof.account).map_or(0, HashSet::len);
        let own: usize = self.minutes.values().map(of_account).sum();
        let all: usize = self.minutes.values().map(|minute| minute.marks).sum();
        let minute = self.minutes.entry(proof.seconds.div_euclid(60)).or_default();
        if minute.accounts.get(proof.account).is_some_and(|marks| marks.contains(&proof.mark)) {
            return Err(Known::Already);
        }
        if own >= ACCOUNT_MARKS_MAX || all >= MARKS_MAX {
            return Err(Known::Full);
        }
        minute.accounts.entry(proof.account.clone()).or_default().insert(proof.mark);
        minute.marks += 1;
        Ok(())
    }
}

/// Ten thousand logins a second for seven minutes; 90 MiB at most.
const MARKS_MAX: usize = 1 << 22;
/// Six hundred a second for seven minutes. Who has an account can have ten computers as well, as domains are
/// made: together they cannot fill it.
const ACCOUNT_MARKS_MAX: usize = MARKS_MAX / 16;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn remember(replays: &mut Replays, rid: u32, mark: u64, seconds: i64, now: i64) -> Result<(), Known> {
        let account = Sid::new(5, &[21, 1, 2, 3, rid]).unwrap();
        replays.remember(&Proof { account: &account, mark, seconds }, now)
    }

    /// In which there is no room.
    pub(crate) fn full() -> Replays {
        let mut replays = Replays::default();
        replays.minutes.entry(i64::MAX).or_default().marks = MARKS_MAX;
        replays
    }

    #[test]
    fn takes_each_once_as_long_as_it_could_be_taken_again() {
        for second in 0..60 {
            let mut replays = Replays::default();
            let made = 6_000 + second;
            assert_eq!(remember(&mut replays, 1, 7, made, made), Ok(()));
            assert_eq!(remember(&mut replays, 1, 7, made, made + SKEW_SECONDS_MAX), Err(Known::Already));
            // And a clock that is set back by a minute after it was as late as that.
            assert_eq!(remember(&mut replays, 1, 8, made, made + SKEW_SECONDS_MAX + 60), Ok(()));
            assert_eq!(remember(&mut replays, 1, 7, made, made + SKEW_SECONDS_MAX), Err(Known::Already));
        }
        // What another account has made is another proof.
        let mut replays = Replays::default();
        assert_eq!(remember(&mut replays, 1, 7, 6_000, 6_000), Ok(()));
        assert_eq!(remember(&mut replays, 2, 7, 6_000, 6_000), Ok(()));
    }

    #[test]
    fn remembers_one_of_a_clock_that_is_ahead_until_its_time_is_over() {
        let mut replays = Replays::default();
        assert_eq!(remember(&mut replays, 1, 7, 6_300, 6_000), Ok(()));
        assert_eq!(remember(&mut replays, 1, 7, 6_300, 6_600), Err(Known::Already));
    }

    #[test]
    fn forgets_what_is_too_old() {
        let mut replays = Replays::default();
        for minute in 0..100 {
            assert_eq!(remember(&mut replays, 1, 7, minute * 60, minute * 60), Ok(()));
        }
        assert!(replays.minutes.len() < 9, "{}", replays.minutes.len());
    }

    #[test]
    fn an_account_that_has_had_its_share_is_refused_alone() {
        let mut replays = Replays::default();
        for mark in 0..ACCOUNT_MARKS_MAX as u64 {
            // Some ahead, some behind.
            assert_eq!(remember(&mut replays, 1, mark, 6_000 + (mark % 600) as i64 - 300, 6_000), Ok(()));
        }
        assert_eq!(remember(&mut replays, 1, u64::MAX, 6_000, 6_000), Err(Known::Full));
        assert_eq!(remember(&mut replays, 1, 300, 6_000, 6_000), Err(Known::Already));
        assert_eq!(remember(&mut replays, 2, 7, 6_000, 6_000), Ok(()));
        // It has room again as the minutes go by.
        assert_eq!(remember(&mut replays, 1, u64::MAX, 6_200, 6_200), Ok(()));
    }

    #[test]
    fn takes_nothing_when_it_is_full() {
        assert_eq!(remember(&mut full(), 1, 7, 6_000, 6_000), Err(Known::Full));
    }
}
