//! Which domains a realm may speak for, and what of a PAC counts. Between the realms of one forest its own
//! controllers see to that; between the realms of one keytab nobody else does ([MS-PAC] 4.1.2.2).

use super::logon_info::LogonInfo;
use super::{Keytab, KeytabError, Refused};
use crate::principal::Sid;
use std::collections::BTreeMap;

/// For each realm the domains whose accounts and groups its controllers may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realms {
    /// The realms in capitals.
    domains: BTreeMap<String, Vec<Sid>>,
    /// The domain of local accounts, which no controller may speak for.
    local: Option<Sid>,
}

impl Realms {
    /// For each realm the SIDs of its domains, `S-1-5-21-…`; and the domain of local accounts.
    #[must_use]
    pub fn new(domains: &BTreeMap<String, Vec<Sid>>, local: Option<Sid>) -> Self {
        let domains = domains.iter().map(|(realm, sids)| (realm.to_ascii_uppercase(), sids.clone()));
        Realms { domains: domains.collect(), local }
    }

    /// Whether it is known for what each realm of a keytab may speak. With one realm nothing need be said.
    ///
    /// # Errors
    /// Names the realms that nothing is said about.
    pub fn check(&self, keytab: &Keytab) -> Result<(), KeytabError> {
        let realms = keytab.realms();
        if self.domains.is_empty() && realms.len() < 2 {
            return Ok(());
        }
        let unnamed: Vec<String> =
            realms.into_iter().filter(|realm| !self.domains.contains_key(realm)).collect();
        if unnamed.is_empty() {
            return Ok(());
        }
        Err(KeytabError::RealmsUnnamed { realms: unnamed.join(", ") })
    }

    /// What counts of a PAC in a ticket that a key of this realm has opened: an account of a domain that the
    /// realm may speak for, and the groups of such domains. What no domain has given out is no group here:
    /// `S-1-5-32-…` are groups of another computer, `S-1-18-…` everybody is in.
    pub(super) fn hold(&self, realm: Realm<'_>, mut said: LogonInfo) -> Result<LogonInfo, Refused> {
        let listed = self.domains.get(&realm.name.to_ascii_uppercase());
        if listed.is_none() && (!realm.alone || !self.domains.is_empty()) {
            return Err(Refused::RealmUnnamed { realm: realm.name.to_owned() });
        }
        let may_name = |domain: &Sid| {
            self.local.as_ref() != Some(domain) && listed.is_none_or(|listed| listed.contains(domain))
        };
        let domain = said.sid.domain().filter(may_name);
        if domain.is_none() {
            return Err(Refused::ForeignDomain { sid: said.sid.to_string(), realm: realm.name.to_owned() });
        }
        said.groups.retain(|group| group.domain().as_ref().is_some_and(may_name));
        Ok(said)
    }
}

/// The realm of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Realm<'a> {
    pub(super) name: &'a str,
    /// The keytab has keys of no other one.
    pub(super) alone: bool,
}
