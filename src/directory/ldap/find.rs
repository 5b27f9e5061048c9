//! Principals by SID, by name, and by the beginning of a name. Whatever a person typed is escaped.

use super::membership::NOWHERE;
use super::{AccessError, Client, Query};
use crate::directory::What;
use crate::directory::ldap::Row;
use crate::principal::Sid;
use ldap3::{SearchEntry, ldap_escape};
use std::fmt::Write as _;

/// A name that somebody typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::directory) enum Name<'a> {
    /// `DOMAIN\name`, or the name alone: the account's own. What people call it (`cn`, `displayName`) is no name
    /// here, as many can write that.
    Account(&'a str),
    /// `name@domain`.
    Upn {
        /// All of it.
        whole: &'a str,
        /// The name, which is an account's own where the domain is ours.
        name: &'a str,
        /// The domain.
        domain: &'a str,
    },
}

impl Client {
    pub(in crate::directory) async fn by_sid(&self, sid: &Sid) -> Result<Option<Row>, AccessError> {
        let query = Query::object(format!("<SID={sid}>"), Row::ATTRIBUTES.to_vec());
        match self.search(&query).await {
            Err(AccessError::Refused { code, .. }) if NOWHERE.contains(&code) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => Ok(self.rows(&found.rows).into_iter().find(|row| row.sid == *sid)),
        }
    }

    /// Every principal that the name may mean; two, where it means more than one.
    pub(in crate::directory) async fn by_name(&self, name: Name<'_>) -> Result<Vec<Row>, AccessError> {
        match name {
            Name::Account(name) => self.matching(&format!("(|{})", own(name))).await,
            Name::Upn { whole, name, domain } => {
                let mut filter = format!("(userPrincipalName={})", ldap_escape(whole));
                if self.is_ours(domain).await? {
                    filter = format!("(|{filter}{})", own(name));
                }
                self.matching(&filter).await
            }
        }
    }

    /// Principals whose account name, common name or display name begins so, sorted by account name. The
    /// second value: there are more than anybody would read.
    pub(in crate::directory) async fn like(
        &self,
        beginning: &str,
        what: Option<What>,
    ) -> Result<(Vec<Row>, bool), AccessError> {
        let text = ldap_escape(beginning);
        let names = format!("(|(sAMAccountName={text}*)(cn={text}*)(displayName={text}*))");
        let class = what.map_or(PRINCIPALS, |what| match what {
            What::User => "(&(objectCategory=person)(objectClass=user))",
            What::Computer => "(objectCategory=computer)",
            What::Group | What::DistributionGroup => "(objectCategory=group)",
            What::ServiceAccount => {
                "(|(objectClass=msDS-GroupManagedServiceAccount)(objectClass=msDS-ManagedServiceAccount))"
            }
        });
        let query = Query::domain(format!("(&{class}{names})"), Row::ATTRIBUTES.to_vec(), LIKE_ROWS_MAX);
        let found = self.search(&query).await?;
        let mut rows = self.rows(&found.rows);
        rows.retain(|row| what.is_none_or(|what| what == row.what));
        rows.sort_by_cached_key(|row| row.name.name().to_lowercase());
        Ok((rows, found.more))
    }

    /// The principals of these SIDs, as far as our domain has them.
    pub(in crate::directory) async fn by_sids(&self, sids: &[Sid]) -> Result<Vec<Row>, AccessError> {
        let mut rows = Vec::new();
        for some in sids.chunks(SIDS_MAX) {
            let mut filter = String::from("(|");
            some.iter().for_each(|sid| filter.push_str(&format!("(objectSid={})", sid_value(sid))));
            let query = Query::domain(filter + ")", Row::ATTRIBUTES.to_vec(), SIDS_MAX);
            rows.extend(self.rows(&self.search(&query).await?.rows));
        }
        Ok(rows)
    }

    async fn matching(&self, filter: &str) -> Result<Vec<Row>, AccessError> {
        let query = Query::domain(filter.into(), Row::ATTRIBUTES.to_vec(), NAMED_ROWS_MAX);
        let found = self.search(&query).await?;
        if found.more {
            return Err(self.refused(&format!("more than {NAMED_ROWS_MAX} objects have this name")));
        }
        Ok(self.rows(&found.rows))
    }

    /// Whether it is the DNS name or the short name of our domain.
    async fn is_ours(&self, domain: &str) -> Result<bool, AccessError> {
        let base = self.connected().await?.base;
        let parts = base.split(',').filter_map(|part| part.trim().split_once('='));
        let labels: Vec<&str> =
            parts.filter(|(key, _)| key.eq_ignore_ascii_case("dc")).map(|(_, label)| label).collect();
        Ok(domain.eq_ignore_ascii_case(&labels.join(".")) || domain.eq_ignore_ascii_case(&self.config.domain))
    }

    pub(super) fn rows(&self, entries: &[SearchEntry]) -> Vec<Row> {
        entries.iter().filter_map(|entry| Row::of(entry, &self.config.domain)).collect()
    }
}

/// Objects with this name, and the computer that is called so: a user may have the name without its `$`.
fn own(name: &str) -> String {
    let name = ldap_escape(name);
    if name.ends_with('$') {
        format!("(sAMAccountName={name})")
    } else {
        format!("(sAMAccountName={name})(sAMAccountName={name}$)")
    }
}

/// Every byte of a SID, escaped as RFC 4515 3 wants it.
fn sid_value(sid: &Sid) -> String {
    let mut value = String::new();
    for byte in sid.to_bytes() {
        // Into a string it cannot fail.
        let _ = write!(value, "\\{byte:02x}");
    }
    value
}

const PRINCIPALS: &str = "(|(objectCategory=person)(objectCategory=computer)(objectCategory=group)\
                          (objectClass=msDS-GroupManagedServiceAccount)(objectClass=msDS-ManagedServiceAccount))";
/// Enough to say that a name is not unique.
const NAMED_ROWS_MAX: usize = 10;
/// Who has more to look through writes more of the name.
const LIKE_ROWS_MAX: usize = 1_000;
/// A filter of 4 KB.
const SIDS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_escaped_byte_by_byte() {
        let sid = "S-1-5-32-544".parse::<Sid>().unwrap();
        let expected = r"\01\02\00\00\00\00\00\05\20\00\00\00\20\02\00\00";
        assert_eq!(sid_value(&sid), expected);
    }

    /// Nobody can widen a search with what looks like a filter.
    #[test]
    fn what_was_typed_is_no_filter() {
        assert_eq!(ldap_escape(r"*)(cn=\"), r"\2a\29\28cn=\5c");
    }
}
