//! The authorization table: which accounts may use the connector, and as what.

use super::Timestamp;
use crate::principal::{Account, Kind, Sid};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The table. A change makes a new one; a reader keeps the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The entries by SID.
    pub entries: BTreeMap<Sid, Arc<Entry>>,
    /// The log index of the last change; 0 for the table that was never changed.
    pub revision: u64,
}

/// One authorized account, computer or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its security id, which is what a caller is compared with.
    pub sid: Sid,
    /// Its name when it was added, for people.
    pub name: String,
    /// What kind of principal it is.
    pub kind: Kind,
    /// What it may do.
    pub role: Role,
    /// The administrator's note, for instance a change number.
    pub note: String,
    /// The administrator who added it.
    pub added_by: String,
    /// When it was added.
    pub added_at: Timestamp,
}

impl Table {
    /// The entries that match an account: its own first, then those of its groups, the least role
    /// first, whatever order the directory names the groups in. One and only one should match.
    #[must_use]
    pub fn matching(&self, account: &Account) -> Vec<Arc<Entry>> {
        let own = self.entries.get(&account.sid).filter(|entry| entry.kind != Kind::Group);
        let groups = account.groups.iter().filter_map(|sid| self.entries.get(sid));
        let mut groups: Vec<_> = groups.filter(|entry| entry.kind == Kind::Group).collect();
        groups.sort_by_key(|entry| (std::cmp::Reverse(entry.role), &entry.sid));
        own.into_iter().chain(groups).cloned().collect()
    }
}

/// What an entry may do, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Exchange servers: super user over all protected content, and the only role that pre-licenses.
    Exchange,
    /// SharePoint servers: a regular user.
    SharePoint,
    /// File servers (FCI): a regular user.
    FileServer,
}

/// A word is not one of those that may stand there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{word:?} is not a {what}; it must be one of: {accepted}")]
pub struct ParseWordError {
    word: String,
    what: &'static str,
    accepted: &'static str,
}

impl Role {
    /// The word for it on the command line and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Exchange => "exchange",
            Role::SharePoint => "sharepoint",
            Role::FileServer => "fileserver",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = ParseWordError;

    fn from_str(word: &str) -> Result<Self, ParseWordError> {
        match word.to_ascii_lowercase().as_str() {
            "exchange" => Ok(Role::Exchange),
            "sharepoint" => Ok(Role::SharePoint),
            "fileserver" | "fci" => Ok(Role::FileServer),
            _ => Err(ParseWordError {
                word: word.into(),
                what: "role",
                accepted: "exchange, sharepoint, fileserver",
            }),
        }
    }
}
