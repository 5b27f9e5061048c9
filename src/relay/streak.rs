//! How long the service has done nothing but fail, for whoever asks how the node fares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the service did last. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Streak(Arc<Mutex<Failures>>);

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    begun: Option<Instant>,
    last: Option<Instant>,
    reason: String,
}

impl Streak {
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Failures::default();
    }

    pub(super) fn failed(&self, reason: &str, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.count += 1;
        failures.begun.get_or_insert(now);
        failures.last = Some(now);
        failures.reason = reason.chars().take(REASON_CHARS_MAX).collect();
    }

    /// In words, once there are several in a row; else nothing. Failures that nothing followed for long say nothing of now.
    pub(super) fn in_words(&self, now: Instant) -> String {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(begun), Some(last)) = (failures.begun, failures.last) else { return String::new() };
        let [first, last] = [begun, last].map(|moment| now.saturating_duration_since(moment));
        if failures.count < COUNT_MIN || last > SAID_FOR {
            return String::new();
        }
        format!(
            "the last {} requests to the service failed, the first of them {} s ago, the last {} s ago: {}",
            failures.count,
            first.as_secs(),
            last.as_secs(),
            failures.reason
        )
    }
}

/// One that fails is no news.
const COUNT_MIN: u64 = 3;
/// Monitoring that looks every few minutes sees it.
const SAID_FOR: Duration = Duration::from_secs(15 * 60);
/// It goes onto one line.
const REASON_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_in_a_row_are_told_until_the_service_answers() {
        let (streak, now) = (Streak::default(), Instant::now());
        let later = now + Duration::from_secs(9);
        streak.failed("a", now);
        streak.failed("b", later);
        assert_eq!(streak.in_words(later), "");
        streak.failed("c", later);
        let words =
            "the last 3 requests to the service failed, the first of them 9 s ago, the last 0 s ago: c";
        assert_eq!(streak.in_words(later), words);
        streak.answered();
        assert_eq!(streak.in_words(later), "");
    }

    #[test]
    fn failures_of_long_ago_are_told_no_more() {
        let (streak, now) = (Streak::default(), Instant::now());
        for _ in 0..COUNT_MIN {
            streak.failed("a", now);
        }
        let words =
            "the last 3 requests to the service failed, the first of them 900 s ago, the last 900 s ago: a";
        assert_eq!(streak.in_words(now + SAID_FOR), words);
        assert_eq!(streak.in_words(now + SAID_FOR + Duration::from_secs(1)), "");
    }
}
