//! When the answer to a failed login leaves: for all of them at the same time after they came.

use std::time::Duration;

/// How long it takes to hear that a proof does not hold, smoothed as TCP smooths the way there and back.
#[derive(Debug, Default)]
pub(in crate::front) struct Pace {
    smoothed: Option<Smoothed>,
}

#[derive(Clone, Copy, Debug)]
struct Smoothed {
    mean: Duration,
    deviation: Duration,
}

impl Pace {
    /// Whoever knows the passwords has taken so long to say no.
    pub(in crate::front) fn took(&mut self, time: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { mean: time, deviation: time / 2 },
            Some(Smoothed { mean, deviation }) => Smoothed {
                mean: mean - mean / 8 + time / 8,
                deviation: deviation - deviation / 4 + time.abs_diff(mean) / 4,
            },
        });
    }

    /// How long after it came a failed login is answered, whether anybody was asked or not.
    pub(in crate::front) fn answer_after(&self) -> Duration {
        let slow = self.smoothed.map_or(Duration::ZERO, |it| it.mean + it.deviation * 4);
        slow.clamp(FLOOR, CEILING)
    }
}

/// A hundred times what it takes to compute a proof.
const FLOOR: Duration = Duration::from_millis(10);
/// A directory that is slower has other troubles, and connections should not pile up.
const CEILING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: impl IntoIterator<Item = u64>) -> Duration {
        let mut pace = Pace::default();
        times.into_iter().for_each(|ms| pace.took(Duration::from_millis(ms)));
        pace.answer_after()
    }

    #[test]
    fn is_later_than_a_directory_answers() {
        assert_eq!(after([]), FLOOR);
        assert_eq!(after([0; 100]), FLOOR);
        for times in [vec![25], [20, 25, 30].repeat(50), [5, 30].repeat(50)] {
            let answer_after = after(times.clone());
            assert!(answer_after >= Duration::from_millis(30), "{times:?}: {answer_after:?}");
            assert!(answer_after <= Duration::from_millis(90), "{times:?}: {answer_after:?}");
        }
    }

    #[test]
    fn does_not_wait_for_a_directory_that_hangs() {
        assert_eq!(after([60_000; 3]), CEILING);
    }
}
