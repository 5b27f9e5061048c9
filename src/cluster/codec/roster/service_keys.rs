//! The keys of our services to their stored rows, and back.

use super::{Result, wrong};
use crate::proto::state::v1 as stored;
use crate::state::{
    KeyMark, NewServiceKey, PutServiceKeys, Rejection, RemovedServiceKey, Roster, RosterChange, Sealed,
    ServiceKey, ServiceKeyId, Timestamp,
};
use stored::roster_row::Row;

pub(super) fn put_to(put: &PutServiceKeys) -> stored::PutServiceKeys {
    stored::PutServiceKeys {
        keys: put.keys.iter().map(|key| key_to(&key.id, &key.sealed, key.mark)).collect(),
        others_retire_at_ms: put.others_retire_at.map(|at| at.0),
        removed_too: put.removed_too,
    }
}

pub(super) fn put_from(put: stored::PutServiceKeys) -> Result<RosterChange> {
    Ok(RosterChange::PutServiceKeys(PutServiceKeys {
        keys: put.keys.into_iter().map(key_from).collect::<Result<_>>()?,
        others_retire_at: put.others_retire_at_ms.map(Timestamp),
        removed_too: put.removed_too,
    }))
}

pub(super) fn rejected_to(id: &ServiceKeyId, by: &str) -> stored::RemovedServiceKey {
    stored::RemovedServiceKey { id: Some(id_to(id)), by: by.into(), ..Default::default() }
}

pub(super) fn rejected_from(removed: stored::RemovedServiceKey) -> Result<Rejection> {
    let id = id_from(removed.id.unwrap_or_default())?;
    Ok(Rejection::ServiceKeyRemoved { id, by: removed.by })
}

pub(super) fn choice_to(service: &str, version: Option<u32>) -> stored::ServiceKeyChoice {
    stored::ServiceKeyChoice { service: service.into(), version }
}

pub(super) fn id_to(id: &ServiceKeyId) -> stored::ServiceKeyId {
    stored::ServiceKeyId { service: id.service.clone(), version: id.version, etype: id.etype.into() }
}

pub(super) fn id_from(id: stored::ServiceKeyId) -> Result<ServiceKeyId> {
    let etype = id.etype.try_into().map_err(|_| wrong("an encryption type", &id.etype))?;
    Ok(ServiceKeyId { service: id.service, version: id.version, etype })
}

pub(super) fn removed_rows(roster: &Roster) -> impl Iterator<Item = (String, Row)> {
    roster.removed_service_keys.iter().map(|(id, it)| {
        let row = stored::RemovedServiceKey {
            id: Some(id_to(id)),
            mark: it.mark.0.to_vec(),
            by: it.by.clone(),
            at_ms: it.at.0,
        };
        (format!("removed-{}", row_key(id)), Row::RemovedServiceKey(row))
    })
}

pub(super) fn put_removed_row(roster: &mut Roster, row: stored::RemovedServiceKey) -> Result<()> {
    let (mark, at) = (mark_from(&row.mark)?, Timestamp(row.at_ms));
    let id = id_from(row.id.unwrap_or_default())?;
    roster.removed_service_keys.insert(id, RemovedServiceKey { mark, by: row.by, at });
    Ok(())
}

fn row_key(id: &ServiceKeyId) -> String {
    format!("service-key/{}/{:010}/{:05}", id.service, id.version, id.etype)
}

pub(super) fn rows(roster: &Roster) -> impl Iterator<Item = (String, Row)> {
    roster.service_keys.iter().map(|(id, it)| {
        let row = stored::ServiceKey {
            key: Some(key_to(id, &it.sealed, it.mark)),
            added_by: it.added_by.clone(),
            added_at_ms: it.added_at.0,
            retires_at_ms: it.retires_at.map(|at| at.0),
        };
        (row_key(id), Row::ServiceKey(row))
    })
}

pub(super) fn put_row(roster: &mut Roster, row: stored::ServiceKey) -> Result<()> {
    let NewServiceKey { id, sealed, mark } = key_from(row.key.unwrap_or_default())?;
    let (added_by, added_at) = (row.added_by, Timestamp(row.added_at_ms));
    let retires_at = row.retires_at_ms.map(Timestamp);
    roster.service_keys.insert(id, ServiceKey { sealed, mark, added_by, added_at, retires_at });
    Ok(())
}

fn key_to(id: &ServiceKeyId, sealed: &Sealed, mark: KeyMark) -> stored::NewServiceKey {
    stored::NewServiceKey { id: Some(id_to(id)), sealed: sealed.0.clone(), mark: mark.0.to_vec() }
}

fn key_from(key: stored::NewServiceKey) -> Result<NewServiceKey> {
    let mark = mark_from(&key.mark)?;
    Ok(NewServiceKey { id: id_from(key.id.unwrap_or_default())?, sealed: Sealed(key.sealed), mark })
}

fn mark_from(mark: &[u8]) -> Result<KeyMark> {
    mark.try_into().map(KeyMark).map_err(|_| wrong("the mark of a key", &mark.len()))
}
