//! What waits for the writer of the store.

use super::Changes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What waits for the writer: all changes in one, so that a slow disk costs no more memory than the
/// names of the rows.
#[derive(Default)]
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    pub(super) more: Notify,
    pub(super) taken: Notify,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) changes: Option<Changes>,
    /// One of both sides is gone.
    pub(super) ended: bool,
}

impl Waiting {
    pub(super) fn add(&mut self, changes: Changes) {
        match &mut self.changes {
            Some(waiting) => waiting.then(changes),
            none => *none = Some(changes),
        }
    }
}

impl Shared {
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, once something does; nothing when nobody is left who could send it.
    pub(super) async fn next(&self) -> Option<Changes> {
        loop {
            let (changes, ended) = {
                let mut waiting = self.waiting();
                (waiting.changes.take(), waiting.ended)
            };
            if changes.is_some() || ended {
                self.taken.notify_one();
                return changes;
            }
            self.more.notified().await;
        }
    }

    /// Adds what comes within a moment: the log has it all, and one sync for many changes leaves the disk
    /// to the log.
    pub(super) async fn gather(&self, changes: &mut Changes) {
        let deadline = Instant::now() + GATHER;
        while !self.waiting().ended && tokio::time::timeout_at(deadline, self.more.notified()).await.is_ok() {
        }
        if let Some(later) = self.waiting().changes.take() {
            changes.then(later);
        }
        self.taken.notify_one();
    }
}

/// How long changes wait for others to share a sync with.
const GATHER: Duration = Duration::from_millis(50);
