//! The retry budget: in any ten seconds retries are at most a share of the requests, so that trouble behind us is not
//! made worse. Nothing is saved up: what was spared in a quiet hour would be spent when the service is down.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counts requests and retries by the second.
#[derive(Debug)]
pub struct Budget {
    begun: Instant,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// The newest one that was counted in, since the beginning.
    second: u64,
    /// The newest first.
    counts: [Count; SECONDS_RETRIES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: u32,
    retries: u32,
}

impl Budget {
    pub fn new(now: Instant) -> Self {
        Budget { begun: now, window: Mutex::default() }
    }

    /// A request came.
    pub fn earn(&self, now: Instant) {
        self.at(now, |window| window.note(|count| count.requests = count.requests.saturating_add(1)));
    }

    /// Takes one retry out, if there is one.
    pub fn spend(&self, now: Instant) -> bool {
        self.at(now, |window| {
            let is_left = window.retries() < window.retries_max();
            if is_left {
                window.note(|count| count.retries = count.retries.saturating_add(1));
            }
            is_left
        })
    }

    fn at<T>(&self, now: Instant, act: impl FnOnce(&mut Window) -> T) -> T {
        // Counts are counts, whatever happened between two of them.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.advance(now.saturating_duration_since(self.begun).as_secs());
        act(&mut window)
    }
}

impl Window {
    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second);
        let passed = usize::try_from(passed).map_or(SECONDS_RETRIES, |passed| passed.min(SECONDS_RETRIES));
        self.counts.rotate_right(passed);
        self.counts.iter_mut().take(passed).for_each(|count| *count = Count::default());
        self.second = self.second.max(second);
    }

    fn note(&mut self, note: impl FnOnce(&mut Count)) {
        if let Some(newest) = self.counts.first_mut() {
            note(newest);
        }
    }

    fn retries(&self) -> u32 {
        self.counts.iter().map(|count| count.retries).sum()
    }

    fn retries_max(&self) -> u32 {
        let counted = self.counts.iter().take(SECONDS_REQUESTS);
        let requests: u32 = counted.map(|count| count.requests).sum();
        (requests / REQUESTS_A_RETRY).max(RETRIES_MIN)
    }
}

/// Some requests are refused and never sent: of those that are sent it is a tenth.
const REQUESTS_A_RETRY: u32 = 12;
/// A node that dies under a quiet cluster may lose so many requests at once.
const RETRIES_MIN: u32 = 20;
/// The newest second has only begun: ten seconds of requests at the most.
const SECONDS_REQUESTS: usize = 10;
/// And ten seconds of retries at the least.
const SECONDS_RETRIES: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spend_all(budget: &Budget, now: Instant) -> u32 {
        (0..10_000).map(|_| u32::from(budget.spend(now))).sum()
    }

    #[test]
    fn a_share_of_the_requests_of_the_last_seconds_may_be_sent_again() {
        let begun = Instant::now();
        let budget = Budget::new(begun);
        (0..1_200).for_each(|_| budget.earn(begun));
        assert_eq!(spend_all(&budget, begun), 100);
    }

    #[test]
    fn a_quiet_cluster_may_lose_what_it_has_in_flight() {
        let begun = Instant::now();
        assert_eq!(spend_all(&Budget::new(begun), begun), RETRIES_MIN);
    }

    #[test]
    fn nothing_is_saved_up_in_quiet_times() {
        let begun = Instant::now();
        let budget = Budget::new(begun);
        (0..60_000_u64).for_each(|number| budget.earn(begun + Duration::from_millis(number)));
        let now = begun + Duration::from_secs(60);
        assert!(spend_all(&budget, now) <= 10_000 / REQUESTS_A_RETRY);
    }

    #[test]
    fn in_any_ten_seconds_it_stays_below_a_tenth_while_everything_fails() {
        let begun = Instant::now();
        let budget = Budget::new(begun);
        let moments = (0..60_000_u64).step_by(5).map(|ms| begun + Duration::from_millis(ms));
        let retried: Vec<bool> = moments
            .map(|now| {
                budget.earn(now);
                budget.spend(now)
            })
            .collect();
        let worst = retried.windows(2_000).map(|window| window.iter().filter(|again| **again).count()).max();
        assert!(worst <= Some(200), "{worst:?}");
        assert!(worst >= Some(150), "{worst:?}");
    }
}
