//! Commands, entries and outcomes to the stored messages, and back.

use super::roster;
use crate::cluster::types::DecodeError;
use crate::principal::Sid;
use crate::proto::state::v1 as stored;
use crate::state::{
    Answered, Change, ClientId, Command, Digest, Entry, Kind, NewEntry, Outcome, Role, Roster, Timestamp,
};
use prost::Message;
use sha2::{Digest as _, Sha256};
use std::fmt::Display;
use stored::change::Change as StoredChange;
use stored::outcome::Outcome as StoredOutcome;

type Result<T> = std::result::Result<T, DecodeError>;

/// What tells one change from another.
pub(in crate::cluster) fn digest(change: &Change) -> Digest {
    let hash = Sha256::digest(change_to(change).encode_to_vec());
    let mut digest = Digest::default();
    digest.0.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    digest
}

fn change_to(change: &Change) -> stored::Change {
    let change = match change {
        Change::Allow(entry) => StoredChange::Allow(stored::NewEntry {
            sid: entry.sid.to_string(),
            name: entry.name.clone(),
            kind: kind_to(entry.kind).into(),
            role: role_to(entry.role).into(),
            note: entry.note.clone(),
        }),
        Change::Remove { sid } => StoredChange::Remove(stored::Remove { sid: sid.to_string() }),
        Change::Roster(change) => roster::change_to(change),
    };
    stored::Change { change: Some(change) }
}

pub(in crate::cluster) fn command_to(command: &Command) -> Vec<u8> {
    stored::Command {
        client: command.client.0.to_vec(),
        serial: command.serial,
        at_ms: command.at.0,
        by: command.by.clone(),
        change: Some(change_to(&command.change)),
        needs: command.change.version(),
        digest: command.digest.0.to_vec(),
        since: command.since,
    }
    .encode_to_vec()
}

pub(in crate::cluster) fn command_from(bytes: &[u8]) -> Result<Command> {
    let command = stored::Command::decode(bytes).map_err(|error| wrong("a command", &error))?;
    within_needs("a command", command.needs)?;
    let change = command.change.and_then(|change| change.change);
    let change = match change.ok_or_else(|| wrong("a command", &"its kind of change is not known here"))? {
        StoredChange::Allow(entry) => Change::Allow(NewEntry {
            sid: sid_from(&entry.sid)?,
            kind: kind_from(entry.kind)?,
            role: role_from(entry.role)?,
            name: entry.name,
            note: entry.note,
        }),
        StoredChange::Remove(remove) => Change::Remove { sid: sid_from(&remove.sid)? },
        other => Change::Roster(roster::change_from(other)?),
    };
    Ok(Command {
        client: client_from(&command.client)?,
        serial: command.serial,
        digest: digest_from(&command.digest)?,
        since: command.since,
        at: Timestamp(command.at_ms),
        by: command.by,
        change,
    })
}

pub(in crate::cluster) fn entry_to(entry: &Entry) -> stored::Entry {
    stored::Entry {
        sid: entry.sid.to_string(),
        name: entry.name.to_string(),
        kind: kind_to(entry.kind).into(),
        role: role_to(entry.role).into(),
        note: entry.note.to_string(),
        added_by: entry.added_by.to_string(),
        added_at_ms: entry.added_at.0,
    }
}

pub(in crate::cluster) fn entry_from(entry: stored::Entry) -> Result<Entry> {
    Ok(Entry {
        sid: sid_from(&entry.sid)?,
        kind: kind_from(entry.kind)?,
        role: role_from(entry.role)?,
        name: entry.name.into(),
        note: entry.note.into(),
        added_by: entry.added_by.into(),
        added_at: Timestamp(entry.added_at_ms),
    })
}

pub(in crate::cluster) fn outcome_to(outcome: &Outcome) -> stored::Outcome {
    let empty = stored::Empty {};
    let outcome = match outcome {
        Outcome::Allowed => StoredOutcome::Allowed(empty),
        Outcome::Renewed => StoredOutcome::Renewed(empty),
        Outcome::HasOtherRole { role } => {
            StoredOutcome::HasOtherRole(stored::HasOtherRole { role: role_to(*role).into() })
        }
        Outcome::TableFull => StoredOutcome::TableFull(empty),
        Outcome::Removed { name, role } => {
            StoredOutcome::Removed(stored::Removed { name: name.clone(), role: role_to(*role).into() })
        }
        Outcome::NotInTable => StoredOutcome::NotInTable(empty),
        Outcome::Admitted { node_id } => StoredOutcome::Admitted(stored::Admitted { node_id: *node_id }),
        Outcome::RosterChanged => StoredOutcome::RosterChanged(empty),
        Outcome::RosterUnchanged => StoredOutcome::RosterUnchanged(empty),
        Outcome::Rejected(rejection) => StoredOutcome::Rejected(roster::rejection_to(rejection)),
        Outcome::OtherCommand => StoredOutcome::OtherCommand(empty),
        Outcome::Forgotten => StoredOutcome::Forgotten(empty),
    };
    stored::Outcome { outcome: Some(outcome) }
}

pub(in crate::cluster) fn outcome_from(outcome: stored::Outcome) -> Result<Outcome> {
    let outcome = outcome.outcome.ok_or_else(|| wrong("an outcome", &"its kind is not known here"))?;
    Ok(match outcome {
        StoredOutcome::Allowed(_) => Outcome::Allowed,
        StoredOutcome::Renewed(_) => Outcome::Renewed,
        StoredOutcome::HasOtherRole(other) => Outcome::HasOtherRole { role: role_from(other.role)? },
        StoredOutcome::TableFull(_) => Outcome::TableFull,
        StoredOutcome::Removed(removed) => {
            Outcome::Removed { role: role_from(removed.role)?, name: removed.name }
        }
        StoredOutcome::NotInTable(_) => Outcome::NotInTable,
        StoredOutcome::Admitted(admitted) => Outcome::Admitted { node_id: admitted.node_id },
        StoredOutcome::RosterChanged(_) => Outcome::RosterChanged,
        StoredOutcome::RosterUnchanged(_) => Outcome::RosterUnchanged,
        StoredOutcome::Rejected(rejection) => Outcome::Rejected(roster::rejection_from(rejection)?),
        StoredOutcome::OtherCommand(_) => Outcome::OtherCommand,
        StoredOutcome::Forgotten(_) => Outcome::Forgotten,
    })
}

pub(in crate::cluster) fn answered_to(client: ClientId, answered: &Answered) -> stored::Answered {
    stored::Answered {
        client: client.0.to_vec(),
        serial: answered.serial,
        outcome: Some(outcome_to(&answered.outcome)),
        log_index: answered.log_index,
        digest: answered.digest.0.to_vec(),
    }
}

pub(in crate::cluster) fn answered_from(answered: stored::Answered) -> Result<(ClientId, Answered)> {
    let client = client_from(&answered.client)?;
    let outcome = outcome_from(answered.outcome.ok_or_else(|| wrong("an answer", &"it has no outcome"))?)?;
    let digest = digest_from(&answered.digest)?;
    Ok((client, Answered { serial: answered.serial, digest, outcome, log_index: answered.log_index }))
}

pub(super) fn wrong(what: &'static str, reason: &dyn Display) -> DecodeError {
    DecodeError { what, reason: reason.to_string() }
}

/// What a build must know to read a state: the rules that the cluster keeps to, since nothing else made it.
/// Not what this build knows, or nodes with an older one could not read what one with a newer one writes, and
/// the other way round what came of newer rules would be read by a build that knows nothing of them.
pub(in crate::cluster) fn needs(roster: &Roster) -> u32 {
    // Before it is founded a group keeps to whatever its builds know.
    if roster.is_founded() { roster.version } else { KNOWN }
}

/// What this build does not know of it must not apply, nor read half of.
pub(in crate::cluster) fn within_needs(what: &'static str, needs: u32) -> Result<()> {
    if needs <= KNOWN {
        return Ok(());
    }
    Err(wrong(what, &format!("it needs a build that knows {needs}; this one knows {KNOWN}")))
}

fn digest_from(bytes: &[u8]) -> Result<Digest> {
    let bytes = bytes.try_into().map_err(|_| wrong("a digest", &format!("{} bytes", bytes.len())))?;
    Ok(Digest(bytes))
}

fn client_from(bytes: &[u8]) -> Result<ClientId> {
    let bytes = bytes.try_into().map_err(|_| wrong("a client id", &format!("{} bytes", bytes.len())))?;
    Ok(ClientId(bytes))
}

fn sid_from(text: &str) -> Result<Sid> {
    text.parse().map_err(|error| wrong("a SID", &error))
}

fn kind_to(kind: Kind) -> stored::Kind {
    match kind {
        Kind::Account => stored::Kind::Account,
        Kind::Computer => stored::Kind::Computer,
        Kind::Group => stored::Kind::Group,
    }
}

fn kind_from(kind: i32) -> Result<Kind> {
    match stored::Kind::try_from(kind) {
        Ok(stored::Kind::Account) => Ok(Kind::Account),
        Ok(stored::Kind::Computer) => Ok(Kind::Computer),
        Ok(stored::Kind::Group) => Ok(Kind::Group),
        Ok(stored::Kind::Unspecified) | Err(_) => Err(wrong("a kind of principal", &kind)),
    }
}

fn role_to(role: Role) -> stored::Role {
    match role {
        Role::Exchange => stored::Role::Exchange,
        Role::SharePoint => stored::Role::SharePoint,
        Role::FileServer => stored::Role::FileServer,
    }
}

fn role_from(role: i32) -> Result<Role> {
    match stored::Role::try_from(role) {
        Ok(stored::Role::Exchange) => Ok(Role::Exchange),
        Ok(stored::Role::SharePoint) => Ok(Role::SharePoint),
        Ok(stored::Role::FileServer) => Ok(Role::FileServer),
        Ok(stored::Role::Unspecified) | Err(_) => Err(wrong("a role", &role)),
    }
}

/// The newest version of the rules of the state that this build knows: raised with each change to them.
pub const KNOWN: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;

    fn sid() -> Sid {
        Sid::new(5, &[21, 1, 2, 3, 1104]).unwrap()
    }

    #[test]
    fn commands_come_back_as_they_were_and_as_they_were_frozen() {
        let entry = NewEntry {
            sid: sid(),
            name: "LAB\\exch01$".into(),
            kind: Kind::Computer,
            role: Role::Exchange,
            note: "CHG-1".into(),
        };
        for (name, change) in [("allow", Change::Allow(entry)), ("remove", Change::Remove { sid: sid() })] {
            let command = Command {
                client: ClientId([7; 16]),
                serial: 3,
                digest: Digest([5; 16]),
                since: 8,
                at: Timestamp(-5),
                by: "admin".into(),
                change,
            };
            let frozen = frozen::check(&format!("command-1/{name}"), &command_to(&command));
            assert_eq!(command_from(&frozen).unwrap(), command);
        }
    }

    #[test]
    fn outcomes_come_back_as_they_were_and_as_they_were_frozen() {
        let outcomes = [
            Outcome::Allowed,
            Outcome::Renewed,
            Outcome::HasOtherRole { role: Role::SharePoint },
            Outcome::TableFull,
            Outcome::Removed { name: "x".into(), role: Role::FileServer },
            Outcome::NotInTable,
            Outcome::OtherCommand,
            Outcome::Forgotten,
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let bytes = outcome_to(&outcome).encode_to_vec();
            let frozen = frozen::check(&format!("outcome-1/table-{number}"), &bytes);
            let frozen = stored::Outcome::decode(frozen.as_slice()).unwrap();
            assert_eq!(outcome_from(frozen).unwrap(), outcome);
        }
    }

    #[test]
    fn an_unknown_kind_of_change_is_an_error() {
        // Field 99 of Change, which no build writes yet.
        let change = [0x2a, 0x03, 0x9a, 0x06, 0x00];
        let mut bytes = stored::Command { client: vec![7; 16], ..Default::default() }.encode_to_vec();
        bytes.extend(change);
        let error = command_from(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "cannot read a command: its kind of change is not known here");
    }

    #[test]
    fn what_needs_a_newer_build_is_refused() {
        let command = stored::Command { needs: KNOWN + 1, ..Default::default() }.encode_to_vec();
        let refused = command_from(&command).unwrap_err();
        assert!(refused.reason.contains("needs a build"), "{refused}");
    }
}
