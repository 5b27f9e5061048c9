//! The authorization table: which accounts may use the connector, and as what.

mod marks;

use super::{Sorted, Timestamp};
use crate::principal::{Account, Kind, Sid};
use marks::Marks;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The table. A change makes a new one; a reader keeps the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The entries by SID.
    pub entries: Entries,
    /// The log index of the last change; 0 for the table that was never changed.
    pub revision: u64,
}

/// The entries by SID. A clone costs next to nothing, and shares what is not changed.
#[derive(Clone, Default)]
pub struct Entries {
    rows: Sorted<Sid, Arc<Entry>>,
    /// Which groups there may be: an account is in hundreds, and hardly one has an entry.
    groups: Marks,
    /// The administrators that were named last: their names are kept once.
    names: Vec<Arc<str>>,
}

/// One authorized account, computer or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its security id, which is what a caller is compared with.
    pub sid: Sid,
    /// Its name when it was added, for people.
    pub name: Box<str>,
    /// What kind of principal it is.
    pub kind: Kind,
    /// What it may do.
    pub role: Role,
    /// The administrator's note, for instance a change number.
    pub note: Box<str>,
    /// The administrator who added it.
    pub added_by: Arc<str>,
    /// When it was added.
    pub added_at: Timestamp,
}

impl Table {
    /// The entries that match an account: its own first, then those of its groups, the least role
    /// first, whatever order the directory names the groups in. One and only one should match.
    #[must_use]
    pub fn matching(&self, account: &Account) -> Vec<Arc<Entry>> {
        let own = self.entries.get(&account.sid).filter(|entry| entry.kind != Kind::Group);
        let mut groups: Vec<_> = account.groups.iter().filter_map(|sid| self.entries.group(sid)).collect();
        groups.sort_by_key(|entry| (std::cmp::Reverse(entry.role), &entry.sid));
        own.into_iter().chain(groups).cloned().collect()
    }
}

impl Entries {
    /// The entry of a SID.
    #[must_use]
    pub fn get(&self, sid: &Sid) -> Option<&Arc<Entry>> {
        self.rows.get(sid)
    }

    /// The entry of a SID, if it is a group's.
    #[must_use]
    pub fn group(&self, sid: &Sid) -> Option<&Arc<Entry>> {
        if !self.groups.may_have(sid) {
            return None;
        }
        self.get(sid).filter(|entry| entry.kind == Kind::Group)
    }

    /// Whether a SID has an entry.
    #[must_use]
    pub fn contains_key(&self, sid: &Sid) -> bool {
        self.rows.contains_key(sid)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The SIDs with their entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Sid, &Arc<Entry>)> {
        self.rows.iter()
    }

    /// The same from a SID on, or all.
    pub fn iter_from<'a>(
        &'a self,
        from: Option<&Sid>,
    ) -> impl Iterator<Item = (&'a Sid, &'a Arc<Entry>)> + use<'a> {
        self.rows.iter_from(from)
    }

    /// The entries, in the order of their SIDs.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.rows.values()
    }

    /// Adds an entry, or puts it in the place of the one with its SID.
    pub fn add(&mut self, mut entry: Entry) {
        match self.names.iter().rev().find(|name| **name == entry.added_by) {
            Some(name) => entry.added_by = name.clone(),
            None => {
                if self.names.len() >= NAMES_MAX {
                    self.names.remove(0);
                }
                self.names.push(entry.added_by.clone());
            }
        }
        self.insert(entry.sid.clone(), Arc::new(entry));
    }

    /// Puts an entry under its SID; the one that was there.
    pub fn insert(&mut self, sid: Sid, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        if entry.kind == Kind::Group && !self.groups.note(&sid) {
            let groups = || self.rows.values().filter(|entry| entry.kind == Kind::Group);
            self.groups = Marks::with_room_for(groups().count() + 1);
            for sid in groups().map(|entry| &entry.sid).chain([&sid]) {
                self.groups.note(sid);
            }
        }
        self.rows.insert(sid, entry)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, sid: &Sid) -> Option<Arc<Entry>> {
        self.rows.remove(sid)
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.fmt(f)
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

/// Few administrators change the table at a time; one more name costs a few bytes an entry.
const NAMES_MAX: usize = 16;

#[cfg(test)]
mod tests;
