//! Which domains a realm may speak for, and what of a PAC counts. Between the realms of one forest its own
//! controllers see to that; between the realms of one keytab nobody else does ([MS-PAC] 4.1.2.2).

use super::logon_info::LogonInfo;
use super::{Keytab, KeytabError, Refused};
use crate::principal::Sid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// For each realm the domains whose accounts and groups its controllers may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realms {
    /// The realms in capitals.
    domains: BTreeMap<String, Arc<[Sid]>>,
    /// The domain of local accounts, which no controller may speak for.
    local: Option<Sid>,
}

impl Realms {
    /// For each realm the SIDs of its domains, `S-1-5-21-…`; and the domain of local accounts.
    #[must_use]
    pub fn new(domains: &BTreeMap<String, Vec<Sid>>, local: Option<Sid>) -> Self {
        let domains =
            domains.iter().map(|(realm, sids)| (realm.to_ascii_uppercase(), sids.as_slice().into()));
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
    pub(super) fn hold(
        &self,
        realm: Realm<'_>,
        mut said: LogonInfo,
    ) -> Result<(LogonInfo, Domains), Refused> {
        let listed = self.domains.get(&realm.name.to_ascii_uppercase());
        if listed.is_none() && (!realm.alone || !self.domains.is_empty()) {
            return Err(Refused::RealmUnnamed { realm: realm.name.to_owned() });
        }
        let domains = Domains { listed: listed.cloned(), local: self.local.clone() };
        if !domains.may_name(&said.sid) {
            return Err(Refused::ForeignDomain { sid: said.sid.to_string(), realm: realm.name.to_owned() });
        }
        said.groups.retain(|group| domains.may_name(group));
        Ok((said, domains))
    }
}

/// The domains that the realm of a caller may speak for, whoever it is that names its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    /// `None`: any.
    listed: Option<Arc<[Sid]>>,
    /// But for this one.
    local: Option<Sid>,
}

impl Domains {
    /// Whether an account or a group with this SID counts.
    #[must_use]
    pub fn may_name(&self, sid: &Sid) -> bool {
        let is_listed = |domain: &Sid| self.listed.as_ref().is_none_or(|listed| listed.contains(domain));
        sid.domain().is_some_and(|domain| self.local.as_ref() != Some(&domain) && is_listed(&domain))
    }
}

/// The realm of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Realm<'a> {
    pub(super) name: &'a str,
    /// The keytab has keys of no other one.
    pub(super) alone: bool,
}
