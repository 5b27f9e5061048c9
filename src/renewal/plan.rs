//! When a token is renewed. Pure: the time is an argument.

use crate::enrolment::{Cloud, CloudToken};
use crate::state::Timestamp;
use std::time::Duration;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Get a new token.
    Renew,
}

/// The attempts that came to nothing since the last that did not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    number: u32,
    last: Timestamp,
}

impl Failures {
    pub(super) fn another(&mut self, now: Timestamp) {
        self.number = self.number.saturating_add(1);
        self.last = now;
    }
}

/// How many tokens in a row the service did not take, each within its first minute: another one is no better then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals {
    number: u32,
    last: Option<[u8; 16]>,
}

impl Refusals {
    /// Counts a token that was refused, once.
    pub(super) fn note(&mut self, now: Timestamp, cloud: &Cloud) {
        let Some(token) = cloud.token.as_ref().filter(|token| cloud.refused == Some(token.id)) else {
            return;
        };
        if self.last != Some(token.id) {
            let young = now.0.saturating_sub(token.issued_at.0) < YOUNG_MS;
            self.number = if young { self.number.saturating_add(1) } else { 0 };
            self.last = Some(token.id);
        }
    }

    fn pause(self) -> i64 {
        // An administrator who asks for a new token says that the old one is refused, perhaps more than once.
        let doublings = if self.number > SUDDEN_MAX { self.number - SUDDEN_MAX + 1 } else { 0 };
        REFUSED_PAUSE_MS.saturating_mul(1 << doublings.min(12)).min(REFUSED_PAUSE_MAX_MS)
    }
}

pub(super) fn next_step(now: Timestamp, cloud: &Cloud, failures: &Failures, refusals: Refusals) -> Step {
    let due = match &cloud.token {
        None => now,
        // Not at the rate of requests, if the service takes none.
        Some(token) if cloud.refused == Some(token.id) => {
            Timestamp(token.issued_at.0.saturating_add(refusals.pause()))
        }
        Some(token) => due_at(token),
    };
    let at = if failures.number > 0 { due.0.max(failures.last.0 + pause(cloud, failures)) } else { due.0 };
    match u64::try_from(at.saturating_sub(now.0)) {
        Ok(left) if left > 0 => Step::Wait(Duration::from_millis(left)),
        _ => Step::Renew,
    }
}

/// At two thirds of the life, a twentieth of it sooner or later: the token's own random number says which, so that
/// clusters that were set up together do not ask together.
fn due_at(token: &CloudToken) -> Timestamp {
    let life = token.expires_at.0.saturating_sub(token.issued_at.0).max(0);
    let draw = i64::from(u16::from_be_bytes([token.id[0], token.id[1]]));
    let early = life / 20 - (life / 10).saturating_mul(draw) / i64::from(u16::MAX);
    Timestamp(token.issued_at.0.saturating_add(life / 3 * 2 - early))
}

/// Doubled each time, and never more than a fortieth of the life: who comes back before the end is asked in time.
fn pause(cloud: &Cloud, failures: &Failures) -> i64 {
    let life = cloud.token.as_ref().map(|token| token.expires_at.0.saturating_sub(token.issued_at.0));
    let longest = life.map_or(PAUSE_MAX_MS, |life| (life / 40).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS));
    let doubled = PAUSE_MIN_MS.saturating_mul(1 << failures.number.min(12));
    doubled.min(longest)
}

/// How few days are left, of those that are said; nothing as long as there are more.
pub(super) fn warned_days(now: Timestamp, expires_at: Timestamp) -> Option<u16> {
    let left = expires_at.0.saturating_sub(now.0);
    WARNED_DAYS.into_iter().find(|days| left <= i64::from(*days) * DAY_MS)
}

const PAUSE_MIN_MS: i64 = 250;
const PAUSE_MAX_MS: i64 = 60_000;
/// A token that was just got is not better after another moment.
const REFUSED_PAUSE_MS: i64 = 2_000;
/// So many young tokens in a row may be refused for a reason that is over with the next one.
const SUDDEN_MAX: u32 = 3;
const REFUSED_PAUSE_MAX_MS: i64 = 300_000;
/// Who withdraws a right, or the tokens that there are, does it at any time.
const YOUNG_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Over; and the days at which people have time, should hurry, and must act.
const WARNED_DAYS: [u16; 4] = [0, 3, 14, 45];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn token(draw: u8) -> CloudToken {
        CloudToken {
            id: [draw; 16],
            enrolment: [1; 16],
            access: Secret::new("x".into()),
            issued_at: Timestamp(1_000_000),
            expires_at: Timestamp(4_600_000),
            refresh: None,
        }
    }

    fn cloud(draw: u8) -> Cloud {
        Cloud { token: Some(token(draw)), ..Cloud::default() }
    }

    #[test]
    fn renews_at_two_thirds_of_the_life_sooner_or_later_by_a_twentieth() {
        assert_eq!(due_at(&token(0)), Timestamp(1_000_000 + 2_400_000 - 180_000));
        assert_eq!(due_at(&token(255)), Timestamp(1_000_000 + 2_400_000 + 180_000));
        let due = due_at(&token(100));
        let none = Failures::default();
        assert_eq!(
            next_step(Timestamp(due.0 - 1), &cloud(100), &none, Refusals::default()),
            Step::Wait(Duration::from_millis(1))
        );
        assert_eq!(next_step(due, &cloud(100), &none, Refusals::default()), Step::Renew);
        assert_eq!(next_step(Timestamp(0), &Cloud::default(), &none, Refusals::default()), Step::Renew);
    }

    #[test]
    fn a_token_that_was_not_taken_is_renewed_once_and_not_at_the_rate_of_requests() {
        let refused = Cloud { refused: Some([100; 16]), ..cloud(100) };
        let step = |now| next_step(Timestamp(now), &refused, &Failures::default(), Refusals::default());
        assert_eq!(step(1_002_000), Step::Renew);
        assert_eq!(step(1_000_001), Step::Wait(Duration::from_millis(1_999)));
        let other = Cloud { refused: Some([101; 16]), ..cloud(100) };
        assert!(matches!(
            next_step(Timestamp(1_000_001), &other, &Failures::default(), Refusals::default()),
            Step::Wait(_)
        ));
    }

    /// A service that takes no token at all, asked without end.
    #[test]
    fn tokens_that_are_refused_at_once_are_got_ever_more_seldom() {
        let (mut refusals, mut now, begun, mut grants) = (Refusals::default(), 1_000_000, 1_000_000, 0);
        let mut pauses = Vec::new();
        while pauses.len() < 12 {
            let mut token = token(u8::try_from(pauses.len()).unwrap());
            (token.issued_at, token.expires_at) = (Timestamp(now), Timestamp(now + 3_600_000));
            let cloud = Cloud { refused: Some(token.id), token: Some(token), ..Cloud::default() };
            // However often it is looked at.
            (0..3).for_each(|_| refusals.note(Timestamp(now), &cloud));
            let Step::Wait(wait) = next_step(Timestamp(now), &cloud, &Failures::default(), refusals) else {
                panic!("at once")
            };
            now += i64::try_from(wait.as_millis()).unwrap();
            pauses.push(wait.as_secs());
            grants += i32::from(now - begun <= 60_000);
        }
        assert!(grants <= 6, "{grants} in a minute");
        assert_eq!(pauses[..6], [2, 2, 2, 8, 16, 32]);
        assert_eq!(pauses[11], 300);
        // One that was good for a while counts anew.
        let old = Cloud { refused: Some([100; 16]), ..cloud(100) };
        refusals.note(Timestamp(1_060_000), &old);
        assert_eq!(next_step(Timestamp(1_060_000), &old, &Failures::default(), refusals), Step::Renew);
    }

    #[test]
    fn a_service_that_is_back_for_a_tenth_of_the_life_is_asked_in_time() {
        let mut failures = Failures::default();
        let (mut now, end) = (due_at(&token(255)).0, 4_600_000);
        let mut longest = 0;
        while now < end {
            failures.another(Timestamp(now));
            let Step::Wait(wait) = next_step(Timestamp(now), &cloud(255), &failures, Refusals::default())
            else {
                panic!()
            };
            let wait = i64::try_from(wait.as_millis()).unwrap();
            longest = longest.max(wait);
            now += wait;
        }
        assert!((PAUSE_MIN_MS..=3_600_000 / 40).contains(&longest), "{longest}");
    }

    #[test]
    fn says_three_times_that_a_credential_ends_and_once_that_it_has() {
        let end = Timestamp(100 * DAY_MS);
        let at = |days: i64| warned_days(Timestamp((100 - days) * DAY_MS), end);
        assert_eq!(
            [at(46), at(45), at(14), at(4), at(3), at(0), at(-1)],
            [None, Some(45), Some(14), Some(14), Some(3), Some(0), Some(0)]
        );
    }
}
