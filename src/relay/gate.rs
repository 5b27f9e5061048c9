//! Asks again whether a request may be sent that was authorized before: its bytes take their time, and so does the way
//! to the service. A permit must not outlive what it was made of.

use super::{Failure, Permit, Relay, refused};
use crate::principal::Caller;
use crate::rms::Operation;
use crate::upstream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The question for one request; clones are the same.
#[derive(Clone)]
pub(super) struct Gate(Arc<Asked>);

struct Asked {
    relay: Relay,
    caller: Arc<Caller>,
    operation: Operation,
    permit: Permit,
    refused: OnceLock<Failure>,
    /// Called once, when the first bytes leave.
    started: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Gate {
    /// For a request that has this permit now. `started` is told when it leaves.
    pub(super) fn new(
        relay: &Relay,
        caller: &Arc<Caller>,
        operation: Operation,
        permit: &Permit,
        started: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (relay, caller, permit) = (relay.clone(), caller.clone(), permit.clone());
        let started = Mutex::new(Some(Box::new(started) as Box<dyn FnOnce() + Send>));
        Gate(Arc::new(Asked { relay, caller, operation, permit, refused: OnceLock::new(), started }))
    }

    /// Whether it still may, by the same entry: what is sent names the entry and its role.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let asked = &*self.0;
        asked.now().inspect_err(|failure| {
            // The first one counts.
            let _ = asked.refused.set(failure.clone());
        })
    }

    /// Why it was refused, if it was: whoever sends it sees only that its bytes end.
    pub(super) fn refused(&self) -> Option<Failure> {
        self.0.refused.get().cloned()
    }

    /// The same, for whoever holds the connection.
    pub(super) fn for_upstream(&self) -> upstream::Gate {
        let gate = self.clone();
        Arc::new(move || {
            gate.check()?;
            let started = gate.0.started.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(started) = started {
                started();
            }
            Ok(())
        })
    }
}

impl Asked {
    fn now(&self) -> Result<(), Failure> {
        if self.permit.revision() == self.relay.state.borrow().table.revision {
            return self.relay.check_able();
        }
        let now = self.relay.permit(&self.caller)?;
        let now = now.for_operation(self.operation).map_err(|refusal| refused(&refusal))?;
        let (now, then) = (now.entry(), self.permit.entry());
        if (&now.sid, now.role) == (&then.sid, then.role) {
            return Ok(());
        }
        // Whoever begins anew is let in, by the other entry.
        Err(Failure::NotReady("another entry of the table counts for the caller now".into()))
    }
}
