//! The newest arrivals one by one, with their times: what a test compares with what clients and administrators did.

use super::counts::{Arrival, shown};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

/// One request that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrived {
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// Its `x-rmsc-request-id`; empty for none.
    pub request_id: String,
    /// The node that sent it here.
    pub node: String,
    /// The node that the caller reached.
    pub front: String,
    /// The SID of the caller.
    pub caller: String,
    /// Its operation, in our word.
    pub operation: String,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    newest: VecDeque<Arrived>,
}

impl Journal {
    pub(super) fn add(&mut self, arrival: &Arrival) {
        if self.newest.len() == ARRIVALS_MAX {
            self.newest.pop_front();
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.newest.push_back(Arrived {
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            request_id: shown(arrival.request_id.as_deref().unwrap_or_default()),
            node: shown(&arrival.node),
            front: shown(&arrival.front),
            caller: shown(&arrival.caller),
            operation: arrival.operation.to_owned(),
        });
    }

    pub(super) fn all(&self) -> Vec<Arrived> {
        self.newest.iter().cloned().collect()
    }
}

/// Some minutes of load; about 20 MB when full.
const ARRIVALS_MAX: usize = 50_000;
