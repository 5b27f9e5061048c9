//! The replicated values and their rules: plain data, the same on every node.
//!
//! No clock, no randomness, no hash map, no I/O: what time it is and who asked comes inside
//! the [`Command`].

mod administrators;
mod apply;
mod authorization;
mod clients;
mod command;
mod enrolment;
mod roster;
mod service_keys;
mod sorted;

pub use crate::principal::Kind;
pub use administrators::{Administrator, FormerAdministrator, NotAdministrator};
pub use apply::{Outcome, Rejection};
pub use authorization::{Entries, Entry, ParseWordError, Role, Table};
pub use clients::{Answered, Clients};
pub use command::{
    Change, ClientId, Command, Digest, NewAdministrator, NewEntry, NewNode, PutSecrets, PutServiceKeys,
    RosterChange,
};
pub use roster::{
    Drained, FOUNDER, KeyHash, Node, NodeKind, RemovedNode, Roster, SealMark, Sealed, Token, TokenFate,
    TokenId,
};
pub use service_keys::{KeyMark, NewServiceKey, RemovedServiceKey, ServiceKey, ServiceKeyId};
pub use sorted::Sorted;

use std::sync::Arc;

/// Everything that the nodes agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Who may use the connector. Behind an `Arc`, so that publishing it costs nothing.
    pub table: Arc<Table>,
    /// The nodes, and what they share. Behind an `Arc`, too.
    pub roster: Arc<Roster>,
    /// The last serial and outcome of each client, so that a repeated command does not act twice.
    pub clients: Clients,
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);
