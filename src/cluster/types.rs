//! The types that Raft is told to use. A log id is (term, index), as in the paper.

use super::codec;
use crate::state::Outcome;
use openraft::vote::leader_id_std;
use std::fmt;

openraft::declare_raft_types!(
    /// What this cluster's Raft works with.
    pub(super) TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = u64,
        Node = Address,
        LeaderId = Leader,
        AsyncRuntime = Runtime,
);

/// A command as bytes: a node keeps and passes on what it may not understand, and stops when it has
/// to apply it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal(pub(super) Vec<u8>);

/// What came of an entry; nothing for entries that are no commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied(pub(super) Option<Outcome>);

/// Where a node is, its name, and which disk and group it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: String,
    pub(super) peer: String,
    pub(super) admin: String,
    /// The disk with which it is a member.
    pub(super) incarnation: u128,
    /// The group, the same in all its members.
    pub(super) group: u128,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command of {} bytes", self.0.len())
    }
}

#[cfg(not(test))]
type Runtime = openraft::impls::TokioRuntime;
#[cfg(test)]
type Runtime = super::simulation::Runtime;
type Leader = leader_id_std::LeaderId<u64, u64>;
type Term = leader_id_std::CommittedLeaderId<u64>;
pub(super) type LogId = openraft::LogId<Term>;
pub(super) type Vote = openraft::Vote<Leader>;
pub(super) type Payload = openraft::EntryPayload<Proposal, u64, Address>;
pub(super) type Entry = openraft::Entry<Term, Payload>;
pub(super) type StoredMembership = openraft::StoredMembership<Term, u64, Address>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<Term, u64, Address>;
pub(super) type Snapshot = openraft::Snapshot<Term, u64, Address, super::snapshot::SnapshotFile>;
pub(super) type Raft = openraft::Raft<TypeConfig, super::state_machine::StateMachine>;

/// Bytes that this build cannot read: damaged, or of a newer one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cannot read {what}: {reason}")]
pub(super) struct DecodeError {
    pub(super) what: &'static str,
    pub(super) reason: String,
}

impl From<DecodeError> for std::io::Error {
    fn from(error: DecodeError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

impl From<DecodeError> for tonic::Status {
    fn from(error: DecodeError) -> Self {
        tonic::Status::invalid_argument(error.to_string())
    }
}

impl Proposal {
    pub(super) fn command(&self) -> Result<crate::state::Command, DecodeError> {
        codec::command_from(&self.0)
    }
}
