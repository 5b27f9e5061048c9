//! The one place that spawns: a task has a name, is told to drain, and is waited for.

mod accept;

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// A group of tasks that end together. Clones name the same group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    drain: CancellationToken,
}

/// Tasks were still running when the time to drain was over.
#[derive(Debug, thiserror::Error)]
#[error("{left} tasks had not ended after {waited:?}")]
pub struct DrainError {
    left: usize,
    waited: Duration,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group whose tasks are told to drain when this one's are, or earlier.
    #[must_use]
    pub fn child(&self) -> Self {
        Tasks { tracker: TaskTracker::new(), drain: self.drain.child_token() }
    }

    /// Starts a task. It should end soon after [`Tasks::draining`] does.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn(task.instrument(span));
    }

    /// Waits until the group is told to drain.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Whether the group was told to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Tells every task to drain, without waiting.
    pub fn start_draining(&self) {
        self.drain.cancel();
    }

    /// Whether the group was told to drain, and all of its tasks have ended.
    #[must_use]
    pub fn have_ended(&self) -> bool {
        self.is_draining() && self.tracker.is_empty()
    }

    /// Tells every task to drain and waits until all have ended, or for `timeout`.
    ///
    /// # Errors
    /// [`DrainError`] says how many are left.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainError> {
        self.drain.cancel();
        self.tracker.close();
        tokio::time::timeout(timeout, self.tracker.wait())
            .await
            .map_err(|_| DrainError { left: self.tracker.len(), waited: timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_every_task() {
        let tasks = Tasks::new();
        let inner = tasks.clone();
        tasks.spawn("waits", async move { inner.draining().await });
        tasks.start_draining();
        assert!(!tasks.have_ended());
        tasks.drain(Duration::from_secs(5)).await.unwrap();
        assert!(tasks.have_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_says_how_many_are_left() {
        let tasks = Tasks::new();
        tasks.spawn("never ends", std::future::pending());
        let error = tasks.drain(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "1 tasks had not ended after 1s");
    }
}
