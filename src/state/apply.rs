//! Applies a command to the state: pure, and the same on every node.

use super::{Answered, Change, Command, Entry, NewEntry, Role, ServiceKeyId, State, Table, TokenId};
use crate::principal::Sid;
use std::sync::Arc;

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry is in the table now.
    Allowed,
    /// The entry was in the table with that role already; only its name, kind and note were renewed.
    Renewed,
    /// The principal is in the table with another role; nothing changed.
    HasOtherRole {
        /// The role it has.
        role: Role,
    },
    /// The table is full; nothing changed.
    TableFull,
    /// The entry was taken out.
    Removed {
        /// Its name.
        name: String,
        /// Its role.
        role: Role,
    },
    /// No such entry; nothing changed.
    NotInTable,
    /// The node is in, with this id.
    Admitted {
        /// Its id.
        node_id: u64,
    },
    /// The roster was changed.
    RosterChanged,
    /// The roster was like that already; nothing changed.
    RosterUnchanged,
    /// The roster cannot be changed so; nothing changed.
    Rejected(Rejection),
    /// The client used the serial for another change before; nothing changed.
    OtherCommand,
    /// The client may have been forgotten, and the command may have acted before; nothing changed now.
    Forgotten,
}

/// Why the roster cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The cluster was not founded yet.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// It was founded before.
    #[error("the cluster is founded already")]
    AlreadyFounded,
    /// No such node.
    #[error("there is no node {node_id} in the cluster")]
    NoSuchNode {
        /// The id.
        node_id: u64,
    },
    /// Another node has the name.
    #[error("node {node_id} has the name {name:?} already; choose another, or remove that node first")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        node_id: u64,
    },
    /// Somebody must stay.
    #[error("node {node_id} is the last one that relays; without it there is no cluster")]
    LastNode {
        /// The id.
        node_id: u64,
    },
    /// There are as many nodes as may be.
    #[error("the cluster has {nodes_max} nodes already, which is the most")]
    TooManyNodes {
        /// How many may be.
        nodes_max: u64,
    },
    /// No such token.
    #[error("the token {id} is not known here; it may be of another cluster, or long gone")]
    NoSuchToken {
        /// Its id.
        id: TokenId,
    },
    /// Too late.
    #[error("the token {id} has expired")]
    TokenExpired {
        /// Its id.
        id: TokenId,
    },
    /// It was used.
    #[error("the token {id} was used by node {node_id}; each lets in one node")]
    TokenUsed {
        /// Its id.
        id: TokenId,
        /// Who used it.
        node_id: u64,
    },
    /// It was taken back.
    #[error("the token {id} was revoked")]
    TokenRevoked {
        /// Its id.
        id: TokenId,
    },
    /// No such administrator.
    #[error("there is no administrator {name:?}")]
    NoSuchAdministrator {
        /// The name.
        name: String,
    },
    /// Another one has the name.
    #[error(
        "there is an administrator {name:?} with another key already; choose another name, or remove that one first"
    )]
    AdministratorExists {
        /// The name.
        name: String,
    },
    /// Somebody must stay.
    #[error("{name} is the last administrator; without one nobody could change anything")]
    LastAdministrator {
        /// The name.
        name: String,
    },
    /// There are as many as may be.
    #[error("the cluster has {administrators_max} administrators already, which is the most")]
    TooManyAdministrators {
        /// How many may be.
        administrators_max: u64,
    },
    /// The key is or was somebody's.
    #[error("the key is or was that of the administrator {name}; make a new one")]
    KeyUsed {
        /// Whose.
        name: String,
    },
    /// No such key.
    #[error("there is no key of {service}{} in the cluster; see rmsc kerberos show", of_version(*version))]
    NoSuchServiceKey {
        /// The service.
        service: String,
        /// The version that was asked for.
        version: Option<u32>,
    },
    /// The same version means another key already.
    #[error(
        "the cluster has another key as {id}: one of the two is not what the domain has. If it is the old one: \
         rmsc kerberos remove {} --kvno {}, and import again", id.service, id.version
    )]
    ServiceKeyDiffers {
        /// Which one.
        id: ServiceKeyId,
    },
    /// An administrator has removed it.
    #[error(
        "{by} removed {id}: somebody else may have that key. Leave it out of the keytab; if the removal was a \
         mistake: rmsc kerberos import --removed-too"
    )]
    ServiceKeyRemoved {
        /// Which one.
        id: ServiceKeyId,
        /// Who removed it.
        by: String,
    },
    /// The keys of the cluster are of one realm.
    #[error(
        "the cluster would have keys of {realms}: who has the key of one realm could be anybody of the other; \
         remove those of the other first"
    )]
    ServiceKeyRealms {
        /// Which ones.
        realms: String,
    },
    /// There are as many as may be.
    #[error(
        "the cluster would have more than {keys_max} keys, which is the most; remove old ones: rmsc kerberos show"
    )]
    TooManyServiceKeys {
        /// How many may be.
        keys_max: u64,
    },
    /// Somebody else was first.
    #[error("the secret {name} was changed meanwhile")]
    SecretChanged {
        /// Its name.
        name: String,
    },
    /// Not all nodes know those rules, or the cluster keeps to newer ones.
    #[error(
        "the cluster cannot keep to the rules of version {wanted}; it keeps to {now}, and all nodes know {known}"
    )]
    Version {
        /// What was asked for.
        wanted: u32,
        /// What is kept to.
        now: u32,
        /// What all nodes know.
        known: u32,
    },
}

fn of_version(version: Option<u32>) -> String {
    version.map(|version| format!(" of version {version}")).unwrap_or_default()
}

impl State {
    /// Applies one command that stands at `log_index`.
    pub fn apply(&mut self, command: &Command, log_index: u64) -> Outcome {
        match self.clients.get(command.client) {
            Some(answered) if command.serial < answered.serial => return Outcome::OtherCommand,
            Some(answered) if command.serial == answered.serial => {
                let same = command.digest == answered.digest;
                return if same { answered.outcome.clone() } else { Outcome::OtherCommand };
            }
            None if command.since < self.clients.forgotten => return Outcome::Forgotten,
            Some(_) | None => {}
        }
        let outcome = match &command.change {
            Change::Allow(entry) => self.allow(entry, command, log_index),
            Change::Remove { sid } => self.remove(sid, log_index),
            Change::Roster(change) => self.enroll(change, command, log_index),
        };
        let (serial, digest) = (command.serial, command.digest);
        let answered = Answered { serial, digest, outcome: outcome.clone(), log_index };
        self.clients.remember(command.client, answered);
        outcome
    }

    fn allow(&mut self, new: &NewEntry, command: &Command, log_index: u64) -> Outcome {
        let outcome = match self.table.entries.get(&new.sid) {
            Some(entry) if entry.role != new.role => return Outcome::HasOtherRole { role: entry.role },
            Some(_) => Outcome::Renewed,
            None if self.table.entries.len() >= ENTRIES_MAX => return Outcome::TableFull,
            None => Outcome::Allowed,
        };
        let entry = Entry {
            sid: new.sid.clone(),
            name: new.name.as_str().into(),
            kind: new.kind,
            role: new.role,
            note: new.note.as_str().into(),
            added_by: command.by.as_str().into(),
            added_at: command.at,
        };
        let table = self.table_at(log_index);
        table.entries.add(entry);
        outcome
    }

    fn remove(&mut self, sid: &Sid, log_index: u64) -> Outcome {
        if !self.table.entries.contains_key(sid) {
            return Outcome::NotInTable;
        }
        match self.table_at(log_index).entries.remove(sid) {
            Some(entry) => Outcome::Removed { name: entry.name.to_string(), role: entry.role },
            None => Outcome::NotInTable,
        }
    }

    fn table_at(&mut self, log_index: u64) -> &mut Table {
        let table = Arc::make_mut(&mut self.table);
        table.revision = log_index;
        table
    }
}

/// Bounds the memory of a node; far above any directory's count of servers.
const ENTRIES_MAX: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::super::clients::CLIENTS_MAX;
    use super::super::{ClientId, Digest, Kind, Timestamp};
    use super::*;

    fn sid(rid: u32) -> Sid {
        Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
    }

    fn command(serial: u64, change: Change) -> Command {
        Command {
            client: ClientId([7; 16]),
            serial,
            digest: Digest([1; 16]),
            since: 0,
            at: Timestamp(5),
            by: "admin".into(),
            change,
        }
    }

    fn allow(rid: u32, role: Role) -> Change {
        let name = format!("LAB\\{rid}");
        Change::Allow(NewEntry { sid: sid(rid), name, kind: Kind::Computer, role, note: String::new() })
    }

    #[test]
    fn a_repeated_command_acts_once_and_gets_the_same_answer() {
        let mut state = State::default();
        let remove = command(2, Change::Remove { sid: sid(1) });
        state.apply(&command(1, allow(1, Role::Exchange)), 1);
        let first = state.apply(&remove, 2);
        state.apply(&Command { client: ClientId([8; 16]), ..command(1, allow(1, Role::Exchange)) }, 3);
        assert_eq!(state.apply(&remove, 4), first);
        assert!(state.table.entries.contains_key(&sid(1)));
    }

    #[test]
    fn a_second_role_for_one_principal_is_refused() {
        let mut state = State::default();
        assert_eq!(state.apply(&command(1, allow(1, Role::SharePoint)), 1), Outcome::Allowed);
        let before = state.table.clone();
        assert_eq!(
            state.apply(&command(2, allow(1, Role::Exchange)), 2),
            Outcome::HasOtherRole { role: Role::SharePoint }
        );
        assert_eq!(state.table, before);
    }

    #[test]
    fn the_revision_is_the_log_index_of_the_last_change() {
        let mut state = State::default();
        state.apply(&command(1, allow(1, Role::FileServer)), 9);
        state.apply(&command(2, Change::Remove { sid: sid(2) }), 10);
        assert_eq!(state.table.revision, 9);
    }

    #[test]
    fn clients_are_forgotten_oldest_first() {
        let mut state = State::default();
        for index in 0..=CLIENTS_MAX as u64 {
            let client = ClientId(u128::from(index).to_be_bytes());
            state.apply(&Command { client, ..command(1, Change::Remove { sid: sid(1) }) }, index + 1);
        }
        assert_eq!((state.clients.len(), state.clients.forgotten), (CLIENTS_MAX, 1));
        assert!(state.clients.get(ClientId(0u128.to_be_bytes())).is_none());
    }

    #[test]
    fn another_change_under_the_same_id_is_not_acknowledged() {
        let mut state = State::default();
        state.apply(&command(1, allow(1, Role::Exchange)), 1);
        let other = Command { digest: Digest([2; 16]), ..command(1, allow(2, Role::Exchange)) };
        assert_eq!(state.apply(&other, 2), Outcome::OtherCommand);
        assert_eq!(state.apply(&command(0, allow(2, Role::Exchange)), 3), Outcome::OtherCommand);
        assert_eq!(state.table.entries.len(), 1);
    }

    #[test]
    fn a_command_of_a_client_that_may_be_forgotten_does_not_act() {
        let mut state = State::default();
        state.clients.forgotten = 10;
        let old = Command { since: 9, ..command(1, allow(1, Role::Exchange)) };
        assert_eq!(state.apply(&old, 20), Outcome::Forgotten);
        assert!(state.table.entries.is_empty() && state.clients.is_empty());
        let new = Command { since: 10, ..old };
        assert_eq!(state.apply(&new, 21), Outcome::Allowed);
    }
}
