//! What the directory says about one account: its groups, nested ones too, and whether it may log on.

use super::{AccessError, Client, Query, row};
use crate::principal::Sid;
use std::time::SystemTime;

/// What the directory says about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::directory) enum Answer {
    /// It is there.
    Account {
        /// Its short name.
        name: String,
        /// The SIDs of all its groups of security.
        groups: Vec<Sid>,
        /// It is not disabled, and has not expired.
        enabled: bool,
    },
    /// Our domain has no such account.
    Gone,
    /// It is another domain's, which is not asked.
    Foreign,
}

impl Client {
    /// The groups of an account. One search of the object itself: `tokenGroups` is made for nothing else.
    pub(in crate::directory) async fn membership(&self, sid: &Sid) -> Result<Answer, AccessError> {
        // A local group may have members of a trusted domain, and then it has an object of that SID.
        if sid.rid_in(&self.connected().await?.domain_sid).is_none() {
            return Ok(Answer::Foreign);
        }
        let query = Query::object(format!("<SID={sid}>"), ATTRIBUTES.to_vec());
        let found = match self.search(&query).await {
            Err(AccessError::Refused { code, .. }) if NOWHERE.contains(&code) => return Ok(Answer::Gone),
            found => found?,
        };
        let Some(entry) = found.rows.first() else { return Ok(Answer::Gone) };
        if row::sid(entry).as_ref() != Some(sid) {
            return Err(self.refused("it shows another object"));
        }
        let groups: Option<Vec<Sid>> =
            row::bytes(entry, "tokenGroups").iter().map(|bytes| Sid::from_bytes(bytes)).collect();
        // Every account has its primary group at least.
        let groups = groups.filter(|groups| !groups.is_empty()).ok_or_else(|| self.refused(UNREADABLE))?;
        let name = row::text(entry, "sAMAccountName").unwrap_or_default();
        let enabled =
            row::is_enabled(entry, SystemTime::now()).ok_or_else(|| self.refused(NOT_SEEN_ENABLED))?;
        Ok(Answer::Account { name, groups, enabled })
    }

    pub(super) fn refused(&self, reason: &str) -> AccessError {
        AccessError::Refused { controller: self.config.domain.clone(), code: 0, reason: reason.into() }
    }
}

/// No such object, or one of a domain that the controller refers to (RFC 4511 A.2).
pub(super) const NOWHERE: [u32; 2] = [32, 10];
const ATTRIBUTES: [&str; 6] =
    ["objectSid", "objectClass", "sAMAccountName", "userAccountControl", "accountExpires", "tokenGroups"];
const UNREADABLE: &str = "it does not show the groups (tokenGroups); put the account that asks into the group \
                          'Windows Authorization Access Group'";
const NOT_SEEN_ENABLED: &str = "it does not show whether the account is enabled (userAccountControl); let the account \
                                that asks read the property set 'Account Restrictions' of users";
