//! Bugs that are planted to see that a checker finds them. One of them at most is there in a run.

use std::cell::Cell;

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// What can be planted; each breaks what one invariant promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A node votes for whoever asks, as often as asked.
    GrantsEveryVote,
    /// A disk says that it has something before it does.
    AcknowledgesBeforeSync,
    /// A linearizable read answers from the local table at once.
    ReadsLocally,
    /// Applying forgets which commands acted before.
    ForgetsClients,
    /// One node leaves out some entries.
    SkipsEntries,
    /// A table counts as fresh from when the leader's answer came, not from when it was asked.
    CountsFromTheAnswer,
}

/// Plants a bug in what runs on this thread from now on, or none.
pub(super) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub(super) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
