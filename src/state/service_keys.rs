//! The keys of our services: what Kerberos tickets are opened with. Sealed; which of them are taken is decided
//! here, and by the clock of each node for those whose time is over.

use super::{Command, Rejection, Roster, Sealed, Timestamp};
use std::collections::BTreeSet;
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
}

impl Roster {
    /// A key that is there stays, and for good. All of them or none.
    pub(super) fn put_service_keys(
        &mut self,
        keys: &[NewServiceKey],
        others_retire_at: Option<Timestamp>,
        command: &Command,
    ) -> Result<(), Rejection> {
        self.drop_retired_keys(command.at);
        for key in keys {
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
        let Some(at) = others_retire_at else { return Ok(()) };
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
        self.service_keys.retain(|id, _| !is_meant(id));
        if self.service_keys.len() == before {
            return Err(Rejection::NoSuchServiceKey { service: service.into(), version });
        }
        Ok(())
    }

    pub(super) fn drop_retired_keys(&mut self, now: Timestamp) {
        self.service_keys.retain(|_, key| !key.is_retired(now));
    }
}

/// A few names with a few versions of up to four types each; each change copies the roster.
const SERVICE_KEYS_MAX: usize = 256;

#[cfg(test)]
mod tests;
