//! What waits for the disk, and whether anything ends: a disk that stands still says nothing by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The groups that are on their way to the disk. Clones count the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<Progress>>);

/// How far the disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// So many groups wait for it.
    pub waiting: u64,
    /// So many it has taken, ever.
    pub taken: u64,
}

/// One group on its way.
pub(super) struct OnItsWay(Waiting);

impl Waiting {
    pub(super) fn begin(&self) -> OnItsWay {
        self.lock().waiting += 1;
        OnItsWay(self.clone())
    }

    pub(super) fn progress(&self) -> Progress {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut progress = self.0.lock();
        progress.waiting -= 1;
        progress.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_waits_and_what_was_taken() {
        let waiting = Waiting::default();
        let (first, second) = (waiting.begin(), waiting.begin());
        assert_eq!(waiting.progress(), Progress { waiting: 2, taken: 0 });
        drop(first);
        assert_eq!(waiting.progress(), Progress { waiting: 1, taken: 1 });
        drop(second);
        assert_eq!(waiting.progress(), Progress { waiting: 0, taken: 2 });
    }
}
