//! The administrators: who may use the admin port. A certificate of the cluster's authority is not enough,
//! because every node can issue one; its key has to be in the roster.

use super::{Command, KeyHash, NewAdministrator, Rejection, Roster, Timestamp};

/// An administrator of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// SHA-256 of its public key.
    pub key: KeyHash,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: Timestamp,
}

/// An administrator's key that is good no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerAdministrator {
    /// The administrator's name.
    pub name: String,
    /// Who removed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Why a certificate does not make an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdministrator {
    /// The roster is not known here yet.
    NotFounded,
    /// It was one once.
    Removed(FormerAdministrator),
    /// It never was, or was removed long ago.
    Unknown,
    /// The name is another's.
    OtherKey,
}

impl Roster {
    /// Whether this name with this key is an administrator. Where nobody is in the list nobody is: a list
    /// that was lost or never made must not open the door to whoever has the authority's key.
    ///
    /// # Errors
    /// [`NotAdministrator`] says why not.
    pub fn administers(&self, name: &str, key: &KeyHash) -> Result<(), NotAdministrator> {
        if !self.is_founded() {
            return Err(NotAdministrator::NotFounded);
        }
        match (self.administrators.get(name), self.former_administrators.get(key)) {
            (Some(administrator), _) if administrator.key == *key => Ok(()),
            (_, Some(former)) => Err(NotAdministrator::Removed(former.clone())),
            (Some(_), None) => Err(NotAdministrator::OtherKey),
            (None, None) => Err(NotAdministrator::Unknown),
        }
    }

    pub(super) fn add_administrator(
        &mut self,
        new: &NewAdministrator,
        command: &Command,
    ) -> Result<(), Rejection> {
        match self.administrators.get(&new.name) {
            // Asked again, because the answer was not heard.
            Some(administrator) if administrator.key == new.key => return Ok(()),
            Some(_) => return Err(Rejection::AdministratorExists { name: new.name.clone() }),
            None => {}
        }
        let has = self.administrators.iter().find(|(_, administrator)| administrator.key == new.key);
        let had = self.former_administrators.get(&new.key).map(|former| &former.name);
        if let Some(name) = has.map(|(name, _)| name).or(had) {
            return Err(Rejection::KeyUsed { name: name.clone() });
        }
        if self.administrators.len() >= ADMINISTRATORS_MAX {
            return Err(Rejection::TooManyAdministrators { administrators_max: ADMINISTRATORS_MAX as u64 });
        }
        self.put_administrator(new, command);
        Ok(())
    }

    /// Removing one that was removed before changes nothing.
    pub(super) fn remove_administrator(&mut self, name: &str, command: &Command) -> Result<(), Rejection> {
        if !self.administrators.contains_key(name) {
            let mut former = self.former_administrators.values();
            let known = former.any(|former| former.name == name);
            return if known { Ok(()) } else { Err(Rejection::NoSuchAdministrator { name: name.into() }) };
        }
        if self.administrators.len() == 1 {
            return Err(Rejection::LastAdministrator { name: name.into() });
        }
        self.dismiss_administrator(name, command);
        Ok(())
    }

    /// Who founds, recovers or restores has the host and the keys already: the name is given to the new key,
    /// and an older one of that name is good no more.
    pub(super) fn put_administrator(&mut self, new: &NewAdministrator, command: &Command) {
        if self.administrators.get(&new.name).is_some_and(|administrator| administrator.key == new.key) {
            return;
        }
        self.dismiss_administrator(&new.name, command);
        let (added_by, added_at) = (command.by.clone(), command.at);
        self.administrators.insert(new.name.clone(), Administrator { key: new.key, added_by, added_at });
    }

    fn dismiss_administrator(&mut self, name: &str, command: &Command) {
        let Some(administrator) = self.administrators.remove(name) else { return };
        let former = FormerAdministrator { name: name.into(), by: command.by.clone(), at: command.at };
        self.former_administrators.insert(administrator.key, former);
        while self.former_administrators.len() > FORMER_MAX {
            let oldest = self.former_administrators.iter().min_by_key(|(key, former)| (former.at, **key));
            let Some(oldest) = oldest.map(|(key, _)| *key) else { return };
            self.former_administrators.remove(&oldest);
        }
    }
}

/// More than people who should be able to do everything; each change copies the roster.
const ADMINISTRATORS_MAX: usize = 64;
/// So that who was removed is told so; a key that is in no list is refused, too.
const FORMER_MAX: usize = 256;

#[cfg(test)]
mod tests;
