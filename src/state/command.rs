//! What a node may propose to change the state.

use super::{Kind, Role, Timestamp};
use crate::principal::Sid;

/// One proposed change, with all that applying it may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who proposes, chosen at random by the proposer.
    pub client: ClientId,
    /// Counts that client's commands: a command with a serial not above the last one does not act again.
    pub serial: u64,
    /// What to change, in short: another change under the same serial is a mistake of the client.
    pub digest: Digest,
    /// Up to where the proposer had applied the log before it proposed this for the first time.
    pub since: u64,
    /// When it was proposed.
    pub at: Timestamp,
    /// The administrator, for the record.
    pub by: String,
    /// What to change.
    pub change: Change,
}

/// A proposer, unique by 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub [u8; 16]);

/// A digest of a change, made by the proposer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub [u8; 16]);

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Authorize a principal.
    Allow(NewEntry),
    /// Take a principal out of the table.
    Remove {
        /// Which one.
        sid: Sid,
    },
}

/// An entry to be added; who and when come from the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The principal's security id.
    pub sid: Sid,
    /// Its name, for people.
    pub name: String,
    /// What kind of principal it is.
    pub kind: Kind,
    /// What it may do.
    pub role: Role,
    /// The administrator's note.
    pub note: String,
}

impl Change {
    /// The one row of the table that this change can touch.
    #[must_use]
    pub fn sid(&self) -> &Sid {
        match self {
            Change::Allow(entry) => &entry.sid,
            Change::Remove { sid } => sid,
        }
    }
}
