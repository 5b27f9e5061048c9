//! Whether winbind answers: what events and metrics say of it, and when a helper may be started again.

use crate::directory::metrics::Metrics;
use crate::event::Event;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known about winbind on this host.
pub(super) struct Health {
    domain: String,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    away: bool,
    /// Helpers in a row that did not come as far as an answer.
    failures: u32,
    not_before: Option<Instant>,
}

impl Health {
    pub(super) fn new(domain: String, metrics: Metrics) -> Self {
        metrics.winbind_up(true);
        Health { domain, metrics, state: Mutex::default() }
    }

    /// It has answered, with yes or no.
    pub(super) fn good(&self) {
        let was_away = std::mem::take(&mut *self.state()).away;
        self.metrics.winbind_up(true);
        if was_away {
            Event::WinbindBack { domain: &self.domain }.log();
        }
    }

    /// It has not.
    pub(super) fn away(&self, reason: &str) {
        let was_away = std::mem::replace(&mut self.state().away, true);
        self.metrics.winbind_up(false);
        if !was_away {
            Event::WinbindAway { domain: &self.domain, reason }.log();
        }
    }

    /// A helper could not be started, or ended before its first answer.
    pub(super) fn no_start(&self) {
        let mut state = self.state();
        state.not_before = Some(Instant::now() + pause(state.failures));
        state.failures = state.failures.saturating_add(1);
    }

    /// The error says that it is too early to start another one.
    pub(super) fn check_start(&self) -> Result<(), String> {
        match self.state().not_before {
            Some(at) if Instant::now() < at => Err("its helper could not be started a moment ago".into()),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as long each time.
fn pause(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(PAUSE_MAX)
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Who repairs it should not have to wait.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u128> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pause(40), PAUSE_MAX);
    }

    #[test]
    fn a_helper_is_not_started_at_once_after_one_that_failed_but_after_an_answer() {
        let health = Health::new("LAB".into(), Metrics::default());
        assert!(health.check_start().is_ok());
        health.no_start();
        assert!(health.check_start().is_err());
        health.good();
        assert!(health.check_start().is_ok());
    }
}
