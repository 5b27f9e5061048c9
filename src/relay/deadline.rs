//! The instant by which a request must be answered, on a clock that goes on while the host is suspended.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// An instant of `CLOCK_BOOTTIME`. `Instant` stands still while a machine is suspended, and a node
/// that wakes up must not send what somebody else has long sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    /// This long from now.
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        Deadline(now().saturating_add(budget))
    }

    /// So much before it.
    #[must_use]
    pub fn earlier_by(self, margin: Duration) -> Self {
        Deadline(self.0.saturating_sub(margin))
    }

    /// It, or this long from now if that is earlier.
    #[must_use]
    pub fn or_after(self, budget: Duration) -> Self {
        self.min(Deadline::after(budget))
    }

    /// Now: to count from.
    #[must_use]
    pub fn now() -> Self {
        Deadline(now())
    }

    /// This long after it.
    #[must_use]
    pub fn later(self, span: Duration) -> Self {
        Deadline(self.0.saturating_add(span))
    }

    /// What is left; nothing once it is over.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_sub(now())
    }

    /// How long it has been over.
    #[must_use]
    pub fn overdue(self) -> Duration {
        now().saturating_sub(self.0)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // The time since boot is never negative, and its nanoseconds are below 10^9.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_not_over_and_no_time_is() {
        assert!(!Deadline::after(Duration::from_secs(3_600)).is_over());
        assert!(Deadline::after(Duration::ZERO).is_over());
    }
}
