//! Decides whether a caller may use the service. Pure: the table is an argument.

use super::NtlmRules;
use crate::principal::{Account, Caller};
use crate::rms::Operation;
use crate::state::{Entry, Role, Table};
use crate::upstream;
use std::sync::Arc;

/// The proof that the table has an entry for the caller. Only [`authorize`] makes one, and
/// nothing is sent to the service without it.
#[derive(Clone, Debug)]
pub struct Permit {
    entry: Arc<Entry>,
    also: Vec<Arc<Entry>>,
    revision: u64,
}

/// Why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is authorized.
    #[error("the list of authorized accounts is empty")]
    TableEmpty,
    /// Neither the account nor one of its groups is authorized.
    #[error("neither the account nor one of its {groups} groups is in the list of authorized accounts")]
    NotInTable {
        /// How many groups were looked at.
        groups: usize,
    },
    /// The entry's role does not allow the operation.
    #[error("{operation} needs the role exchange; the entry {entry} has the role {role}")]
    RoleTooLow {
        /// The operation.
        operation: &'static str,
        /// The name of the entry that matched.
        entry: String,
        /// Its role.
        role: Role,
    },
    /// The service sees one account of the connector's, which may not be used for this role.
    #[error(
        "the entry {entry} has the role {role}, for which upstream.account may not be used: its roles in the node file"
    )]
    NoAccountForRole {
        /// The name of the entry that matched.
        entry: String,
        /// Its role.
        role: Role,
    },
    /// The entry's role does not take NTLM as the caller came by it.
    #[error("the entry {entry} has the role {role}, which takes {takes}; the caller came by NTLM")]
    NtlmRefused {
        /// The name of the entry that matched.
        entry: String,
        /// Its role.
        role: Role,
        /// How a caller with this role may come.
        takes: &'static str,
    },
}

/// Looks the caller up, by SID: the account's own entry first, then those of its groups.
///
/// # Errors
/// [`Refusal`], which never depends on names.
pub fn authorize(table: &Table, account: &Account) -> Result<Permit, Refusal> {
    if table.entries.is_empty() {
        return Err(Refusal::TableEmpty);
    }
    let mut matches = table.matching(account);
    if matches.is_empty() {
        return Err(Refusal::NotInTable { groups: account.groups.len() });
    }
    let also = matches.split_off(1);
    let entry = matches.swap_remove(0);
    Ok(Permit { entry, also, revision: table.revision })
}

impl Permit {
    /// The entry that matched.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Other entries that match as well: one and only one should.
    #[must_use]
    pub fn also_matched(&self) -> &[Arc<Entry>] {
        &self.also
    }

    /// The revision of the table that allowed it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Checks the entry's role against the way in which the caller has proven itself.
    ///
    /// # Errors
    /// [`Refusal::NtlmRefused`].
    pub fn for_proof(self, rules: &NtlmRules, caller: &Caller) -> Result<Self, Refusal> {
        let (entry, role) = (|| self.entry.name.to_string(), self.entry.role);
        let refuse = |takes| Refusal::NtlmRefused { entry: entry(), role, takes };
        rules.check(role, caller).map_err(refuse)?;
        Ok(self)
    }

    /// Checks that the connector may ask the service for the entry's role.
    ///
    /// # Errors
    /// [`Refusal::NoAccountForRole`].
    pub fn for_service(self, kind: &upstream::Kind) -> Result<Self, Refusal> {
        if kind.acts_for(self.entry.role.word()) {
            return Ok(self);
        }
        Err(Refusal::NoAccountForRole { entry: self.entry.name.to_string(), role: self.entry.role })
    }

    /// Checks the entry's role against the operation.
    ///
    /// # Errors
    /// [`Refusal::RoleTooLow`]: pre-licensing acts for other users, which Exchange alone may.
    pub fn for_operation(self, operation: Operation) -> Result<Self, Refusal> {
        if operation.needs_exchange_role() && self.entry.role != Role::Exchange {
            return Err(Refusal::RoleTooLow {
                operation: operation.name(),
                entry: self.entry.name.to_string(),
                role: self.entry.role,
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{AccountName, Sid};
    use crate::state::{Kind, Timestamp};

    fn sid(rid: u32) -> Sid {
        Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
    }

    fn account(rid: u32, groups: &[u32]) -> Account {
        let groups = groups.iter().map(|rid| sid(*rid)).collect();
        Account { sid: sid(rid), name: AccountName::new("LAB", "exch01$").unwrap(), groups }
    }

    #[test]
    fn who_has_a_role_without_an_account_is_refused() {
        let account = |roles: &[Role]| upstream::AccountConfig {
            name: "LAB\\svc".into(),
            proof: upstream::Proof::Password("p".into()),
            protocol: upstream::Protocol::Ntlm,
            realm: None,
            kdcs: Vec::new(),
            service: "HTTP/rms".into(),
            roles: roles.iter().map(|role| role.word()).collect(),
            connections_max: 1,
        };
        let roles = [Role::Exchange, Role::SharePoint, Role::FileServer];
        for role in roles {
            let table = table(&[(1, Kind::Computer, role)]);
            let allowed = |kind: &upstream::Kind| {
                authorize(&table, &self::account(1, &[])).unwrap().for_service(kind).is_ok()
            };
            for other in roles {
                assert_eq!(allowed(&upstream::Kind::AdRms(account(&[other]))), role == other);
                assert_eq!(allowed(&upstream::Kind::Chained(account(&[other]))), role == other);
            }
            assert!(allowed(&upstream::Kind::AdRms(account(&roles))));
            assert!(allowed(&upstream::Kind::Simulated));
        }
    }

    fn table(entries: &[(u32, Kind, Role)]) -> Table {
        let mut table = Table { revision: 3, ..Table::default() };
        for (rid, kind, role) in entries {
            let entry = Entry {
                sid: sid(*rid),
                name: format!("LAB\\{rid}").into(),
                kind: *kind,
                role: *role,
                note: "".into(),
                added_by: "".into(),
                added_at: Timestamp(0),
            };
            table.entries.add(entry);
        }
        table
    }

    #[test]
    fn an_empty_table_refuses_everyone() {
        assert_eq!(authorize(&Table::default(), &account(1, &[2])).unwrap_err(), Refusal::TableEmpty);
    }

    #[test]
    fn refuses_a_caller_not_in_the_table() {
        let table = table(&[(9, Kind::Computer, Role::Exchange)]);
        assert_eq!(authorize(&table, &account(1, &[2, 3])).unwrap_err(), Refusal::NotInTable { groups: 2 });
    }

    #[test]
    fn takes_the_account_before_its_groups_and_names_the_others() {
        let table = table(&[(1, Kind::Computer, Role::SharePoint), (2, Kind::Group, Role::Exchange)]);
        let permit = authorize(&table, &account(1, &[2])).unwrap();
        assert_eq!(permit.entry().sid, sid(1));
        assert_eq!(permit.also_matched().len(), 1);
        assert_eq!(permit.revision(), 3);
    }

    #[test]
    fn a_group_entry_matches_members_and_an_account_entry_does_not() {
        let table = table(&[(2, Kind::Group, Role::Exchange), (5, Kind::Account, Role::Exchange)]);
        assert!(authorize(&table, &account(1, &[2])).is_ok());
        assert!(authorize(&table, &account(2, &[])).is_err());
        assert!(authorize(&table, &account(1, &[5])).is_err());
    }

    #[test]
    fn of_two_groups_the_least_role_counts_in_any_order() {
        let table = table(&[(2, Kind::Group, Role::Exchange), (3, Kind::Group, Role::SharePoint)]);
        for groups in [[2, 3], [3, 2]] {
            let permit = authorize(&table, &account(1, &groups)).unwrap();
            assert_eq!(permit.entry().role, Role::SharePoint);
        }
    }

    #[test]
    fn only_exchange_may_prelicense() {
        let table = table(&[(1, Kind::Computer, Role::FileServer), (2, Kind::Computer, Role::Exchange)]);
        let file_server = authorize(&table, &account(1, &[])).unwrap();
        assert!(file_server.clone().for_operation(Operation::AcquireLicense).is_ok());
        assert!(file_server.for_operation(Operation::AcquirePreLicense).is_err());
        let exchange = authorize(&table, &account(2, &[])).unwrap();
        assert!(exchange.for_operation(Operation::AcquirePreLicense).is_ok());
    }
}
