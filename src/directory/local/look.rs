//! Looking through a file of accounts.

use super::{Entry, LocalDirectory, fold};
use crate::directory::{Found, Group, Kind, What};
use crate::principal::Sid;
use std::collections::{BTreeSet, VecDeque};

impl LocalDirectory {
    /// The principals whose name begins so.
    pub(in crate::directory) fn like(&self, beginning: &str, what: Option<What>) -> Vec<Found> {
        let beginning = fold(beginning);
        let found = self.entries.iter().map(|entry| &entry.found);
        let fits = |found: &&Found| {
            what.is_none_or(|what| what == found.what)
                && fold(found.account.name.name()).starts_with(&beginning)
        };
        found.filter(fits).cloned().collect()
    }

    /// The accounts in a group.
    pub(in crate::directory) fn accounts_in(&self, group: &Sid) -> impl Iterator<Item = Found> {
        let found = self.entries.iter().map(|entry| &entry.found);
        let is_in = |found: &&Found| found.what.kind() != Kind::Group && found.account.groups.contains(group);
        found.filter(is_in).cloned()
    }

    /// How an account comes to each of its groups; `None`: there is no such account.
    pub(in crate::directory) fn chains(&self, sid: &Sid) -> Option<Vec<Group>> {
        let own = *self.by_sid.get(sid)?;
        let name = |entry: &Entry| entry.found.account.name.to_string();
        let mut seen = BTreeSet::from([own]);
        let mut next = VecDeque::from([(own, Vec::new())]);
        let mut groups = Vec::new();
        while let Some((place, via)) = next.pop_front() {
            for above in self.entries.get(place).into_iter().flat_map(|entry| entry.above.clone()) {
                let Some(entry) = self.entries.get(above).filter(|_| seen.insert(above)) else { continue };
                let sid = entry.found.account.sid.clone();
                groups.push(Group { sid, name: name(entry), via: via.clone() });
                let mut via = via.clone();
                via.push(name(entry));
                next.push_back((above, via));
            }
        }
        groups.sort_by_cached_key(|group| fold(&group.name));
        Some(groups)
    }
}
