//! What was seen of a scenario. The checkers read it and nothing else.

use crate::pulse::Late;
use std::collections::BTreeMap;
use std::time::Duration;

/// Times are since the start of the clients.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub nodes: Vec<String>,
    /// Requests a second that were to be sent.
    pub rate: u32,
    pub ended: Duration,
    pub requests: Vec<Request>,
    pub arrivals: Vec<Arrival>,
    /// The accounts by SID.
    pub accounts: BTreeMap<String, String>,
    /// The SIDs that were in the table all the time.
    pub always: Vec<String>,
    pub changes: Vec<Change>,
    /// What each node has in the end, by key: the note of the entry.
    pub finals: BTreeMap<String, BTreeMap<String, Option<u64>>>,
    /// When something was broken, and when nothing was any more.
    pub faults: Vec<Span>,
    /// From the end of the last fault until all nodes were well and equal; nothing: never.
    pub recovered: Option<Duration>,
    /// What was missing for that at last.
    pub missing: String,
    /// When the front of a node could not serve its own connections.
    pub down: Vec<(String, Span)>,
    /// When a node did not hear from the others.
    pub cut_off: Vec<(String, Span)>,
    /// When the service was broken: its failures are passed on.
    pub broken_service: Vec<Span>,
    /// When the membership stood still, and which nodes were in rotation.
    pub epochs: Vec<(Span, Vec<String>)>,
    /// When the machine stood still for the runner: the budgets hold all the same, and it is told beside them.
    pub late: Late,
    /// Secrets that were found where none may be: what and where.
    pub leaks: Vec<String>,
    /// How many outputs were searched, for how many secrets.
    pub searched: (usize, usize),
    /// What a scenario has found by itself.
    pub findings: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

impl Span {
    pub fn new(from: Duration, to: Duration) -> Self {
        Span { from, to }
    }

    pub fn meets(&self, from: Duration, to: Duration) -> bool {
        from <= self.to && self.from <= to
    }

    /// How much of it is in another one.
    pub fn shared(&self, other: &Self) -> Duration {
        self.to.min(other.to).saturating_sub(self.from.max(other.from))
    }

    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    pub fn has(&self, moment: Duration) -> bool {
        self.meets(moment, moment)
    }

    /// The same, and so much more at its end.
    pub fn and(&self, more: Duration) -> Self {
        Span { from: self.from, to: self.to + more }
    }
}

/// One request of a client, with all its attempts.
#[derive(Clone, Debug)]
pub struct Request {
    pub front: String,
    pub account: String,
    /// When it should have been sent: latencies count from here.
    pub intended: Duration,
    pub ended: Duration,
    pub outcome: Outcome,
    /// What the first front did to it, where the client went on at another.
    pub moved: Option<Outcome>,
    pub id: String,
    pub served_by: String,
    /// On a connection of its own.
    pub fresh: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for.
    Good,
    /// The account may not.
    Refused,
    /// Another answer.
    Answered(u16, String),
    /// None.
    Broke(String),
}

impl Outcome {
    /// Neither what was asked for, nor the word that the account may not.
    pub fn is_failure(&self) -> bool {
        matches!(self, Outcome::Answered(..) | Outcome::Broke(_))
    }
}

impl Request {
    pub fn latency(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }
}

/// A request as the service saw it.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Duration,
    pub id: String,
    pub node: String,
    pub caller: String,
}

/// What an administrator did to one account, with all attempts.
#[derive(Clone, Debug)]
pub struct Change {
    /// The SID.
    pub key: String,
    pub action: Action,
    pub begun: Duration,
    /// Nothing: it never came to be known whether it acted.
    pub ended: Option<(Duration, Told)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Authorize, with this number in the note.
    Add(u64),
    Remove,
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// Whether the entry is new.
    Added(bool),
    /// Whether there was an entry.
    Removed(bool),
    Note(Option<u64>),
    /// It was refused, and did nothing.
    Nothing,
}

impl Record {
    /// Whether a request was through a front that could not serve its own connections at the time.
    pub fn own_front_was_down(&self, request: &Request) -> bool {
        self.down
            .iter()
            .any(|(node, span)| *node == request.front && span.meets(request.intended, request.ended))
    }

    /// Whether the service was broken while it ran.
    pub fn service_was_broken(&self, request: &Request) -> bool {
        self.broken_service.iter().any(|span| span.meets(request.intended, request.ended))
    }

    /// The requests of accounts that may, through fronts that were there.
    pub fn counted(&self) -> impl Iterator<Item = &Request> {
        let may = |request: &&Request| {
            let sid = self.accounts.iter().find(|(_, name)| **name == request.account).map(|(sid, _)| sid);
            sid.is_some_and(|sid| self.always.contains(sid))
        };
        self.requests.iter().filter(may).filter(|request| !self.own_front_was_down(request))
    }

    /// From the first fault to the end of the last, and the time that nodes may take to be well again.
    pub fn troubled(&self) -> Option<Span> {
        let from = self.faults.iter().map(|span| span.from).min()?;
        let to = self.faults.iter().map(|span| span.to).max()?;
        Some(Span { from, to: (to + AFTERMATH).min(self.ended) })
    }
}

const AFTERMATH: Duration = Duration::from_secs(2);
