//! Whether winbind answers: what events and metrics say of it, and when a helper may be started again.

use crate::directory::metrics::Metrics;
use crate::event::Event;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

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

    pub(super) fn is_away(&self) -> bool {
        self.state().away
    }

    /// A helper could not be started, or ended before its first answer.
    pub(super) fn no_start(&self) {
        let mut state = self.state();
        state.not_before = Some(Instant::now() + pause(state.failures));
        state.failures = state.failures.saturating_add(1);
    }

    /// Waits until a helper may be started again. The error says that this is not before a deadline: who asks is
    /// told at once.
    pub(super) async fn may_start(&self, deadline: Instant) -> Result<(), String> {
        loop {
            let not_before = self.state().not_before;
            match not_before.filter(|at| Instant::now() < *at) {
                None => return Ok(()),
                Some(at) if at < deadline => sleep_until(at).await,
                Some(_) => return Err("its helper could not be started a moment ago".into()),
            }
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
    use prometheus_client::registry::Registry;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u128> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pause(40), PAUSE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_helper_that_failed_the_next_one_waits_and_after_an_answer_it_does_not() {
        let health = Health::new("LAB".into(), Metrics::register(&mut Registry::default()));
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(1);
        assert_eq!(health.may_start(deadline).await, Ok(()));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        health.no_start();
        assert_eq!(health.may_start(deadline).await, Ok(()));
        assert!(begun.elapsed() >= PAUSE_MIN, "{:?}", begun.elapsed());
        health.no_start();
        health.good();
        let answered = Instant::now();
        assert_eq!(health.may_start(deadline).await, Ok(()));
        assert_eq!(answered.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_not_wait_so_long_is_told_at_once() {
        let health = Health::new("LAB".into(), Metrics::register(&mut Registry::default()));
        (0..5).for_each(|_| health.no_start());
        let begun = Instant::now();
        let refused = health.may_start(begun + Duration::from_secs(1)).await;
        assert_eq!(refused.map_err(|words| words.contains("a moment ago")), Err(true));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
