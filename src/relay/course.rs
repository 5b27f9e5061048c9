//! What becomes known about a request while it is handled, wherever that is: for the audit record and the
//! histograms of the front that took it.

use crate::rms::Operation;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The facts of one request; clones are the same. The last attempt counts.
#[derive(Clone, Debug, Default)]
pub struct Course(Arc<Mutex<Facts>>);

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The operation that was read in the envelope.
    pub operation: Option<Operation>,
    /// The SID of the entry that matched; empty before one did.
    pub entry: String,
    /// The entry's role; empty before one matched.
    pub role: String,
    /// How long the service took until its answer began, or until it was clear that there is none.
    pub service_time: Option<Duration>,
    /// What was wrong with the service, in one word; empty if nothing was.
    pub trouble: String,
    /// The age of the answer, if it is one that was kept.
    pub kept_for: Option<Duration>,
    /// Whether another node may have kept the answer that there is none for here.
    pub may_be_kept: bool,
}

impl Course {
    /// The facts so far.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in their place, and gives those that were there.
    #[must_use]
    pub fn replace(&self, facts: Facts) -> Facts {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), facts)
    }

    /// Adds to them.
    pub fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
