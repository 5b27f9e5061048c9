//! The administrators to their stored rows, and back.

use super::{Result, key_from};
use crate::proto::state::v1 as stored;
use crate::state::{Administrator, FormerAdministrator, NewAdministrator, Roster, Timestamp};
use stored::roster_row::Row;

pub(super) fn rows(roster: &Roster) -> impl Iterator<Item = (String, Row)> {
    let administrators = roster.administrators.iter().map(|(name, it)| {
        let administrator = Some(stored::NewAdministrator { name: name.clone(), key: it.key.0.to_vec() });
        let (added_by, added_at_ms) = (it.added_by.clone(), it.added_at.0);
        let row = stored::RosterAdministrator { administrator, added_by, added_at_ms };
        (format!("administrator/{name}"), Row::Administrator(row))
    });
    let former = roster.former_administrators.iter().map(|(key, it)| {
        let administrator = Some(stored::NewAdministrator { name: it.name.clone(), key: key.0.to_vec() });
        let row = stored::FormerAdministrator { administrator, by: it.by.clone(), at_ms: it.at.0 };
        (format!("former-administrator/{key}"), Row::FormerAdministrator(row))
    });
    administrators.chain(former)
}

pub(super) fn put(roster: &mut Roster, row: stored::RosterAdministrator) -> Result<()> {
    let NewAdministrator { name, key } = new_from(row.administrator.unwrap_or_default())?;
    let (added_by, added_at) = (row.added_by, Timestamp(row.added_at_ms));
    roster.administrators.insert(name, Administrator { key, added_by, added_at });
    Ok(())
}

pub(super) fn put_former(roster: &mut Roster, row: stored::FormerAdministrator) -> Result<()> {
    let NewAdministrator { name, key } = new_from(row.administrator.unwrap_or_default())?;
    let former = FormerAdministrator { name, by: row.by, at: Timestamp(row.at_ms) };
    roster.former_administrators.insert(key, former);
    Ok(())
}

pub(super) fn new_to(new: &NewAdministrator) -> stored::NewAdministrator {
    stored::NewAdministrator { name: new.name.clone(), key: new.key.0.to_vec() }
}

pub(super) fn new_from(new: stored::NewAdministrator) -> Result<NewAdministrator> {
    Ok(NewAdministrator { name: new.name, key: key_from(&new.key)? })
}
