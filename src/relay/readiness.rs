//! Whether a node takes requests, and what the fronts are to make of it.

use super::{Deadline, Relay};
use std::sync::Arc;
use tokio::sync::watch;

/// Whether a node takes requests, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does, and others are better.
    Hampered(Hampered),
    /// It does not, for this reason.
    NotReady(String),
}

/// What makes other nodes better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hampered {
    /// What it lacks.
    pub by: Hamper,
    /// In words.
    pub reason: String,
}

/// What a node can lack that others may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hamper {
    /// A way to the service, or what the service wants to see.
    Service,
    /// Time: it has too much to do.
    Load,
}

/// Until when a node may take requests. Whoever asks looks at the clock again: a node that slept must not
/// go on with a table that has become too old meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Until its table is too old.
    Until(Deadline),
    /// New requests should go to others. Those that are here are done, and those that come before everybody has heard of
    /// it, until the table is too old.
    Leaving {
        /// Why.
        reason: String,
        /// When the table is too old.
        until: Deadline,
    },
    /// Not now, for this reason.
    Not(String),
}

impl Serving {
    /// What that means for the next request.
    #[must_use]
    pub fn now(&self) -> Readiness {
        match (self.able(), self) {
            (Err(reason), _) => Readiness::NotReady(reason.to_owned()),
            (Ok(()), Serving::Leaving { reason, .. }) => Readiness::NotReady(reason.clone()),
            (Ok(()), Serving::Until(_) | Serving::Not(_)) => Readiness::Ready,
        }
    }

    /// Whether a request that is here can be done.
    ///
    /// # Errors
    /// Why it cannot: above all, the table may be too old to tell who may.
    pub fn able(&self) -> Result<(), &str> {
        match self {
            Serving::Until(until) | Serving::Leaving { until, .. } if until.is_over() => Err(STALE),
            Serving::Until(_) | Serving::Leaving { .. } => Ok(()),
            Serving::Not(reason) => Err(reason),
        }
    }
}

impl Relay {
    /// Whether this node takes requests.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let hampered = |by, reason| Readiness::Hampered(Hampered { by, reason });
        match self.serving.borrow().now() {
            Readiness::Ready => match self.upstream.hampered() {
                Some(reason) => hampered(Hamper::Service, reason),
                None if *self.busy.borrow() => hampered(Hamper::Load, BUSY.to_owned()),
                None => Readiness::Ready,
            },
            readiness @ (Readiness::Hampered(_) | Readiness::NotReady(_)) => readiness,
        }
    }

    /// Where this node's front says that it has too much to do.
    #[must_use]
    pub fn busy(&self) -> Arc<watch::Sender<bool>> {
        self.busy.clone()
    }
}

/// What a node says whose clients send nearly as much as it takes.
const BUSY: &str = "its own clients send nearly as much as it takes: see [limits]";
/// What a node says that has heard no leader for longer than a revocation may take.
const STALE: &str = "no leader was heard for so long that the table is too old";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(serving: &Serving, next: &str, here: &str) {
        let words = |readiness: Readiness| match readiness {
            Readiness::Ready => String::new(),
            Readiness::Hampered(hampered) => hampered.reason,
            Readiness::NotReady(reason) => reason,
        };
        assert_eq!((words(serving.now()).as_str(), serving.able().err().unwrap_or_default()), (next, here));
    }

    #[test]
    fn who_leaves_does_what_is_here_and_who_cannot_tell_does_nothing() {
        let (fresh, over) = (Deadline::after(Duration::from_secs(60)), Deadline::after(Duration::ZERO));
        let leaving = |until| Serving::Leaving { reason: "drained by alice".into(), until };
        check(&Serving::Until(fresh), "", "");
        check(&Serving::Until(over), STALE, STALE);
        check(&leaving(fresh), "drained by alice", "");
        check(&leaving(over), STALE, STALE);
        check(&Serving::Not("a witness".into()), "a witness", "a witness");
    }
}
