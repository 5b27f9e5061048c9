//! What must hold in every run: one promise a file. Each looks at what was seen and says what it found.

mod committed;
mod election;
mod equal;
mod linearizable;
mod once;
mod revocation;

use super::bugs::Bug;
use super::model::Model;
use super::record::Record;

/// A promise, and the planted bug that breaks it.
pub(super) struct Invariant {
    pub(super) name: &'static str,
    pub(super) check: fn(&Record, &Model) -> Result<(), String>,
    pub(super) bug: Bug,
}

pub(super) const ALL: [Invariant; 6] = [
    Invariant { name: "election safety", check: election::check, bug: Bug::GrantsEveryVote },
    Invariant { name: "committed is never lost", check: committed::check, bug: Bug::AcknowledgesBeforeSync },
    Invariant { name: "linearizable", check: linearizable::check, bug: Bug::ReadsLocally },
    Invariant { name: "exactly once", check: once::check, bug: Bug::ForgetsClients },
    Invariant { name: "equal after healing", check: equal::check, bug: Bug::SkipsEntries },
    Invariant { name: "revocation bound", check: revocation::check, bug: Bug::CountsFromTheAnswer },
];
