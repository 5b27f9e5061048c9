//! The retry budget: retries are at most a tenth of the requests, so that trouble behind us is not made worse.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts tenths of a retry.
#[derive(Debug)]
pub struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicU32::new(TENTHS_AT_FIRST))
    }
}

impl Budget {
    /// A request came: it earns a tenth.
    pub fn earn(&self) {
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| Some((tenths + 1).min(TENTHS_MAX)));
    }

    /// Takes one retry out, if there is one.
    pub fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| tenths.checked_sub(TENTHS_A_RETRY))
            .is_ok()
    }
}

const TENTHS_A_RETRY: u32 = 10;
/// A node that dies under a quiet cluster may lose so many requests at once.
const TENTHS_AT_FIRST: u32 = 20 * TENTHS_A_RETRY;
/// What a busy cluster has in flight on one node.
const TENTHS_MAX: u32 = 100 * TENTHS_A_RETRY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_one_retry_for_ten_requests() {
        let budget = Budget::default();
        while budget.spend() {}
        for _ in 0..99 {
            budget.earn();
        }
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 9);
    }
}
