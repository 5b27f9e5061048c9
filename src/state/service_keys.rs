//! The keys of our services: what Kerberos tickets are opened with. Sealed; which of them are taken is decided
//! here, and by the clock of each node for those whose time is over.

use super::{Command, PutServiceKeys, Rejection, Roster, Sealed, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names a key; not secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKeyId {
    /// Whose, `HTTP/host@REALM`.
    pub service: String,
    /// Its version (kvno): the domain counts it up with each password.
    pub version: u32,
    /// Its encryption type.
    pub etype: u16,
}

/// A key that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// Its bytes.
    pub sealed: Sealed,
    /// Tells it from others without opening it.
    pub mark: KeyMark,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: Timestamp,
    /// From then on it is not taken any more.
    pub retires_at: Option<Timestamp>,
}

/// A key that was removed. It is not taken again by mistake: whoever had it could be anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedServiceKey {
    /// Tells it from others.
    pub mark: KeyMark,
    /// Who removed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// The same for the same key under the same id; says nothing about it to who does not have the data key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyMark(pub [u8; 16]);

/// A key that is to be taken; who adds it and when come from the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewServiceKey {
    /// Its name.
    pub id: ServiceKeyId,
    /// Its bytes.
    pub sealed: Sealed,
    /// Tells it from others.
    pub mark: KeyMark,
}

impl fmt::Display for ServiceKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {} (encryption type {})", self.service, self.version, self.etype)
    }
}

impl ServiceKey {
    /// Whether its time is over.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.retires_at.is_some_and(|at| at <= now)
    }

    /// Whether its time has been over for so long that no clock says otherwise: the cluster forgets it. A node
    /// whose clock is wrong errs for itself alone.
    #[must_use]
    pub fn is_long_retired(&self, now: Timestamp) -> bool {
        self.is_retired(Timestamp(now.0.saturating_sub(FORGOTTEN_AFTER_MS)))
    }
}

impl ServiceKeyId {
    /// The realm of the service.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.service.rsplit_once('@').map_or("", |(_, realm)| realm)
    }
}

impl Roster {
    /// A key that is there stays, and for good; one that was removed comes back only if that is meant. All of
    /// them or none.
    pub(super) fn put_service_keys(
        &mut self,
        put: &PutServiceKeys,
        command: &Command,
    ) -> Result<(), Rejection> {
        let PutServiceKeys { keys, others_retire_at, removed_too } = put;
        self.drop_retired_keys(command.at);
        for key in keys {
            let removed = self.removed_service_keys.get(&key.id).filter(|removed| removed.mark == key.mark);
            if let Some(removed) = removed.filter(|_| !removed_too) {
                let (id, by) = (key.id.clone(), removed.by.clone());
                return Err(Rejection::ServiceKeyRemoved { id, by });
            }
            self.removed_service_keys.remove(&key.id);
            match self.service_keys.get_mut(&key.id) {
                Some(known) if known.mark != key.mark => {
                    return Err(Rejection::ServiceKeyDiffers { id: key.id.clone() });
                }
                Some(known) => known.retires_at = None,
                None => {
                    let (added_by, added_at) = (command.by.clone(), command.at);
                    let (sealed, mark) = (key.sealed.clone(), key.mark);
                    let key =
                        (key.id.clone(), ServiceKey { sealed, mark, added_by, added_at, retires_at: None });
                    self.service_keys.extend([key]);
                }
            }
        }
        if self.service_keys.len() > SERVICE_KEYS_MAX {
            return Err(Rejection::TooManyServiceKeys { keys_max: SERVICE_KEYS_MAX as u64 });
        }
        // A ticket says which groups its account is in: the key of one realm could name the other's.
        let realms: BTreeSet<&str> = self.service_keys.keys().map(ServiceKeyId::realm).collect();
        if realms.len() > 1 {
            let realms = realms.into_iter().collect::<Vec<_>>().join(" and ");
            return Err(Rejection::ServiceKeyRealms { realms });
        }
        let Some(at) = *others_retire_at else { return Ok(()) };
        let services: BTreeSet<&str> = keys.iter().map(|key| key.id.service.as_str()).collect();
        let versions: BTreeSet<_> =
            keys.iter().map(|key| (key.id.service.as_str(), key.id.version)).collect();
        for (id, key) in &mut self.service_keys {
            let service = id.service.as_str();
            if services.contains(service) && !versions.contains(&(service, id.version)) {
                // One that was to go earlier does.
                key.retires_at = Some(key.retires_at.map_or(at, |before| before.min(at)));
            }
        }
        Ok(())
    }

    pub(super) fn remove_service_keys(
        &mut self,
        service: &str,
        version: Option<u32>,
        command: &Command,
    ) -> Result<(), Rejection> {
        self.drop_retired_keys(command.at);
        let before = self.service_keys.len();
        let is_meant = |id: &ServiceKeyId| {
            id.service.eq_ignore_ascii_case(service) && version.is_none_or(|version| id.version == version)
        };
        let (removed, kept) = std::mem::take(&mut self.service_keys)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(id, _)| is_meant(id));
        self.service_keys = kept;
        if self.service_keys.len() == before {
            return Err(Rejection::NoSuchServiceKey { service: service.into(), version });
        }
        for (id, key) in removed {
            let removed = RemovedServiceKey { mark: key.mark, by: command.by.clone(), at: command.at };
            self.removed_service_keys.insert(id, removed);
        }
        while self.removed_service_keys.len() > REMOVED_MAX {
            let oldest =
                self.removed_service_keys.iter().min_by_key(|(id, removed)| (removed.at, (*id).clone()));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.removed_service_keys.remove(&oldest);
        }
        Ok(())
    }

    pub(super) fn drop_retired_keys(&mut self, now: Timestamp) {
        self.service_keys.retain(|_, key| !key.is_long_retired(now));
    }
}

/// A few names with a few versions of up to four types each; each change copies the roster.
const SERVICE_KEYS_MAX: usize = 256;
/// As many again.
const REMOVED_MAX: usize = 256;
const FORGOTTEN_AFTER_MS: i64 = 24 * 3_600 * 1_000;

#[cfg(test)]
mod tests;
